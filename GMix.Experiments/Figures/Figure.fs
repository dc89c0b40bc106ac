namespace GMix.Experiments

open System

[<RequireQualifiedAccess>]
type Dash =
    | Solid
    | Dashed
    | Dotted
    | DashDot

[<RequireQualifiedAccess>]
type Scale =
    | Linear
    | Log

type Axis =
    { Title: string
      Scale: Scale
      /// Where to draw ticks; empty: chosen from the data.
      Ticks: float list }

[<RequireQualifiedAccess>]
type Mark =
    | Line
    | LineAndPoints
    /// Points without a line, each with the series' name beside it.
    | LabelledPoints

/// One line or set of points. `Band` is drawn as a shaded band around a line and as error bars at points.
type Series =
    { Name: string
      /// "#rrggbb".
      Colour: string
      Dash: Dash
      Mark: Mark
      X: float list
      Y: float list
      /// Lower and upper edge per point.
      Band: (float list * float list) option }

/// A figure as a value. `FigureSvg` and `FigurePlotly` draw the same value.
type Figure =
    { /// Letters, digits and hyphens; unique within a report.
      Id: string
      Title: string
      Caption: string
      X: Axis
      Y: Axis
      Series: Series list }

/// Colours and dashes of the methods: the same method looks the same in every figure, by either backend.
[<RequireQualifiedAccess>]
module Palette =
    // Every colour has a contrast of at least 3 : 1 on white and on the report's dark ground, and the six methods of the paper stay apart in the eyes
    // of people with protanopia or deuteranopia: tests measure both. Dashes say it once more.
    let private styles =
        [ "vanilla", ("#6a6d75", Dash.Dotted)
          "sam", ("#b58a00", Dash.Dashed)
          "mixup", ("#2ba66b", Dash.DashDot)
          "gmix", ("#1f6feb", Dash.Solid)
          "bgmix", ("#cc5ec4", Dash.Dashed)
          "dgmix", ("#ba3512", Dash.Solid)
          "maxup", ("#0e8fa8", Dash.Dashed)
          "aace", ("#a0705a", Dash.DashDot)
          "asam", ("#7a8b1e", Dash.Dashed)
          "gsam", ("#8a6fd1", Dash.DashDot)
          "esam", ("#a0705a", Dash.Dotted)
          "gnp", ("#7a8b1e", Dash.Dotted)
          "looksam", ("#8a6fd1", Dash.Dotted)
          "cutmix", ("#0e8fa8", Dash.Solid)
          "manifold", ("#2ba66b", Dash.Dotted) ]

    let private byName = Map.ofList styles
    let private dashes = [| Dash.Solid; Dash.Dashed; Dash.Dotted; Dash.DashDot |]

    /// Colour and dash of a method name. A name that is not known gets one that depends on the name alone.
    let style (methodName: string) : string * Dash =
        match byName |> Map.tryFind methodName with
        | Some found -> found
        | None ->
            // String.GetHashCode differs between processes
            let hash = methodName |> Seq.fold (fun h c -> (h * 31 + int c) &&& 0xffffff) 7
            fst (snd styles[hash % styles.Length]), dashes[hash / styles.Length % dashes.Length]

    /// The dash of the n-th (0-based) line of one method in a figure.
    let dashOf (methodName: string) (n: int) : Dash =
        let _, first = style methodName
        if n = 0 then first
        else (dashes |> Array.filter ((<>) first))[(n - 1) % (dashes.Length - 1)]

    /// Every colour in use.
    let colours = styles |> List.map (snd >> fst) |> List.distinct

[<RequireQualifiedAccess>]
module Figure =
    let private axis title = { Title = title; Scale = Scale.Linear; Ticks = [] }

    /// An empty figure with linear axes.
    let create id title : Figure = { Id = id; Title = title; Caption = ""; X = axis ""; Y = axis ""; Series = [] }

    let withCaption caption (figure: Figure) = { figure with Caption = caption }
    let withAxes x y (figure: Figure) = { figure with X = { figure.X with Title = x }; Y = { figure.Y with Title = y } }
    let withLogX ticks (figure: Figure) = { figure with X = { figure.X with Scale = Scale.Log; Ticks = ticks } }
    let withXTicks ticks (figure: Figure) = { figure with X = { figure.X with Ticks = ticks } }

    /// Adds the series that have at least one finite point.
    let withSeries (series: Series list) (figure: Figure) =
        let finite (s: Series) =
            if s.X.Length <> s.Y.Length then invalidArg (nameof series) $"{s.Name}: {s.X.Length} x values and {s.Y.Length} y values"
            List.exists2 (fun x y -> Double.IsFinite x && Double.IsFinite y) s.X s.Y
        { figure with Series = figure.Series @ List.filter finite series }

    /// The finite values along one axis, bands included.
    let internal extent (values: Series -> float seq) (figure: Figure) : (float * float) option =
        let all = figure.Series |> Seq.collect values |> Seq.filter Double.IsFinite |> Array.ofSeq
        if all.Length = 0 then None else Some(Array.min all, Array.max all)

    let internal xExtent figure = extent (fun s -> s.X) figure

    let internal yExtent figure =
        extent (fun s -> seq { yield! s.Y
                               match s.Band with
                               | Some(low, high) ->
                                   yield! low
                                   yield! high
                               | None -> () }) figure
