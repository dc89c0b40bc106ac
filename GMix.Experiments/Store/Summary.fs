namespace GMix.Experiments

open System
open System.Globalization
open System.Text.Json
open System.Text.RegularExpressions

/// The largest value over the epochs and the epoch it was first reached in.
type Best = { Value: float; Epoch: int }

/// The numbers of one run. Accuracies and gaps in percent. Best Acc and best Gap are independent maxima over the epochs (the paper's "best
/// achieved during training"); the last epoch's values stand beside them.
type RunSummary =
    { Run: Run
      BestAcc: Best
      /// None where no epoch has a Gap.
      BestGap: Best option
      LastAcc: float
      LastGap: float option
      GapAtBestAcc: float option
      /// Test accuracy minus accuracy on the clean training set, at the last epoch that measured it.
      CleanGap: float option
      CleanTrainAcc: float option
      /// Seconds of training, without evaluation, over all recorded epochs.
      Seconds: float
      ImagesPerSecond: float
      /// Sums over the epochs of what they record; None unless every epoch does.
      Forwards: float option
      Backwards: float option }

/// Runs that differ only in their seed.
type GroupSummary =
    { Key: string
      Method: MethodConfig
      /// The method's title, followed by what sets it apart where a title occurs more than once.
      Label: string
      Runs: RunSummary list
      Acc: Spread
      Gap: Spread option
      LastAcc: Spread
      LastGap: Spread option
      CleanGap: Spread option
      CleanTrainAcc: Spread option
      Seconds: Spread
      ImagesPerSecond: Spread }

    member group.Seeds = group.Runs |> List.map (fun r -> r.Run.Config.Seed)
    member group.Settings = group.Runs.Head.Run.Config

/// Groups on the same data and model, ordered as `Summary.groups` does.
type Comparison =
    { Dataset: string
      Model: string
      Groups: GroupSummary list }

    member comparison.Runs = comparison.Groups |> List.collect (fun g -> g.Runs)

