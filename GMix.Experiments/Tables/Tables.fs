namespace GMix.Experiments

open System
open System.Globalization

/// One cell of a table. The rank (1 to 3) is marked by each writer in its own way.
type Cell = { Text: string; Rank: int option }

/// A table as a value; writers turn it into console, Markdown, CSV, LaTeX or HTML.
type Table =
    { Title: string
      /// Data set, size, seeds, epochs: what a reader needs to weigh the numbers.
      Scale: string
      /// Header texts; the first column holds the row names.
      Columns: string list
      Rows: Cell list list
      /// How to read marks and columns.
      Legend: string list }

[<RequireQualifiedAccess>]
module Cell =
    let text value = { Text = value; Rank = None }

    /// Stands where there is no number.
    let missing = text "–"

/// Numbers as text, the same in every culture.
[<RequireQualifiedAccess>]
module Format =
    let private invariant = CultureInfo.InvariantCulture

    let number (decimals: int) (value: float) = value.ToString($"F{decimals}", invariant)

    /// With a plus sign in front of positive values.
    let signed (decimals: int) (value: float) = (if value > 0.0 then "+" else "") + number decimals value

    /// "71.23 ± 0.41", or without the deviation for a single value.
    let spread (decimals: int) (value: Spread) =
        match value.Std with
        | Some std -> $"{number decimals value.Mean} ± {number decimals std}"
        | None -> number decimals value.Mean

    /// "842 s", "14 min", "2.3 h".
    let duration (seconds: float) =
        if seconds < 10.0 then $"{number 1 seconds} s"
        elif seconds < 600.0 then $"{number 0 seconds} s"
        elif seconds < 7200.0 then $"{number 0 (seconds / 60.0)} min"
        else $"{number 1 (seconds / 3600.0)} h"

    let count (value: int) = value.ToString("N0", invariant)

    /// "0–4" for runs of neighbours, else "0, 2, 5".
    let seeds (values: int list) =
        let values = values |> List.distinct |> List.sort
        match values with
        | first :: _ :: _ :: _ when List.last values - first = values.Length - 1 -> $"{first}–{List.last values}"
        | _ -> values |> List.map string |> String.concat ", "

