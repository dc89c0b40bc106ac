namespace GMix.Experiments

open System
open System.Globalization
open System.Net
open System.Text

/// Figures as static SVG: for papers, and for a report where no script runs.
[<RequireQualifiedAccess>]
module FigureSvg =
    let private width, private plotHeight = 640.0, 330.0
    let private left, private right, private top = 58.0, 16.0, 14.0
    let private fontSize = 13.0
    let private legendLine = 20.0

    let private num (value: float) = value.ToString("0.##", CultureInfo.InvariantCulture)
    let private escape (text: string) = WebUtility.HtmlEncode text

    /// About `count` round values that cover low to high (1, 2 or 5 times a power of ten apart).
    let ticks (count: int) (low: float) (high: float) : float list =
        if high <= low then [ low ]
        else
            let raw = (high - low) / float count
            let power = 10.0 ** floor (log10 raw)
            let step =
                match raw / power with
                | r when r < 1.5 -> power
                | r when r < 3.5 -> 2.0 * power
                | r when r < 7.5 -> 5.0 * power
                | _ -> 10.0 * power
            [ for i in ceil (low / step - 1e-9) .. floor (high / step + 1e-9) -> i * step + 0.0 ]

    /// A tick's text with no more digits than its neighbours need.
    let private tickText (value: float) = (Math.Round(value, 6) + 0.0).ToString("0.######", CultureInfo.InvariantCulture)

    // a system font's average advance; only the legend's line breaks depend on it
    let private textWidth (text: string) = 0.58 * fontSize * float text.Length

    let private dashArray dash =
        match dash with
        | Dash.Solid -> ""
        | Dash.Dashed -> " stroke-dasharray=\"8 4\""
        | Dash.Dotted -> " stroke-dasharray=\"2 4\""
        | Dash.DashDot -> " stroke-dasharray=\"9 4 2 4\""

    /// Legend entries in lines that fit the width.
    let private legendRows (names: string list) =
        let entry (name: string) = 36.0 + textWidth name + 14.0
        let rows, last, _ =
            (([], [], 0.0), names)
            ||> List.fold (fun (rows, row, used) name ->
                if used + entry name > width - left - right && not (List.isEmpty row) then (List.rev row :: rows, [ name ], entry name)
                else (rows, name :: row, used + entry name))
        List.rev (List.rev last :: rows) |> List.map (fun row -> row |> List.map (fun name -> name, entry name))

    /// Low and high end of an axis: the data with a little air, or the ticks where they reach further.
    let private range (axis: Axis) air (extent: (float * float) option) =
        let low, high = extent |> Option.defaultValue (0.0, 1.0)
        let low, high = (if axis.Ticks.IsEmpty then low, high else min low (List.min axis.Ticks), max high (List.max axis.Ticks))
        match axis.Scale with
        | Scale.Log when low > 0.0 ->
            let pad = max (air * (log high - log low)) 0.05
            exp (log low - pad), exp (log high + pad)
        | _ ->
            let pad = if high > low then air * (high - low) else max (abs high * 0.05) 0.5
            low - pad, high + pad

    let private project (axis: Axis) (low, high) (first, last) (value: float) =
        let share =
            match axis.Scale with
            | Scale.Log when low > 0.0 -> (log value - log low) / (log high - log low)
            | _ -> (value - low) / (high - low)
        first + share * (last - first)

    let private draw (background: string option) (ink: string) (figure: Figure) : string =
        let points = figure.Series |> List.exists (fun s -> s.Mark = Mark.LabelledPoints)
        let rows = if points then [] else legendRows (figure.Series |> List.map (fun s -> s.Name))
        let bottom = 44.0
        let height = top + plotHeight + bottom + legendLine * float rows.Length + 6.0
        let xRange = range figure.X (if points then 0.12 else 0.01) (Figure.xExtent figure)
        let yRange = range figure.Y (if points then 0.12 else 0.05) (Figure.yExtent figure)
        let x = project figure.X xRange (left, width - right)
        let y = project figure.Y yRange (top + plotHeight, top)
        let out = StringBuilder()
        let add (text: string) = out.Append(text).Append('\n') |> ignore
        add $"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {num width} {num height}" role="img" aria-label="{escape figure.Title}" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="{num fontSize}" fill="{ink}">"""
        add $"<title>{escape figure.Title}</title>"
        match background with
        | Some colour -> add $"""<rect width="{num width}" height="{num height}" fill="{colour}"/>"""
        | None -> ()
        for t in (if figure.Y.Ticks.IsEmpty then ticks 5 (fst yRange) (snd yRange) else figure.Y.Ticks) do
            add $"""<line x1="{num left}" x2="{num (width - right)}" y1="{num (y t)}" y2="{num (y t)}" stroke="{ink}" stroke-opacity="0.15"/>"""
            add $"""<text x="{num (left - 8.0)}" y="{num (y t + 4.5)}" text-anchor="end">{tickText t}</text>"""
        for t in (if figure.X.Ticks.IsEmpty then ticks 7 (fst xRange) (snd xRange) else figure.X.Ticks) do
            add $"""<line x1="{num (x t)}" x2="{num (x t)}" y1="{num (top + plotHeight)}" y2="{num (top + plotHeight + 5.0)}" stroke="{ink}"/>"""
            add $"""<text x="{num (x t)}" y="{num (top + plotHeight + 20.0)}" text-anchor="middle">{tickText t}</text>"""
        add $"""<line x1="{num left}" x2="{num (width - right)}" y1="{num (top + plotHeight)}" y2="{num (top + plotHeight)}" stroke="{ink}"/>"""
        add $"""<text x="{num ((left + width - right) / 2.0)}" y="{num (top + plotHeight + 39.0)}" text-anchor="middle">{escape figure.X.Title}</text>"""
        let middle = top + plotHeight / 2.0
        add $"""<text x="14" y="{num middle}" text-anchor="middle" transform="rotate(-90 14 {num middle})">{escape figure.Y.Title}</text>"""
        let usable (x: float) (y: float) = Double.IsFinite x && Double.IsFinite y
        for s in figure.Series do
            match s.Band, s.Mark with
            | Some(low, high), (Mark.Line | Mark.LineAndPoints) ->
                let edge values = List.zip s.X values |> List.filter (fun (a, b) -> usable a b) |> List.map (fun (a, b) -> $"{num (x a)},{num (y b)}")
                let outline = edge low @ List.rev (edge high) |> String.concat " "
                add $"""<polygon points="{outline}" fill="{s.Colour}" fill-opacity="0.16"/>"""
            | Some(low, high), Mark.LabelledPoints ->
                for px, l, h in List.zip3 s.X low high do
                    if usable px l && usable px h then
                        add $"""<line x1="{num (x px)}" x2="{num (x px)}" y1="{num (y l)}" y2="{num (y h)}" stroke="{s.Colour}" stroke-width="1.5"/>"""
            | None, _ -> ()
        for s in figure.Series do
            let whole = List.zip s.X s.Y |> List.filter (fun (a, b) -> usable a b)
            if s.Mark <> Mark.LabelledPoints then
                let path = whole |> List.map (fun (a, b) -> $"{num (x a)},{num (y b)}") |> String.concat " "
                add $"""<polyline points="{path}" fill="none" stroke="{s.Colour}" stroke-width="2.2" stroke-linejoin="round"{dashArray s.Dash}/>"""
            if s.Mark <> Mark.Line || whole.Length = 1 then
                for a, b in whole do
                    add $"""<circle cx="{num (x a)}" cy="{num (y b)}" r="4" fill="{s.Colour}"/>"""
            if s.Mark = Mark.LabelledPoints then
                for a, b in whole do
                    // in the right half the name goes to the left of its point, so that it stays inside the frame
                    let dx, anchor = if x a > (left + width - right) / 2.0 then -9.0, "end" else 9.0, "start"
                    add $"""<text x="{num (x a + dx)}" y="{num (y b + 4.5)}" text-anchor="{anchor}">{escape s.Name}</text>"""
        rows
        |> List.iteri (fun r row ->
            let baseline = top + plotHeight + bottom + legendLine * float (r + 1) - 4.0
            let mutable at = left
            for name, wide in row do
                let s = figure.Series |> List.find (fun s -> s.Name = name)
                add $"""<line x1="{num at}" x2="{num (at + 28.0)}" y1="{num (baseline - 4.5)}" y2="{num (baseline - 4.5)}" stroke="{s.Colour}" stroke-width="2.6"{dashArray s.Dash}/>"""
                add $"""<text x="{num (at + 34.0)}" y="{num baseline}">{escape name}</text>"""
                at <- at + wide)
        add "</svg>"
        out.ToString()

    /// A stand-alone SVG: black on white.
    let standalone (figure: Figure) : string = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n" + draw (Some "#ffffff") "#000000" figure

    /// An SVG element for a page: its text has the page's colour, its ground is transparent.
    let inlined (figure: Figure) : string = draw None "currentColor" figure

    /// Writes PATH as a stand-alone SVG.
    let save (path: string) (figure: Figure) : unit = RunStore.writeAtomically path (standalone figure)
