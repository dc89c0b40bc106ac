namespace GMix.Experiments

open System

/// The paper's Tables I to III over our runs: methods as rows, data sets and models as columns, the published number beside ours where it is known.
[<RequireQualifiedAccess>]
module PaperTables =
    /// The rows: every method label of any comparison, in the paper's order.
    let private labels (comparisons: Comparison list) =
        comparisons
        |> List.collect (fun c -> c.Groups)
        |> List.distinctBy (fun g -> g.Label)
        |> List.sortBy (fun g -> Summary.rowRank g.Method.Name)
        |> List.map (fun g -> g.Label)

    let private groupOf (comparison: Comparison) label = comparison.Groups |> List.tryFind (fun g -> g.Label = label)

    let private columnTitle (comparison: Comparison) = $"{Tables.datasetTitle comparison.Dataset} {Tables.modelTitle comparison.Model}"

    let private scales (comparisons: Comparison list) = comparisons |> List.map Tables.scale |> String.concat "; "

    /// Our value, the paper's in parentheses behind it.
    let private beside decimals (ours: Spread option) (published: float option) rank =
        match ours with
        | None -> Cell.missing
        | Some value ->
            let text = Format.spread decimals value
            { Text = (match published with Some p -> $"{text} ({Format.number decimals p})" | None -> text); Rank = rank }

    /// A column: its title, the comparison it is about, and its cell for a method's label.
    type private Column = { Title: string; Of: Comparison option; Cell: string -> Cell }

    let private imagesLegend = "Images: how many the column's runs were trained / tested on."

    let private fromCells title (comparisons: Comparison list) (columns: Column list) legend : Table =
        if comparisons.IsEmpty then
            raise (GMix.GMixInputException $"there is nothing to put into “{title}”: no run has a finished epoch")
        { Title = title
          Scale = scales comparisons
          Columns = "Method" :: (columns |> List.map (fun c -> c.Title))
          Rows =
            [ for label in labels comparisons do Cell.text label :: (columns |> List.map (fun c -> c.Cell label))
              Cell.text "Images" :: (columns |> List.map (fun c -> c.Of |> Option.map (Tables.images >> Cell.text) |> Option.defaultValue Cell.missing)) ]
          Legend = legend @ [ imagesLegend ] }

    /// A column of values with its ranks.
    let private ranked (comparison: Comparison) name (value: GroupSummary -> Spread option) (published: PaperCell -> float) : Column =
        let ranks =
            List.zip
                (comparison.Groups |> List.map (fun g -> g.Label))
                (comparison.Groups |> List.map (value >> Tables.meanOf) |> Tables.ranks 2)
            |> Map.ofList
        { Title = $"{columnTitle comparison} {name}"
          Of = Some comparison
          Cell =
            fun label ->
                match groupOf comparison label with
                | None -> Cell.missing
                | Some g -> beside 2 (value g) (PaperNumbers.beside g |> Option.map published) ranks[label] }

    /// Tables I and II: best Acc and best Gap per method, data set and model.
    let accuracy (title: string) (comparisons: Comparison list) : Table =
        fromCells
            title
            comparisons
            [ for c in comparisons do
                  ranked c "Acc %" (fun g -> Some g.Acc) (fun p -> p.Acc)
                  ranked c "Gap" (fun g -> g.Gap) (fun p -> p.Gap) ]
            [ "Mean ± standard deviation (n-1) over seeds of the best value over the epochs; Acc and Gap independently."
              + (if comparisons |> List.exists (fun c -> c.Groups |> List.exists (fun g -> (PaperNumbers.beside g).IsSome)) then " In parentheses the paper's number." else "")
              yield! Tables.paperLegend comparisons ]

    /// The paired difference of best Acc of each method to the row above, per data set and model.
    let differences (comparisons: Comparison list) : Table =
        let cell (c: Comparison) label =
            match c.Groups |> List.tryFindIndex (fun g -> g.Label = label) with
            | None
            | Some 0 -> Cell.missing
            | Some at ->
                match Summary.difference Summary.acc c.Groups[at] c.Groups[at - 1] with
                | Some d -> Cell.text (Tables.differenceText d)
                | None -> Cell.missing
        fromCells
            "Acc against the row above, points"
            comparisons
            [ for c in comparisons do { Title = columnTitle c; Of = Some c; Cell = cell c } ]
            [ "The row above is the next one that has a value in the same column. " + Tables.differenceLegend ]

    /// Full-batch forwards and backwards per step as the runs counted them; None where a run did not.
    let private counted (group: GroupSummary) =
        let perStep (run: RunSummary) =
            let c = run.Run.Config
            let steps = run.Run.Epochs.Length * ((run.Run.File.Data.Train + c.Batch - 1) / max 1 c.Batch) |> float
            Option.map2 (fun f r -> f / steps, r / steps) run.Forwards run.Backwards
        match group.Runs |> List.choose perStep with
        | pairs when pairs.Length = group.Runs.Length -> Some(pairs |> List.averageBy fst, pairs |> List.averageBy snd)
        | _ -> None

    /// Table III: training seconds, and what theory and the runs' own counts say about them. `passes` gives the full-batch forwards and backwards of one
    /// step in theory, where known; a backward counts as two forwards.
    let time (passes: MethodConfig -> (float * float) option) (comparisons: Comparison list) : Table =
        let firstOf label = comparisons |> List.tryPick (fun c -> groupOf c label)
        let theory label = firstOf label |> Option.bind (fun g -> passes g.Method)
        let text decimals value = value |> Option.map (Format.number decimals >> Cell.text) |> Option.defaultValue Cell.missing
        let passesText value =
            match value with
            | Some(f: float, r: float) ->
                let short (v: float) = v.ToString("0.##", Globalization.CultureInfo.InvariantCulture)
                Cell.text $"{short f} F + {short r} R"
            | None -> Cell.missing
        let ratio (c: Comparison) label =
            match groupOf c label, Summary.vanilla c.Groups with
            | Some g, Some v when v.Seconds.Mean > 0.0 -> Some(g.Seconds.Mean / v.Seconds.Mean)
            | _ -> None
        fromCells
            "Training seconds"
            comparisons
            [ { Title = "Passes per step"; Of = None; Cell = theory >> passesText }
              { Title = "counted"; Of = None; Cell = firstOf >> Option.bind counted >> passesText }
              { Title = "× Vanilla in theory"; Of = None; Cell = fun label -> theory label |> Option.map (fun (f, r) -> (f + 2.0 * r) / 3.0) |> text 2 }
              for c in comparisons do
                  { Title = columnTitle c + " s"
                    Of = Some c
                    Cell =
                      fun label ->
                          match groupOf c label with
                          | None -> Cell.missing
                          | Some g -> beside 1 (Some g.Seconds) (PaperNumbers.secondsBeside g) None }
                  { Title = columnTitle c + " × Vanilla"; Of = Some c; Cell = ratio c >> text 2 } ]
            [ "Seconds of training without evaluation, summed over the epochs. F: forward, R: backward of a full batch, R counted as two F."
              if comparisons |> List.exists (fun c -> c.Groups |> List.exists (fun g -> (PaperNumbers.secondsBeside g).IsSome)) then
                  "In parentheses the paper's seconds on one GTX 1080 Ti; which of its columns a number belongs to is a reading."
              else
                  "No published seconds stand beside these: the paper's are for its own models, all of the official images and its number of epochs, on one GTX 1080 Ti." ]