[<RequireQualifiedAccess>]
module Tables =
    /// The first three distinct values from the top get ranks 1 to 3; values that print alike share a rank.
    let ranks (decimals: int) (values: float option list) : int option list =
        let printed = values |> List.map (Option.map (fun v -> Math.Round(v, decimals)))
        let top = printed |> List.choose id |> List.distinct |> List.sortDescending
        // with fewer than two different values a mark says nothing
        if top.Length < 2 then values |> List.map (fun _ -> None)
        else
            printed
            |> List.map (Option.bind (fun v ->
                match top |> List.findIndex ((=) v) with
                | index when index < 3 -> Some(index + 1)
                | _ -> None))

    let private titles =
        Map.ofList
            [ "svhn", "SVHN"; "cifar10", "CIFAR-10"; "cifar100", "CIFAR-100"; "stl10", "STL-10"
              "tiny-imagenet", "Tiny-ImageNet"; "synthetic", "synthetic shapes" ]

    /// A data set's name as it is written in text.
    let datasetTitle (name: string) = titles |> Map.tryFind name |> Option.defaultValue name

    /// "WRN-16-4" for "wrn-16-4".
    let modelTitle (name: string) =
        match name with
        | "mobilenet" -> "MobileNet"
        | "resnet18" -> "ResNet-18"
        | "mlp" -> "MLP"
        | name when name.StartsWith "mobilenet-" -> "MobileNet-" + name.Substring 10
        | name when name.StartsWith "mlp-" -> "MLP-" + name.Substring 4
        | name when name.StartsWith "wrn" -> name.ToUpperInvariant()
        | name -> name

    let private plural (count: int) (word: string) = if count = 1 then $"1 {word}" else $"{Format.count count} {word}s"

    /// "one value", or the distinct values of the runs joined.
    let private joined (select: Run -> string) (runs: Run list) =
        runs |> List.map select |> List.distinct |> String.concat " / "

    /// The line that states data set, kind and size, seeds, epochs and preset of a comparison.
    let scale (comparison: Comparison) =
        let runs = comparison.Runs |> List.map (fun r -> r.Run)
        let data = runs |> joined (fun r -> $"{Format.count r.File.Data.Train} training and {Format.count r.File.Data.Test} test images")
        // "synthetic shapes" has said it already
        let kind = match comparison.Dataset with "synthetic" -> "" | _ -> " (" + joined (fun r -> r.File.Data.Kind) runs + ")"
        let seeds = runs |> List.map (fun r -> r.Config.Seed) |> List.distinct
        let planned = runs |> List.map (fun r -> r.Config.Epochs) |> List.max
        let unfinished = runs |> List.filter (fun r -> r.Epochs.Length < r.Config.Epochs) |> List.length
        [ $"{datasetTitle comparison.Dataset}{kind}, {data}"
          modelTitle comparison.Model
          plural planned "epoch"
          (if seeds.Length = 1 then $"1 seed ({seeds.Head})" else $"{seeds.Length} seeds ({Format.seeds seeds})")
          $"""batch {runs |> joined (fun r -> string r.Config.Batch)}"""
          $"""preset {runs |> joined (fun r -> r.Config.Preset)}"""
          if unfinished > 0 then
              plural unfinished "run" + " unfinished" ]
        |> String.concat " · "

    let private columnLegend several =
        (if several then "Mean ± standard deviation (n-1) over seeds. " else "")
        + "Acc: best test accuracy in % over the epochs. Gap: best of (test accuracy - accuracy on mixed training batches) in points, higher is better; best Acc and best Gap may come from different epochs. "
        + "Clean gap: test accuracy - accuracy on the clean training set, last epoch. Seconds: training without evaluation."

    /// How many images the runs of a comparison were trained and tested on: "500 / 8,000".
    let images (comparison: Comparison) =
        comparison.Runs
        |> List.map (fun r -> r.Run.File.Data)
        |> List.sortBy (fun d -> d.Train)
        |> List.map (fun d -> $"{Format.count d.Train} / {Format.count d.Test}")
        |> List.distinct
        |> String.concat "; "

    /// What the paper's numbers are where some stand beside ours, and why none do where the paper has that data set.
    let paperLegend (comparisons: Comparison list) : string list =
        let shown, others = comparisons |> List.partition (fun c -> c.Groups |> List.exists (fun g -> (PaperNumbers.beside g).IsSome))
        let elsewhere = others |> List.filter (fun c -> PaperNumbers.hasDataset c.Dataset && not (c.Runs |> List.forall (fun r -> PaperNumbers.onItsGround r.Run)))
        let names = elsewhere |> List.map (fun c -> $"{datasetTitle c.Dataset} {modelTitle c.Model}") |> String.concat ", "
        [ if not shown.IsEmpty then
              "Paper: Tables I and II of arXiv 2308.03236v2; – where the published number is not known."
          if not elsewhere.IsEmpty then
              $"No published number stands beside {names}: the paper's are for its own models (MobileNet, WRN, ResNet-18) on all of the official images, and say nothing about smaller nets or other data." ]

    let internal spreadCell decimals rank (value: Spread option) =
        match value with
        | Some s -> { Text = Format.spread decimals s; Rank = rank }
        | None -> Cell.missing

    let internal meanOf (value: Spread option) = value |> Option.map (fun s -> s.Mean)

    let verdictWord verdict =
        match verdict with
        | Verdict.Better -> "better"
        | Verdict.Worse -> "worse"
        | Verdict.NotDistinguishable -> "not distinguishable"

    /// "+0.42 [0.10, 0.75] better": mean difference, 95 % bootstrap interval, verdict.
    let differenceText (difference: PairedDifference) =
        let mean = Format.signed 2 difference.Mean
        match difference.Bootstrap with
        | None -> $"{mean} (one seed)"
        | Some interval ->
            $"{mean} [{Format.number 2 interval.Low}, {Format.number 2 interval.High}] {verdictWord difference.Verdict}"

    /// The ending table of a comparison: method, Acc, Gap, clean-train gap, seconds, time against Vanilla.
    let comparison (comparison: Comparison) : Table =
        let groups = comparison.Groups
        let accRanks = groups |> List.map (fun g -> Some g.Acc.Mean) |> ranks 2
        let gapRanks = groups |> List.map (fun g -> meanOf g.Gap) |> ranks 2
        let vanilla = Summary.vanilla groups |> Option.map (fun g -> g.Seconds.Mean)
        let several = groups |> List.exists (fun g -> g.Runs.Length > 1)
        let uneven = groups |> List.map (fun g -> g.Runs.Length) |> List.distinct |> List.length > 1
        let paper = groups |> List.map PaperNumbers.beside
        let withPaper = paper |> List.exists Option.isSome
        { Title = $"{datasetTitle comparison.Dataset}, {modelTitle comparison.Model}"
          Scale = scale comparison
          Columns =
            [ "Method"
              "Acc %"
              "Gap"
              "Clean gap"
              "Seconds"
              "× Vanilla"
              if uneven then "n"
              if withPaper then "Paper Acc / Gap" ]
          Rows =
            [ for group, accRank, gapRank, published in List.zip3 groups accRanks gapRanks |> List.map2 (fun p (g, a, r) -> g, a, r, p) paper do
                  [ Cell.text group.Label
                    { Text = Format.spread 2 group.Acc; Rank = accRank }
                    spreadCell 2 gapRank group.Gap
                    spreadCell 2 None group.CleanGap
                    Cell.text (Format.number 1 group.Seconds.Mean)
                    (match vanilla with
                     | Some seconds when seconds > 0.0 -> Cell.text (Format.number 2 (group.Seconds.Mean / seconds))
                     | _ -> Cell.missing)
                    if uneven then Cell.text (string group.Runs.Length)
                    if withPaper then
                        match published with
                        | Some cell -> Cell.text $"{Format.number 2 cell.Acc} / {Format.number 2 cell.Gap}"
                        | None -> Cell.missing ] ]
          Legend = columnLegend several :: paperLegend [ comparison ] }

    let internal differenceLegend =
        "Paired difference over shared seeds with a 95 % bootstrap interval (BCa, 10,000 resamples, fixed seed). Better or worse is said only when Student's t interval excludes zero as well: with few seeds the bootstrap alone is too narrow."

    /// Each method against the one above it on the seeds they share: paired difference of best Acc and best Gap with a 95 % bootstrap interval.
    let differences (comparison: Comparison) : Table =
        let cellOf measure (lower, upper) =
            match Summary.difference measure lower upper with
            | Some d -> Cell.text (differenceText d)
            | None -> Cell.missing
        { Title = "Each method against the row above it"
          Scale = scale comparison
          Columns = [ "Method"; "Against"; "Acc, points"; "Gap, points" ]
          Rows =
            [ for upper, lower in List.pairwise comparison.Groups do
                  [ Cell.text lower.Label
                    Cell.text upper.Label
                    cellOf Summary.acc (lower, upper)
                    cellOf Summary.gap (lower, upper) ] ]
          Legend =
            [ differenceLegend ] }

    /// Every run: what lies behind the means.
    let runs (comparison: Comparison) : Table =
        let optional decimals value = value |> Option.map (Format.number decimals >> Cell.text) |> Option.defaultValue Cell.missing
        { Title = "Every run"
          Scale = scale comparison
          Columns = [ "Method"; "Seed"; "Best Acc"; "at epoch"; "Best Gap"; "at epoch"; "Gap at best Acc"; "Last Acc"; "Last Gap"; "Clean train"; "Seconds"; "Images/s"; "Run" ]
          Rows =
            [ for group in comparison.Groups do
                  for r in group.Runs do
                      [ Cell.text group.Label
                        Cell.text (string r.Run.Config.Seed)
                        Cell.text (Format.number 2 r.BestAcc.Value)
                        Cell.text (string r.BestAcc.Epoch)
                        optional 2 (r.BestGap |> Option.map (fun b -> b.Value))
                        (r.BestGap |> Option.map (fun b -> Cell.text (string b.Epoch)) |> Option.defaultValue Cell.missing)
                        optional 2 r.GapAtBestAcc
                        Cell.text (Format.number 2 r.LastAcc)
                        optional 2 r.LastGap
                        optional 2 r.CleanTrainAcc
                        Cell.text (Format.number 1 r.Seconds)
                        Cell.text (Format.number 0 r.ImagesPerSecond)
                        Cell.text r.Run.Id ] ]
          Legend = [] }