[<RequireQualifiedAccess>]
module Summary =
    /// The largest value, earliest epoch on ties; NaN never wins. None when there is no value.
    let bestBy (measure: EpochRecord -> float option) (epochs: EpochRecord list) : Best option =
        (None, epochs)
        ||> List.fold (fun best epoch ->
            match best, measure epoch with
            | _, None -> best
            | _, Some value when Double.IsNaN value -> best
            | Some b, Some value when value <= b.Value -> best
            | _, Some value -> Some { Value = value; Epoch = epoch.Epoch })

    let private sumWhereAll (measure: EpochRecord -> float option) (epochs: EpochRecord list) =
        let values = epochs |> List.choose measure
        if values.Length = epochs.Length && not values.IsEmpty then Some(List.sum values) else None

    /// The summary of a run; None for a run without a finished epoch.
    let ofRun (run: Run) : RunSummary option =
        match bestBy (fun e -> Some e.TestAcc) run.Epochs with
        | None -> None
        | Some bestAcc ->
            let last = List.last run.Epochs
            let atBest = run.Epochs |> List.find (fun e -> e.Epoch = bestAcc.Epoch)
            let seconds = run.Epochs |> List.sumBy (fun e -> e.Seconds)
            Some
                { Run = run
                  BestAcc = bestAcc
                  BestGap = bestBy (fun e -> e.Gap) run.Epochs
                  LastAcc = last.TestAcc
                  LastGap = last.Gap
                  GapAtBestAcc = atBest.Gap
                  CleanGap = run.Epochs |> List.tryFindBack (fun e -> e.CleanGap.IsSome) |> Option.bind (fun e -> e.CleanGap)
                  CleanTrainAcc = run.Epochs |> List.tryFindBack (fun e -> e.CleanTrainAcc.IsSome) |> Option.bind (fun e -> e.CleanTrainAcc)
                  Seconds = seconds
                  ImagesPerSecond = (if seconds > 0.0 then float run.File.Data.Train * float run.Epochs.Length / seconds else 0.0)
                  Forwards = sumWhereAll (fun e -> e.Forwards) run.Epochs
                  Backwards = sumWhereAll (fun e -> e.Backwards) run.Epochs }

    let private groupOf (runs: RunSummary list) : GroupSummary =
        let settings = runs.Head.Run.Config
        let runs = runs |> List.sortBy (fun r -> r.Run.Config.Seed)
        let spreadOf (measure: RunSummary -> float) = runs |> List.map measure |> Statistics.spread
        // a mean over some of the seeds would not be comparable: all or nothing
        let spreadOfAll (measure: RunSummary -> float option) =
            let values = runs |> List.choose measure
            if values.Length = runs.Length then Some(Statistics.spread values) else None
        { Key = RunStore.groupKeyOf settings runs.Head.Run.File.Data
          Method = settings.Method
          Label = settings.Method.Title
          Runs = runs
          Acc = spreadOf (fun r -> r.BestAcc.Value)
          Gap = spreadOfAll (fun r -> r.BestGap |> Option.map (fun b -> b.Value))
          LastAcc = spreadOf (fun r -> r.LastAcc)
          LastGap = spreadOfAll (fun r -> r.LastGap)
          CleanGap = spreadOfAll (fun r -> r.CleanGap)
          CleanTrainAcc = spreadOfAll (fun r -> r.CleanTrainAcc)
          Seconds = spreadOf (fun r -> r.Seconds)
          ImagesPerSecond = spreadOf (fun r -> r.ImagesPerSecond) }

    let private elementText (element: JsonElement) =
        match element.ValueKind with
        | JsonValueKind.Number -> element.GetDouble().ToString("R", CultureInfo.InvariantCulture)
        | JsonValueKind.String -> element.GetString()
        | _ -> element.GetRawText()

    /// The configuration as flat "key, text" pairs; those of the method carry no prefix.
    let flatten (settings: RunSettings) : (string * string) list =
        let element = JsonSerializer.SerializeToElement(settings, JsonSerializerOptions(PropertyNamingPolicy = JsonNamingPolicy.CamelCase))
        [ for property in element.EnumerateObject() do
              if property.Name = "method" then
                  for inner in property.Value.EnumerateObject() do
                      if inner.Value.ValueKind <> JsonValueKind.Null then
                          inner.Name, elementText inner.Value
              elif property.Value.ValueKind <> JsonValueKind.Null then
                  property.Name, elementText property.Value ]

    /// What sets the members of a list of configurations apart: per member the keys whose text is not the same in all.
    let differences (settings: RunSettings list) : (string * string) list list =
        let flat = settings |> List.map (flatten >> Map.ofList)
        let keys = flat |> List.collect (Map.keys >> List.ofSeq) |> List.distinct
        let varying =
            keys
            |> List.filter (fun key ->
                key <> "seed" && (flat |> List.map (Map.tryFind key) |> List.distinct |> List.length) > 1)
        flat |> List.map (fun m -> varying |> List.choose (fun key -> m |> Map.tryFind key |> Option.map (fun text -> key, text)))

    /// Groups of one title get what sets them apart behind it, as "DG-Mix (batch 64)".
    let private withLabels (groups: GroupSummary list) =
        let differing =
            groups
            |> List.groupBy (fun g -> g.Method.Title)
            |> List.collect (fun (_, same) ->
                if same.Length = 1 then [ same.Head.Key, [] ]
                else List.zip (same |> List.map (fun g -> g.Key)) (same |> List.map (fun g -> g.Settings) |> differences))
            |> Map.ofList
        groups
        |> List.map (fun g ->
            match differing[g.Key] with
            | [] -> g
            | pairs ->
                let words = pairs |> List.map (fun (key, text) -> match key with "mix" | "perturb" | "combine" -> text | _ -> $"{key} {text}")
                { g with Label = $"""{g.Method.Title} ({String.Join(", ", words)})""" })

    /// The paper's rows from top to bottom; the table's "row above" follows it.
    let private paperRows = [ "vanilla"; "sam"; "mixup"; "gmix"; "bgmix"; "dgmix" ]

    /// Where a method stands among the rows: its place in the paper, others after them.
    let rowRank (methodName: string) = paperRows |> List.tryFindIndex ((=) methodName) |> Option.defaultValue paperRows.Length

    /// The paper's columns from left to right.
    let private columns = [ "svhn"; "stl10"; "cifar10"; "cifar100"; "tiny-imagenet" ]

    let private rankIn (order: string list) (name: string) = order |> List.tryFindIndex ((=) name) |> Option.defaultValue order.Length

    /// Numbers inside a label count as numbers: "batch 32" comes before "batch 128".
    let private naturalKey (label: string) =
        Regex.Split(label, @"(\d+(?:\.\d+)?)")
        |> Array.mapi (fun i part -> if i % 2 = 1 then Double.Parse(part, CultureInfo.InvariantCulture), "" else 0.0, part)
        |> List.ofArray

    /// Runs grouped over their seeds. The methods of the paper come first, in its order, then others in the order of first appearance; groups of one
    /// method are ordered by what sets them apart. Runs without a finished epoch are left out.
    let groups (runs: Run list) : GroupSummary list =
        let appearance = runs |> List.map (fun r -> r.Config.Method.Name) |> List.distinct
        runs
        |> List.choose ofRun
        |> List.groupBy (fun r -> RunStore.groupKeyOf r.Run.Config r.Run.File.Data)
        |> List.map (snd >> groupOf)
        |> withLabels
        |> List.sortBy (fun g -> rowRank g.Method.Name, rankIn appearance g.Method.Name, naturalKey g.Label)

    /// One comparison per data set and model: the paper's data sets first, in its order.
    let comparisons (runs: Run list) : Comparison list =
        runs
        |> List.groupBy (fun r -> r.Config.Dataset, r.Config.Model)
        |> List.map (fun ((dataset, model), runs) -> { Dataset = dataset; Model = model; Groups = groups runs })
        |> List.filter (fun c -> not c.Groups.IsEmpty)
        |> List.sortBy (fun c -> rankIn columns c.Dataset, c.Dataset, naturalKey c.Model)

    /// The values of two groups on the seeds they share, in the order of the seeds.
    let paired (measure: RunSummary -> float option) (first: GroupSummary) (second: GroupSummary) : (float * float) list =
        let bySeed (group: GroupSummary) =
            group.Runs |> List.choose (fun r -> measure r |> Option.map (fun v -> r.Run.Config.Seed, v)) |> Map.ofList
        let other = bySeed second
        bySeed first |> Map.toList |> List.choose (fun (seed, a) -> other |> Map.tryFind seed |> Option.map (fun b -> a, b))

    /// The paired difference first - second; None when they share no seed.
    let difference measure (first: GroupSummary) (second: GroupSummary) : PairedDifference option =
        match paired measure first second with
        | [] -> None
        | pairs ->
            let a, b = List.unzip pairs
            Some(Statistics.pairedDifference (Array.ofList a) (Array.ofList b))

    let acc (run: RunSummary) = Some run.BestAcc.Value
    let gap (run: RunSummary) = run.BestGap |> Option.map (fun b -> b.Value)

    /// The Vanilla group that time is measured against, where there is one.
    let vanilla (groups: GroupSummary list) = groups |> List.tryFind (fun g -> g.Method.Name = "vanilla")
