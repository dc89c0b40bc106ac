namespace GMix.Experiments

open System
open System.Globalization
open System.IO
open System.Text
open System.Text.Json.Nodes
open System.Text.RegularExpressions

/// Tables as Markdown, CSV and LaTeX.
[<RequireQualifiedAccess>]
module TableWriters =
    /// "¹", "²", "³" or nothing: marks that survive where there is neither bold nor colour.
    let mark (cell: Cell) =
        match cell.Rank with
        | Some 1 -> "¹"
        | Some 2 -> "²"
        | Some 3 -> "³"
        | _ -> ""

    /// The line that explains the marks, for a table that has some.
    let rankLegend (table: Table) : string list =
        if table.Rows |> List.exists (List.exists (fun c -> c.Rank.IsSome)) then
            [ "Ranks: ¹ best (bold), ² second (underlined), ³ third (italic)." ]
        else
            []

    let private lines (parts: string seq) = String.Join("\n", parts) + "\n"

    let private escapeMarkdown (text: string) = text.Replace("|", "\\|")

    /// GitHub's Markdown; ranks as bold, underlined, italic, and as superscripts.
    let markdown (table: Table) : string =
        let cell (c: Cell) =
            let text = escapeMarkdown c.Text
            match c.Rank with
            | Some 1 -> $"**{text}**{mark c}"
            | Some 2 -> $"<u>{text}</u>{mark c}"
            | Some 3 -> $"*{text}*{mark c}"
            | _ -> text
        let row texts = "| " + String.Join(" | ", (texts: string list)) + " |"
        lines
            [ $"**{table.Title}**"
              ""
              table.Scale
              ""
              row (table.Columns |> List.map escapeMarkdown)
              row (table.Columns |> List.mapi (fun i _ -> if i = 0 then ":---" else "---:"))
              for cells in table.Rows do
                  row (cells |> List.map cell)
              for line in rankLegend table @ table.Legend do
                  ""
                  line ]

    let private quote (text: string) =
        if text.IndexOfAny [| ','; '"'; '\n'; '\r' |] >= 0 then "\"" + text.Replace("\"", "\"\"") + "\"" else text

    /// RFC 4180 with a header line; ranks are left out, a missing number is an empty field.
    let csv (table: Table) : string =
        let field (text: string) = if text = Cell.missing.Text then "" else quote text
        lines
            [ String.Join(",", table.Columns |> List.map quote)
              for cells in table.Rows do
                  String.Join(",", cells |> List.map (fun c -> field c.Text)) ]

    let private escapeLatex (text: string) =
        let builder = StringBuilder()
        // a minus sign, not a hyphen, before a number
        for c in Regex.Replace(text, @"(?<![\w.\-])-(?=\d)", "−") do
            match c with
            | '&' | '%' | '$' | '#' | '_' | '{' | '}' -> builder.Append('\\').Append(c) |> ignore
            | '\\' -> builder.Append(@"\textbackslash{}") |> ignore
            | '~' -> builder.Append(@"\textasciitilde{}") |> ignore
            | '^' -> builder.Append(@"\textasciicircum{}") |> ignore
            | '±' -> builder.Append(@"$\pm$") |> ignore
            | '×' -> builder.Append(@"$\times$") |> ignore
            | '·' -> builder.Append(@"$\cdot$") |> ignore
            | '−' -> builder.Append("$-$") |> ignore
            | '–' -> builder.Append("--") |> ignore
            | 'ρ' -> builder.Append(@"$\rho$") |> ignore
            | 'γ' -> builder.Append(@"$\gamma$") |> ignore
            | 'α' -> builder.Append(@"$\alpha$") |> ignore
            | c -> builder.Append(c) |> ignore
        builder.ToString()

    /// A `table` environment with booktabs rules; ranks as bold, underlined, italic.
    let latex (table: Table) : string =
        let cell (c: Cell) =
            let text = escapeLatex c.Text
            match c.Rank with
            | Some 1 -> $@"\textbf{{{text}}}"
            | Some 2 -> $@"\underline{{{text}}}"
            | Some 3 -> $@"\textit{{{text}}}"
            | _ -> text
        let row texts = String.Join(" & ", (texts: string list)) + @" \\"
        lines
            [ "% needs \\usepackage{booktabs}"
              @"\begin{table}[t]"
              @"\centering"
              $@"\caption{{{escapeLatex table.Title}}}"
              $@"\begin{{tabular}}{{l{String('r', table.Columns.Length - 1)}}}"
              @"\toprule"
              row (table.Columns |> List.map escapeLatex)
              @"\midrule"
              for cells in table.Rows do
                  row (cells |> List.map cell)
              @"\bottomrule"
              @"\end{tabular}"
              if not (rankLegend table).IsEmpty then
                  @"\par\footnotesize \textbf{Bold}: best; \underline{underlined}: second; \textit{italic}: third."
              for line in table.Scale :: table.Legend |> List.filter ((<>) "") do
                  $@"\par\footnotesize {escapeLatex line}"
              @"\end{table}" ]

    let private round (value: float) = value.ToString("0.######", CultureInfo.InvariantCulture)
    let private optional value = value |> Option.map round |> Option.defaultValue ""

    /// One line per run with plain numbers: the machine-readable summary (summary.csv).
    let summaryCsv (comparisons: Comparison list) : string =
        lines
            [ "dataset,model,method,label,seed,preset,augment,epochs,epochs_done,batch,train_images,test_images,kind,best_acc,best_acc_epoch,best_gap,best_gap_epoch,gap_at_best_acc,last_acc,last_gap,clean_train_acc,clean_gap,seconds,images_per_second,precision,threads,commit,run"
              for comparison in comparisons do
                  for group in comparison.Groups do
                      for r in group.Runs do
                          let c, file = r.Run.Config, r.Run.File
                          [ c.Dataset; c.Model; c.Method.Name; group.Label; string c.Seed; c.Preset; c.Augment; string c.Epochs
                            string r.Run.Epochs.Length; string c.Batch; string file.Data.Train; string file.Data.Test; file.Data.Kind
                            round r.BestAcc.Value; string r.BestAcc.Epoch
                            optional (r.BestGap |> Option.map (fun b -> b.Value))
                            r.BestGap |> Option.map (fun b -> string b.Epoch) |> Option.defaultValue ""
                            optional r.GapAtBestAcc; round r.LastAcc; optional r.LastGap; optional r.CleanTrainAcc; optional r.CleanGap
                            round r.Seconds; round r.ImagesPerSecond; c.Precision; string c.Threads; file.Environment.Commit; file.Id ]
                          |> List.map quote
                          |> String.concat "," ]

    /// Writes summary.csv into a folder and returns its path.
    let saveSummary (folder: string) (comparisons: Comparison list) : string =
        let path = Path.Combine(folder, "summary.csv")
        RunStore.writeAtomically path (summaryCsv comparisons)
        path

    let private numberNode (value: float) : JsonNode = if Double.IsFinite value then JsonValue.Create value else null

    let private spreadNode (value: Spread option) : JsonNode =
        match value with
        | None -> null
        | Some s ->
            JsonObject(
                dict [ "mean", numberNode s.Mean
                       "std", (match s.Std with Some std -> numberNode std | None -> null)
                       "n", JsonValue.Create s.N ]
            )

    /// One object per data set, model and method with means and deviations over seeds, for programs: a JSON array on one line.
    let json (comparisons: Comparison list) : string =
        let groups =
            [| for comparison in comparisons do
                   for g in comparison.Groups do
                       JsonObject(
                           dict [ "dataset", JsonValue.Create comparison.Dataset :> JsonNode
                                  "model", JsonValue.Create comparison.Model
                                  "method", JsonValue.Create g.Method.Name
                                  "label", JsonValue.Create g.Label
                                  "seeds", JsonArray([| for seed in g.Seeds -> JsonValue.Create seed :> JsonNode |])
                                  "bestAcc", spreadNode (Some g.Acc)
                                  "bestGap", spreadNode g.Gap
                                  "lastAcc", spreadNode (Some g.LastAcc)
                                  "lastGap", spreadNode g.LastGap
                                  "cleanTrainAcc", spreadNode g.CleanTrainAcc
                                  "cleanGap", spreadNode g.CleanGap
                                  "seconds", spreadNode (Some g.Seconds)
                                  "imagesPerSecond", spreadNode (Some g.ImagesPerSecond) ]
                       )
                       :> JsonNode |]
        JsonArray(groups).ToJsonString()
