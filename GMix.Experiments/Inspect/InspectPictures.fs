namespace GMix.Experiments

open System
open System.Globalization
open System.Net
open System.Text
open GMix.Data

/// One example on a contact sheet.
type SheetCell =
    { /// channels · height · width bytes.
      Pixels: byte[]
      /// Lines below the picture.
      Lines: string list }

/// The drawings of `gmix inspect`: a heat map of a plane, a contact sheet with words.
[<RequireQualifiedAccess>]
module InspectPictures =
    let private num (value: float) = value.ToString("0.##", CultureInfo.InvariantCulture)
    let private short (value: float) = value.ToString("G4", CultureInfo.InvariantCulture)
    let private escape (text: string) = WebUtility.HtmlEncode text

    let private svg width height title (body: StringBuilder) =
        $"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {num width} {num height}" role="img" aria-label="{escape title}" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="13" fill="currentColor"><title>{escape title}</title>"""
        + body.ToString()
        + "</svg>"

    // dark to light with even steps of lightness, so that it reads in grey and by people with colour-vision deficiencies
    let private stops = [| 24, 28, 84; 62, 52, 146; 38, 110, 160; 46, 158, 140; 122, 200, 96; 240, 228, 66 |]

    /// Colour of a share in [0, 1].
    let private colour (share: float) =
        let at = Math.Clamp(share, 0.0, 1.0) * float (stops.Length - 1)
        let i = min (int at) (stops.Length - 2)
        let (r0, g0, b0), (r1, g1, b1) = stops[i], stops[i + 1]
        let mix a b = int (Math.Round(float a + (at - float i) * float (b - a)))
        $"#{mix r0 r1:x2}{mix g0 g1:x2}{mix b0 b1:x2}"

    /// Where the line `level` crosses a grid of values, as segments in grid coordinates (column, row): marching squares, each cell cut into two
    /// triangles so that no cell is ambiguous.
    let internal contour (values: float[][]) (level: float) : ((float * float) * (float * float)) list =
        let rows, columns = values.Length, values[0].Length
        let crossing ((x0, y0, a): float * float * float) ((x1, y1, b): float * float * float) =
            if (a < level) = (b < level) then None
            else
                let t = (level - a) / (b - a)
                Some(x0 + t * (x1 - x0), y0 + t * (y1 - y0))
        [ for i in 0 .. rows - 2 do
              for j in 0 .. columns - 2 do
                  let corner di dj = float (j + dj), float (i + di), values[i + di][j + dj]
                  let a, b, c, d = corner 0 0, corner 0 1, corner 1 1, corner 1 0
                  for p, q, r in [ a, b, c; a, c, d ] do
                      if [ p; q; r ] |> List.forall (fun (_, _, v) -> Double.IsFinite v) then
                          match [ crossing p q; crossing q r; crossing r p ] |> List.choose id with
                          | [ first; second ] -> first, second
                          | _ -> () ]

    /// A heat map with contour lines over coordinates `steps` (both ways); rows go upwards. Beside each field its value on hover.
    let heatMap (title: string) (value: string) (steps: float[]) (values: float[][]) (hover: int -> int -> string) : string =
        let left, top, side, barX = 58.0, 14.0, 430.0, 512.0
        let n = steps.Length
        let cell = side / float n
        let finite = values |> Seq.concat |> Seq.filter Double.IsFinite |> Array.ofSeq
        let low, high = (if finite.Length = 0 then 0.0, 1.0 else Array.min finite, Array.max finite)
        // losses on such a plane often span decades
        let logarithmic = low > 0.0 && high > 10.0 * low
        let scale (v: float) = if logarithmic then log v else v
        let unscale (v: float) = if logarithmic then exp v else v
        let from, upTo = scale low, scale high
        let share v = if upTo > from then (scale v - from) / (upTo - from) else 0.0
        let out = StringBuilder()
        let add (text: string) = out.Append(text).Append('\n') |> ignore
        let x j = left + (float j + 0.5) * cell
        let y i = top + side - (float i + 0.5) * cell
        for i in 0 .. n - 1 do
            for j in 0 .. n - 1 do
                let v = values[i][j]
                let fill = if Double.IsFinite v then colour (share v) else "#888888"
                add $"""<rect x="{num (left + float j * cell)}" y="{num (top + side - float (i + 1) * cell)}" width="{num (cell + 0.4)}" height="{num (cell + 0.4)}" fill="{fill}"><title>{escape (hover i j)}</title></rect>"""
        if upTo > from then
            for k in 1..9 do
                let level = unscale (from + float k / 10.0 * (upTo - from))
                let point (column, row) = $"{num (left + (column + 0.5) * cell)} {num (top + side - (row + 0.5) * cell)}"
                let path = contour values level |> List.map (fun (a, b) -> $"M{point a}L{point b}") |> String.concat ""
                if path <> "" then add $"""<path d="{path}" stroke="#ffffff" stroke-opacity="0.65" fill="none" pointer-events="none"/>"""
        let centre = n / 2
        add $"""<path d="M{num (x centre - 6.0)} {num (y centre)}h12M{num (x centre)} {num (y centre - 6.0)}v12" stroke="#ffffff" stroke-width="2.5" pointer-events="none"/>"""
        for i in [ 0; n / 4; centre; n - 1 - n / 4; n - 1 ] |> List.distinct do
            add $"""<text x="{num (x i)}" y="{num (top + side + 20.0)}" text-anchor="middle">{short steps[i]}</text>"""
            add $"""<text x="{num (left - 8.0)}" y="{num (y i + 4.5)}" text-anchor="end">{short steps[i]}</text>"""
        add $"""<text x="{num (left + side / 2.0)}" y="{num (top + side + 40.0)}" text-anchor="middle">first direction</text>"""
        add $"""<text x="14" y="{num (top + side / 2.0)}" text-anchor="middle" transform="rotate(-90 14 {num (top + side / 2.0)})">second direction</text>"""
        for k in 0..99 do
            add $"""<rect x="{num barX}" y="{num (top + side - float (k + 1) / 100.0 * side)}" width="18" height="{num (side / 100.0 + 0.4)}" fill="{colour (float k / 99.0)}"/>"""
        for k in 0..4 do
            let v = unscale (from + float k / 4.0 * (upTo - from))
            add $"""<text x="{num (barX + 25.0)}" y="{num (top + side - float k / 4.0 * side + (if k = 4 then 10.0 elif k = 0 then 0.0 else 4.5))}">{short v}</text>"""
        add $"""<text x="{num (barX - 2.0)}" y="{num (top + side + 20.0)}">{escape value}</text>"""
        svg 640.0 (top + side + 50.0) title out

    /// Pictures in rows, each with its words below. Of other than 1 or 3 channels the first is shown in grey.
    let contactSheet (title: string) (channels: int) (height: int) (width: int) (columns: int) (cells: SheetCell list) : string =
        let planes = if channels = 3 then 3 else 1
        let cellWidth, gap, line = 112.0, 10.0, 15.0
        let pictureHeight = cellWidth * float height / float width
        let lines = cells |> List.map (fun c -> c.Lines.Length) |> List.fold max 0
        let rowHeight = pictureHeight + line * float lines + gap + 4.0
        let out = StringBuilder()
        let add (text: string) = out.Append(text).Append('\n') |> ignore
        cells
        |> List.iteri (fun n cell ->
            let x, y = float (n % columns) * (cellWidth + gap), float (n / columns) * rowHeight
            let png = ImageCodec.EncodePng(ReadOnlySpan(cell.Pixels, 0, planes * height * width), planes, width, height)
            add $"""<image x="{num x}" y="{num y}" width="{num cellWidth}" height="{num pictureHeight}" style="image-rendering:pixelated" href="data:image/png;base64,{Convert.ToBase64String png}"/>"""
            cell.Lines
            |> List.iteri (fun i text ->
                add $"""<text x="{num x}" y="{num (y + pictureHeight + line * float (i + 1))}" font-size="12">{escape text}</text>"""))
        let rows = (cells.Length + columns - 1) / columns
        svg (float columns * (cellWidth + gap) - gap) (float rows * rowHeight) title out
