namespace GMix.Experiments

open System
open System.IO
open System.Net
open System.Reflection
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions

/// A drawing that is no line figure, such as a heat map: an SVG element, shown as it is.
type Picture =
    { /// Letters, digits and hyphens; unique within a report.
      Id: string
      Title: string
      Caption: string
      Svg: string }

/// A report to be written: `Report.create title |> Report.withRuns runs |> Report.save path`.
type Report =
    { Title: string
      Runs: Run list
      /// Said right below the finding: what a reader must know to read the numbers.
      Remarks: string list
      /// Further explanations, beside those every report carries.
      Notes: string list
      /// Figures beside the standard ones.
      Figures: Figure list
      /// Drawings, before the figures.
      Pictures: Picture list
      /// Tables beside the standard ones.
      Tables: Table list
      /// The command line that made the report.
      Command: string option
      /// Wall time of the whole job in seconds, evaluation and set-up included.
      WallSeconds: float option
      /// plotly.min.js; None: looked for at GMIX_PLOTLY and .cache/js/plotly.min.js.
      Plotly: string option }

[<RequireQualifiedAccess>]
module Report =
    let create title : Report =
        { Title = title; Runs = []; Remarks = []; Notes = []; Figures = []; Pictures = []; Tables = []; Command = None; WallSeconds = None; Plotly = None }

    let withRuns (runs: Run list) (report: Report) = { report with Runs = report.Runs @ runs }
    let withRemarks (remarks: string list) (report: Report) = { report with Remarks = report.Remarks @ remarks }
    let withNotes (notes: string list) (report: Report) = { report with Notes = report.Notes @ notes }
    let withFigures (figures: Figure list) (report: Report) = { report with Figures = report.Figures @ figures }
    let withPictures (pictures: Picture list) (report: Report) = { report with Pictures = report.Pictures @ pictures }
    let withTables (tables: Table list) (report: Report) = { report with Report.Tables = report.Tables @ tables }
    let withCommand (command: string) (report: Report) = { report with Command = Some command }
    let withWallTime (wall: TimeSpan) (report: Report) = { report with WallSeconds = Some wall.TotalSeconds }

    /// A plotly.min.js (its basic or cartesian bundle is enough) to put into the page.
    let withPlotly (path: string) (report: Report) = { report with Plotly = Some path }

    let private escape (text: string) = WebUtility.HtmlEncode text
    let private paragraph (text: string) = $"<p>{escape text}</p>"
    let private join (parts: string seq) = String.Join("\n", parts)

    let private asset name =
        use stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name: string)
        use reader = new StreamReader(stream)
        reader.ReadToEnd()

    /// plotly.min.js at GMIX_PLOTLY, else at .cache/js in the working directory, the command's folder or a folder above them.
    let findPlotly () : string option =
        let rec upwards (folder: DirectoryInfo) =
            if isNull folder then None
            else
                let path = Path.Combine(folder.FullName, ".cache", "js", "plotly.min.js")
                if File.Exists path then Some path else upwards folder.Parent
        match Environment.GetEnvironmentVariable "GMIX_PLOTLY" with
        | null
        | "" ->
            [ Environment.CurrentDirectory; AppContext.BaseDirectory ] |> List.tryPick (fun path -> upwards (DirectoryInfo path))
        | path when File.Exists path -> Some path
        | path -> raise (GMix.GMixInputException $"GMIX_PLOTLY names {path}, which does not exist; correct or unset it")

    /// Negative numbers with a true minus sign, for people's eyes only: files keep the hyphen.
    let private withMinus (text: string) = Regex.Replace(text, @"(?<![\w.\-])-(?=\d)", "−")

    let private cellHtml rowHeader (extra: string) (cell: Cell) =
        let start, tag = if rowHeader then "th scope=\"row\"", "th" else "td", "td"
        let text = escape (withMinus cell.Text)
        match cell.Rank with
        | Some rank -> $"<{start}><span class=\"rank{rank}\">{extra}{text}</span><sup>{rank}</sup></{tag}>"
        | None -> $"<{start}>{extra}{text}</{tag}>"

    /// `colours`: one per row, shown before its name; empty for none. `words`: columns of text, set left.
    let private tableHtml (colours: string list) words (table: Table) =
        let swatch index =
            match colours |> List.tryItem index with
            | Some colour -> $"<span class=\"swatch\" style=\"border-color:{colour}\"></span>"
            | None -> ""
        let row index cells =
            cells
            |> List.mapi (fun i c -> if i = 0 then cellHtml true (swatch index) c else cellHtml false "" c)
            |> String.concat ""
        let head = table.Columns |> List.map (fun c -> $"<th scope=\"col\">{escape c}</th>") |> String.concat ""
        join
            [ "<div class=\"scroll\"><table" + (if words then " class=\"words\"" else "") + ">"
              $"<thead><tr>{head}</tr></thead><tbody>"
              yield! table.Rows |> List.mapi (fun i cells -> $"<tr>{row i cells}</tr>")
              "</tbody></table></div>"
              match TableWriters.rankLegend table @ table.Legend with
              | [] -> ()
              | legend ->
                  let lines = legend |> List.map paragraph |> String.concat ""
                  $"<div class=\"legend\">{lines}</div>" ]

    let private figureHtml (figure: Figure) =
        join
            [ $"<figure id=\"{figure.Id}\"><h3>{escape figure.Title}</h3>"
              $"<div class=\"still\">{FigureSvg.inlined figure}</div><div class=\"live\"></div>"
              $"<figcaption>{escape figure.Caption}</figcaption></figure>" ]

    let private pictureHtml (picture: Picture) =
        $"<figure id=\"{picture.Id}\"><h3>{escape picture.Title}</h3><div class=\"still\">{picture.Svg}</div><figcaption>{escape picture.Caption}</figcaption></figure>"

    let private figuresHtml (figures: Figure list) =
        if figures.IsEmpty then "" else join [ "<div class=\"figures\">"; yield! figures |> List.map figureHtml; "</div>" ]

    let private findingHtml (finding: Finding) =
        let details = finding.Details |> List.map (fun d -> $"<li>{escape d}</li>") |> String.concat ""
        $"<div class=\"finding\"><p class=\"headline\">{escape finding.Headline}</p><ul>{details}</ul></div>"

    let private pairsHtml (pairs: (string * string) list) =
        let items = pairs |> List.map (fun (key, html) -> $"<dt>{escape key}</dt><dd>{html}</dd>") |> String.concat "\n"
        $"<dl>{items}</dl>"

    let private foldout (title: string) (html: string) = $"<details><summary>{escape title}</summary><div>{html}</div></details>"

    /// The settings all groups share, and per group what sets it apart.
    let private configurationHtml (comparison: Comparison) =
        let settings = comparison.Groups |> List.map (fun g -> g.Settings)
        let differing = Summary.differences settings
        let keys = differing |> List.collect (List.map fst) |> Set.ofList
        let shared =
            Summary.flatten settings.Head
            |> List.filter (fun (key, text) -> key <> "seed" && text <> "" && not (keys.Contains key))
            |> List.map (fun (key, text) -> key, escape text)
        let columns = differing |> List.collect (List.map fst) |> List.distinct |> List.filter (fun key -> key <> "name" && key <> "title")
        let apart: Table =
            { Title = ""
              Scale = ""
              Columns = "Method" :: columns
              Rows =
                [ for group, pairs in List.zip comparison.Groups differing do
                      let texts = Map.ofList pairs
                      Cell.text group.Label
                      :: (columns |> List.map (fun key -> texts |> Map.tryFind key |> Option.map Cell.text |> Option.defaultValue Cell.missing)) ]
              Legend = [] }
        join
            [ if not columns.IsEmpty then
                  "<h3>Per method</h3>"
                  tableHtml [] true apart
              "<h3>Shared by all</h3>"
              pairsHtml shared
              let json = RunStore.toJson comparison.Runs.Head.Run.File
              foldout "config.json of the first run" $"<pre>{escape json}</pre>" ]

    let private warningsOf (runs: Run list) =
        [ for run in runs do
              let name = $"{run.Config.Method.Title} on {Tables.datasetTitle run.Config.Dataset}, {Tables.modelTitle run.Config.Model}, seed {run.Config.Seed}"
              match run.State with
              | RunState.Complete -> ()
              | RunState.Partial epochs -> $"{name}: {epochs} of {run.Config.Epochs} epochs; this run is not finished."
              | RunState.Failed reason -> $"{name}: failed ({reason})."
              yield! run.Warnings ]

    let private comparisonHtml several (figures: Figure list) (diagnostics: Figure list) (comparison: Comparison) =
        let colours = comparison.Groups |> List.map (fun g -> fst (Palette.style g.Method.Name))
        let table = Tables.comparison comparison
        join
            [ "<section>"
              if several then
                  $"<h2>{escape table.Title}</h2>"
                  let details = (Findings.ofComparison comparison).Details |> List.map (fun d -> $"<li>{escape d}</li>") |> String.concat ""
                  $"<ul>{details}</ul>"
              (if several then "<h3>Results</h3>" else "<h2>Results</h2>")
              // a page with one comparison has its scale in the header
              (if several then $"<p class=\"scale\">{escape table.Scale}</p>" else "")
              tableHtml colours false table
              (if several then "" else "<h2>Curves</h2>")
              figuresHtml figures
              "<h2>Details</h2>"
              if comparison.Groups.Length > 1 then
                  foldout "Each method against the row above it" (tableHtml [] false (Tables.differences comparison))
              foldout "Every run" (tableHtml [] false (Tables.runs comparison))
              if not diagnostics.IsEmpty then
                  foldout "Diagnostics" (figuresHtml diagnostics)
              foldout "Configuration" (configurationHtml comparison)
              "</section>" ]

    let private shortCommit (commit: string) = if commit.Length > 12 then commit.Substring(0, 12) else commit

    let private evidenceHtml (report: Report) (comparisons: Comparison list) =
        let runs = report.Runs
        let distinct (select: Run -> string) =
            runs |> List.map select |> List.filter (fun text -> text <> "") |> List.distinct |> List.map escape |> String.concat "<br>"
        let trained = runs |> List.sumBy (fun r -> r.Epochs |> List.sumBy (fun e -> e.Seconds))
        let started = runs |> List.map (fun r -> r.File.Environment.Started) |> List.filter ((<>) "")
        let code html = if html = "" then "" else $"<code>{html}</code>"
        [ "Data", distinct (fun r -> $"{Tables.datasetTitle r.Config.Dataset}, {r.File.Data.Kind}" + (match r.Config.Data with Some path -> $", from {path}" | None -> ""))
          "Size", distinct (fun r -> $"{Format.count r.File.Data.Train} training images, {Format.count r.File.Data.Test} test images, {r.File.Data.Classes} classes" + (if r.Config.Limit > 0 then $" (limited to {Format.count r.Config.Limit})" else ""))
          "Scale", comparisons |> List.map (Tables.scale >> escape) |> String.concat "<br>"
          "Seeds", runs |> List.map (fun r -> r.Config.Seed) |> Format.seeds |> escape
          "Commit", code (distinct (fun r -> shortCommit r.File.Environment.Commit))
          "GMix", distinct (fun r -> r.File.Environment.Gmix)
          "libtorch", distinct (fun r -> r.File.Environment.Libtorch)
          "BLAS", distinct (fun r -> r.File.Environment.Blas)
          "Precision", distinct (fun r -> r.Config.Precision)
          "Device, threads", distinct (fun r -> $"{r.Config.Device}, {r.Config.Threads} threads")
          "Machine", distinct (fun r -> $"{r.File.Environment.Cpu}, {r.File.Environment.Cores} cores, {r.File.Environment.Os}")
          "Started", (if started.IsEmpty then "" else escape (List.min started))
          "Training time", escape $"{Format.duration trained} in {runs.Length} runs, evaluation not counted"
          "Wall time", report.WallSeconds |> Option.map (Format.duration >> escape) |> Option.defaultValue ""
          "Command", report.Command |> Option.map (fun c -> $"<pre>{escape c}</pre>") |> Option.defaultValue (code (distinct (fun r -> r.File.Environment.Command |> Option.defaultValue "")))
          "Runs", runs |> List.map (fun r -> r.Folder |> Path.GetDirectoryName) |> List.distinct |> List.map (fun f -> code (escape f)) |> String.concat "<br>" ]
        |> List.filter (fun (_, html) -> html <> "")
        |> pairsHtml

    let private standardNotes =
        [ "Acc is the share of test images classified correctly, after each epoch, without augmentation at test time. The table shows the best epoch, as the paper does; the last epoch stands under “Every run”."
          "Gap is Acc minus the accuracy on the vicinal (mixed) training batches of the same epoch. A mixed image earns the share λ for one of its two classes and 1 - λ for the other, so that accuracy cannot pass about three quarters, and Gap is often positive. Higher is better: a high Gap says that the network does well on test images for how well it fits its mixed training images. For methods that do not train on mixed images, it is measured on a mixed copy of the same batches."
          "Best Acc and best Gap are maxima taken independently: they may belong to different epochs. Gap at the best-Acc epoch and the last values stand under “Every run”."
          "The clean gap is Acc minus the accuracy on the whole training set without augmentation or mixing. It is the usual generalisation gap with its sign turned: close to zero is good."
          "In a figure: a click on a name hides its line, a box drawn with the mouse zooms in, a double click goes back."
          "Seconds count training only: neither evaluation nor passes made only for a metric." ]

    let private orderingHtml comparisons =
        match Findings.ordering comparisons with
        | None -> ""
        | Some test ->
            let lines = Findings.orderingText test |> List.map paragraph |> String.concat ""
            $"<h2>The paper's order, tested as a whole</h2><div class=\"notes\">{lines}</div>"

    /// The page as text.
    let render (report: Report) : string =
        let comparisons = Summary.comparisons report.Runs
        if comparisons.IsEmpty && report.Tables.IsEmpty && report.Figures.IsEmpty && report.Pictures.IsEmpty then
            raise (GMix.GMixInputException "there is nothing to report: no run has a finished epoch")
        let perComparison = comparisons |> List.map (fun c -> c, Charts.standard c, Charts.diagnostics c)
        let several = comparisons.Length > 1
        let figures = (perComparison |> List.collect (fun (_, standard, diagnostics) -> standard @ diagnostics)) @ report.Figures
        let summary =
            match comparisons with
            | [ one ] -> Tables.scale one
            | many -> $"{many.Length} comparisons, {report.Runs.Length} runs"
        let body =
            join
                [ "<div class=\"page\">"
                  $"<header><div><h1>{escape report.Title}</h1><p class=\"scale\">{escape summary}</p></div><button id=\"theme\" type=\"button\" hidden>Dark</button></header>"
                  "<main>"
                  match comparisons with
                  | [] -> ()
                  | [ one ] -> findingHtml (Findings.ofComparison one)
                  | many -> findingHtml (Findings.ofAll many)
                  match report.Remarks @ warningsOf report.Runs with
                  | [] -> ()
                  | remarks ->
                      let lines = remarks |> List.map paragraph |> String.concat ""
                      $"<div class=\"remarks\">{lines}</div>"
                  for table in report.Tables do
                      $"<h2>{escape table.Title}</h2><p class=\"scale\">{escape table.Scale}</p>"
                      tableHtml [] false table
                  if not (report.Figures.IsEmpty && report.Pictures.IsEmpty) then
                      "<h2>Figures</h2>"
                      "<div class=\"figures\">"
                      yield! report.Pictures |> List.map pictureHtml
                      yield! report.Figures |> List.map figureHtml
                      "</div>"
                  for comparison, figures, diagnostics in perComparison do
                      comparisonHtml several figures diagnostics comparison
                  orderingHtml comparisons
                  "<h2>How to read this</h2><div class=\"notes\">"
                  yield! standardNotes @ report.Notes |> List.map paragraph
                  "</div>"
                  if not report.Runs.IsEmpty then
                      "<h2>Evidence</h2>"
                      evidenceHtml report comparisons
                  "</main>"
                  "<footer>Written by GMix. This page is complete in itself: it loads nothing from the network.</footer>"
                  "</div>" ]
        let data = JsonObject()
        for figure in figures do
            data[figure.Id] <- FigurePlotly.json figure
        let plotly =
            match report.Plotly |> Option.orElseWith findPlotly with
            // a "</script" inside the library would end the element early
            | Some path -> "<script>" + File.ReadAllText(path).Replace("</script", "<\\/script", StringComparison.OrdinalIgnoreCase) + "</script>"
            | None -> ""
        // one pass over the template: text that is put in is never searched for further placeholders
        let values =
            Map.ofList
                [ "title", escape report.Title
                  "style", asset "report.css"
                  "body", body
                  // the default encoder writes < and > as \u escapes, so the JSON cannot end its script element
                  "figures", data.ToJsonString(JsonSerializerOptions())
                  "plotly", plotly
                  "script", asset "report.js" ]
        asset "report.html"
        |> _.Split("{{")
        |> Array.mapi (fun i part ->
            if i = 0 then part
            else
                let at = part.IndexOf "}}"
                values[part.Substring(0, at)] + part.Substring(at + 2))
        |> String.concat ""

    /// Writes the page; the file is whole or not there. Returns its path.
    let save (path: string) (report: Report) : string =
        RunStore.writeAtomically path (render report)
        path

    /// Writes every figure of the page as FOLDER/ID.svg, for papers. Returns the paths.
    let saveFigures (folder: string) (report: Report) : string list =
        [ for figure in (Summary.comparisons report.Runs |> List.collect (fun c -> Charts.standard c @ Charts.diagnostics c)) @ report.Figures do
              let path = Path.Combine(folder, figure.Id + ".svg")
              FigureSvg.save path figure
              path ]
