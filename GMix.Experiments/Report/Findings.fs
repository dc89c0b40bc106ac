namespace GMix.Experiments

open System

/// What the numbers say, in words a reader can check against the table.
type Finding =
    { Headline: string
      Details: string list }

/// The paper's order of methods tested as a whole over blocks (data set, model, seed).
type OrderingTest =
    { /// Titles in the order the paper claims, worst first.
      Claimed: string list
      /// Titles by mean rank, worst first.
      Observed: string list
      /// Data sets and models among the blocks; the rest of the blocks are seeds.
      Settings: int
      Friedman: FriedmanResult
      Page: PageResult }

[<RequireQualifiedAccess>]
module Findings =
    let private seedsOf (comparison: Comparison) = comparison.Runs |> List.map (fun r -> r.Run.Config.Seed) |> List.distinct

    let private points (value: float) = $"{Format.number 2 (abs value)} points"

    let private verdictText (difference: PairedDifference) =
        if difference.N < 2 then "one seed, no test possible"
        else
            match difference.Verdict with
            | Verdict.NotDistinguishable -> $"not distinguishable with {difference.N} seeds"
            | _ ->
                match difference.Bootstrap with
                | Some interval -> $"95 %% interval {Format.signed 2 interval.Low} to {Format.signed 2 interval.High}"
                | None -> ""

    /// Wilson's 95 % interval, in percent, of an accuracy on one test set; None without test images.
    let private sampling (accuracy: float) (images: int) =
        if images < 1 then None
        else
            let interval = Statistics.wilson 0.95 (accuracy / 100.0 * float images) images
            Some { Low = 100.0 * interval.Low; High = 100.0 * interval.High }

    /// The accuracy of guessing, when the best method is not distinguishable from it.
    let private atChance (best: GroupSummary) =
        let data = best.Runs.Head.Run.File.Data
        let chance = 100.0 / float (max 1 data.Classes)
        match sampling best.Acc.Mean data.Test with
        | Some interval when data.Classes > 1 && interval.Low <= chance -> Some chance
        | _ -> None

    let private headline (comparison: Comparison) (ranked: GroupSummary list) =
        let best = ranked.Head
        let where = $"{Tables.datasetTitle comparison.Dataset} with {Tables.modelTitle comparison.Model}"
        match atChance best with
        | Some chance ->
            $"No method does better than guessing ({Format.number 1 chance} %%) on {where}: the best, {best.Label}, reaches {Format.number 2 best.Acc.Mean} %%. Train longer or on more data."
        | None ->
            let start =
                match best.Acc.Std with
                | Some std -> $"{best.Label} has the best test accuracy on {where}: {Format.number 2 best.Acc.Mean} ± {Format.number 2 std} %% over {best.Acc.N} seeds"
                | None -> $"{best.Label} has the best test accuracy on {where}: {Format.number 2 best.Acc.Mean} %%"
            match Summary.vanilla ranked with
            | Some vanilla when vanilla.Key <> best.Key ->
                match Summary.difference Summary.acc best vanilla with
                | Some d -> $"{start}, {points d.Mean} above {vanilla.Label} ({verdictText d})."
                | None -> start + "."
            | _ -> start + "."

    let private runnerUp (ranked: GroupSummary list) =
        match ranked with
        | best :: second :: _ ->
            Summary.difference Summary.acc best second
            |> Option.map (fun d -> $"The runner-up is {second.Label}, {points d.Mean} behind ({verdictText d}).")
        | _ -> None

    let private bestGap (comparison: Comparison) =
        comparison.Groups
        |> List.choose (fun g -> g.Gap |> Option.map (fun gap -> g, gap))
        |> function
            | [] | [ _ ] -> None
            | withGap ->
                let group, gap = withGap |> List.maxBy (fun (_, gap) -> gap.Mean)
                Some $"{group.Label} has the best Gap: {Format.signed 2 gap.Mean} points."

    let private cost (comparison: Comparison) (best: GroupSummary) =
        match Summary.vanilla comparison.Groups with
        | Some vanilla when vanilla.Key <> best.Key && vanilla.Seconds.Mean > 0.0 ->
            Some $"It took {Format.number 2 (best.Seconds.Mean / vanilla.Seconds.Mean)} times the training time of {vanilla.Label}."
        | _ -> None

    let private yardstick (comparison: Comparison) (best: GroupSummary) =
        if (seedsOf comparison).Length > 1 then None
        else
            let images = best.Runs.Head.Run.File.Data.Test
            sampling best.Acc.Mean images
            |> Option.map (fun interval ->
                let half = (interval.High - interval.Low) / 2.0
                $"One seed says little: {Format.count images} test images alone fix an accuracy only to about ± {Format.number 1 half} points (Wilson, 95 %%). Use --seeds for a spread.")

    let private notConverged (comparison: Comparison) =
        match Summary.vanilla comparison.Groups with
        | Some { Label = label; CleanTrainAcc = Some clean } when clean.Mean < 99.0 ->
            Some $"{label} ends at {Format.number 1 clean.Mean} %% clean training accuracy: it has not fitted the training set, so these runs say more about speed of learning than about generalisation."
        | _ -> None

    /// Groups whose methods are in the claimed order, when each occurs once; worst first.
    let private claimedGroups (comparison: Comparison) =
        PaperNumbers.claimedOrder
        |> List.rev
        |> List.choose (fun name ->
            match comparison.Groups |> List.filter (fun g -> g.Method.Name = name) with
            | [ one ] -> Some one
            | _ -> None)

    let private observedOrder (comparison: Comparison) =
        let claimed = claimedGroups comparison
        if claimed.Length < 3 then None
        else
            let titles (groups: GroupSummary list) = groups |> List.map (fun g -> g.Method.Title) |> String.concat " < "
            let observed = claimed |> List.sortBy (fun g -> g.Acc.Mean)
            let holds = claimed |> List.pairwise |> List.forall (fun (lower, higher) -> higher.Acc.Mean >= lower.Acc.Mean)
            Some(
                if holds then $"The order of the paper appears here: {titles claimed}."
                else $"The order of the paper ({titles claimed}) does not appear here: {titles observed}."
            )

    /// The finding of one comparison.
    let ofComparison (comparison: Comparison) : Finding =
        let ranked = comparison.Groups |> List.sortByDescending (fun g -> g.Acc.Mean)
        { Headline = headline comparison ranked
          Details =
            [ cost comparison ranked.Head
              runnerUp ranked
              bestGap comparison
              observedOrder comparison
              yardstick comparison ranked.Head
              notConverged comparison ]
            |> List.choose id }

    /// The finding over several comparisons: who wins how often, and each comparison's headline.
    let ofAll (comparisons: Comparison list) : Finding =
        let winners =
            comparisons
            |> List.countBy (fun c -> (c.Groups |> List.maxBy (fun g -> g.Acc.Mean)).Method.Title)
            |> List.sortByDescending snd
            |> List.map (fun (title, count) -> $"{title} in {count}")
        { Headline = $"""Best test accuracy in {comparisons.Length} comparisons: {String.Join(", ", winners)}."""
          Details = comparisons |> List.map (fun c -> (ofComparison c).Headline) }

    /// Tests the claim 'DG ≥ BG ≥ G-Mix ≥ Mixup ≥ SAM ≥ Vanilla' on best test accuracy over all blocks (data set, model, seed) in which every one of
    /// the methods present took part. None with fewer than three methods or two blocks.
    let ordering (comparisons: Comparison list) : OrderingTest option =
        let present = comparisons |> List.map (claimedGroups >> List.map (fun g -> g.Method.Name))
        let names =
            PaperNumbers.claimedOrder |> List.rev |> List.filter (fun name -> not present.IsEmpty && present |> List.forall (List.contains name))
        let blocks =
            [ for comparison in comparisons do
                  let bySeed =
                      claimedGroups comparison
                      |> List.filter (fun g -> List.contains g.Method.Name names)
                      |> List.map (fun g -> g.Runs |> List.map (fun r -> r.Run.Config.Seed, r.BestAcc.Value) |> Map.ofList)
                  for seed in seedsOf comparison do
                      let row = bySeed |> List.choose (Map.tryFind seed)
                      if row.Length = names.Length then
                          Array.ofList row ]
        if names.Length < 3 || blocks.Length < 2 then None
        else
            let title name = (comparisons.Head.Groups |> List.find (fun g -> g.Method.Name = name)).Method.Title
            let table = Array.ofList blocks
            let friedman = Statistics.friedman 0.05 table
            Some
                { Claimed = names |> List.map title
                  Observed = List.zip names (List.ofArray friedman.MeanRanks) |> List.sortByDescending snd |> List.map (fst >> title)
                  Settings = comparisons.Length
                  Friedman = friedman
                  Page = Statistics.page table }

    let private pText p = if p < 0.001 then "p < 0.001" else $"p = {Format.number 3 p}"

    /// The ordering test in words.
    let orderingText (test: OrderingTest) : string list =
        let f = test.Friedman
        let ranks =
            List.zip test.Claimed (List.ofArray f.MeanRanks)
            |> List.sortBy snd
            |> List.map (fun (title, rank) -> $"{title} {Format.number 2 rank}")
            |> String.concat ", "
        let apart =
            List.zip test.Claimed (List.ofArray f.MeanRanks)
            |> List.pairwise
            |> List.filter (fun ((_, lower), (_, higher)) -> lower - higher > f.CriticalDifference)
            |> List.map (fun ((lower, _), (higher, _)) -> $"{higher} above {lower}")
        [ $"Mean rank over {f.Blocks} blocks (data set, model, seed), 1 = best: {ranks}."
          if test.Settings = 1 then
              "All blocks are seeds of one data set and model: the tests below speak about that setting only."
          $"Friedman: χ² = {Format.number 2 f.ChiSquare}, {pText f.PValue}"
          + (if f.PValue < 0.05 then ": the methods are not all alike." else ": no difference among the methods is established.")
          $"Nemenyi, 5 %%: mean ranks differ when more than {Format.number 2 f.CriticalDifference} apart; of the neighbours in the claimed order: "
          + (if apart.IsEmpty then "none." else String.Join(", ", apart) + ".")
          $"""Page's test of the claimed order {String.Join(" ≤ ", test.Claimed)}: z = {Format.number 2 test.Page.Z}, one-sided {pText test.Page.PValue}"""
          + (if test.Page.PValue < 0.05 then ": results lean towards that order." else ": the order is not supported.") ]

    /// Where the numbers of some runs come from: code, machine, settings that all share, and what it cost.
    let evidence (runs: Run list) (command: string option) (wall: TimeSpan) : string list =
        let distinct (select: Run -> string) = runs |> List.map select |> List.filter ((<>) "") |> List.distinct |> String.concat ", "
        let trained = runs |> List.sumBy (fun r -> r.Epochs |> List.sumBy (fun e -> e.Seconds))
        let commit = distinct (fun r -> r.File.Environment.Commit.Substring(0, min 12 r.File.Environment.Commit.Length))
        [ $"""{runs.Length} runs, seeds {runs |> List.map (fun r -> r.Config.Seed) |> Format.seeds}. Commit {commit}; libtorch {distinct (fun r -> r.File.Environment.Libtorch)}; {distinct (fun r -> $"{r.File.Environment.Cpu}, {r.File.Environment.Cores} cores")}; {distinct (fun r -> r.Config.Precision)}, threads a run: {distinct (fun r -> string r.Config.Threads)}; {Format.duration trained} of training in all (side by side, evaluation not counted), {Format.duration wall.TotalSeconds} since this start of the command, which trains only what is not there."""
          match command with
          | Some c -> $"Made by: {c}"
          | None -> () ]
