namespace GMix.Experiments

open System

/// The figures of a comparison.
[<RequireQualifiedAccess>]
module Charts =
    /// The n-th group of its method, for a dash of its own.
    let private withOrdinals (groups: GroupSummary list) =
        groups
        |> List.mapi (fun i g -> g, groups |> List.take i |> List.filter (fun other -> other.Method.Name = g.Method.Name) |> List.length)

    let private lineOf (measure: EpochRecord -> float option) (group: GroupSummary, ordinal: int) : Series option =
        let perRun =
            group.Runs
            |> List.map (fun r -> r.Run.Epochs |> List.choose (fun e -> measure e |> Option.map (fun v -> e.Epoch, v)) |> Map.ofList)
        // only epochs that every seed has: a mean over other seeds would jump
        let epochs = perRun |> List.map (Map.keys >> Set.ofSeq) |> Set.intersectMany |> Set.toList
        if epochs.IsEmpty then None
        else
            let spreads = epochs |> List.map (fun e -> perRun |> List.map (Map.find e) |> Statistics.spread)
            let band =
                if group.Runs.Length < 2 then None
                else
                    let std (s: Spread) = s.Std |> Option.defaultValue 0.0
                    Some(spreads |> List.map (fun s -> s.Mean - std s), spreads |> List.map (fun s -> s.Mean + std s))
            Some
                { Name = group.Label
                  Colour = fst (Palette.style group.Method.Name)
                  Dash = Palette.dashOf group.Method.Name ordinal
                  Mark = Mark.Line
                  X = epochs |> List.map float
                  Y = spreads |> List.map (fun s -> s.Mean)
                  Band = band }

    let private bandWords (comparison: Comparison) =
        if comparison.Groups |> List.exists (fun g -> g.Runs.Length > 1) then " Line: mean over seeds; band: ± one standard deviation." else ""

    let private slug (text: string) = text |> String.map (fun c -> if Char.IsAsciiLetterOrDigit c then c else '-')
    let private idOf kind (comparison: Comparison) = $"{kind}-{slug comparison.Dataset}-{slug comparison.Model}"

    let private perEpoch kind title y caption measure (comparison: Comparison) =
        let series = comparison.Groups |> withOrdinals |> List.choose (lineOf measure)
        let last = series |> List.collect (fun s -> s.X) |> List.fold max 1.0
        Figure.create (idOf kind comparison) title
        |> Figure.withAxes "epoch" y
        |> Figure.withCaption (caption + bandWords comparison)
        // chosen from so few epochs, ticks would fall between them
        |> (if last <= 10.0 then Figure.withXTicks [ 1.0 .. last ] else id)
        |> Figure.withSeries series

    /// Test accuracy per epoch (Fig. 2).
    let accuracy (comparison: Comparison) =
        perEpoch "accuracy" "Test accuracy per epoch" "test accuracy, %" "Accuracy on the test set after each epoch." (fun e -> Some e.TestAcc) comparison

    /// Gap per epoch (Fig. 3).
    let gap (comparison: Comparison) =
        perEpoch "gap" "Gap per epoch" "Gap, points" "Test accuracy minus accuracy on mixed training batches; higher is better." (fun e -> e.Gap) comparison

    /// Training loss per epoch: each method's own loss, so that only the course of one line is comparable.
    let trainLoss (comparison: Comparison) =
        perEpoch "loss" "Training loss per epoch" "training loss" "Each method's own training loss, on what it trains on: mixed labels keep it above zero." (fun e -> e.TrainLoss) comparison

    /// Accuracy on the clean training set per epoch, where measured.
    let cleanTrain (comparison: Comparison) =
        perEpoch "clean" "Clean training accuracy per epoch" "clean train accuracy, %" "Accuracy on the un-mixed, un-augmented training set." (fun e -> e.CleanTrainAcc) comparison

    /// Best test accuracy against seconds of training.
    let timeAgainstAccuracy (comparison: Comparison) =
        let point (group: GroupSummary) : Series =
            let std = group.Acc.Std
            { Name = group.Label
              Colour = fst (Palette.style group.Method.Name)
              Dash = Dash.Solid
              Mark = Mark.LabelledPoints
              X = [ group.Seconds.Mean ]
              Y = [ group.Acc.Mean ]
              Band = std |> Option.map (fun s -> [ group.Acc.Mean - s ], [ group.Acc.Mean + s ]) }
        Figure.create (idOf "time" comparison) "Time against accuracy"
        |> Figure.withAxes "training time, s" "best test accuracy, %"
        |> Figure.withCaption (
            "Seconds of training without evaluation. Up and to the left is better."
            + (if comparison.Groups |> List.exists (fun g -> g.Runs.Length > 1) then " Bars: ± one standard deviation over seeds." else "")
        )
        |> Figure.withSeries (comparison.Groups |> List.map point)

    /// Best accuracy or Gap over a swept setting, one line per method. `value` reads the setting; a group for which it is None is drawn as a level
    /// line over the whole sweep (as G-Mix in the γ sweep).
    let rec sweep id title (x: string) (y: string) (value: GroupSummary -> float option) (measure: GroupSummary -> Spread option) (groups: GroupSummary list) =
        sweepOf (fun g -> g.Method.Name, g.Method.Title) id title x y value measure groups

    /// The same with one line per name that `line` gives a group: the name that decides colour and dash, and the title in the legend.
    and sweepOf (line: GroupSummary -> string * string) id title (x: string) (y: string) (value: GroupSummary -> float option) (measure: GroupSummary -> Spread option) (groups: GroupSummary list) =
        let xs = groups |> List.choose value |> List.distinct |> List.sort
        let series =
            groups
            |> List.groupBy (fun g -> line g, (value g).IsSome)
            |> List.choose (fun (((name, title), swept), members) ->
                let colour, dash = Palette.style name
                let points =
                    members
                    |> List.choose (fun g -> measure g |> Option.map (fun s -> value g, s))
                    |> List.sortBy fst
                let std (s: Spread) = s.Std |> Option.defaultValue 0.0
                let points =
                    match swept, points with
                    | true, points -> points |> List.map (fun (v, s) -> v.Value, s)
                    | false, (_, level) :: _ -> xs |> List.map (fun v -> v, level)
                    | false, [] -> []
                if points.IsEmpty then None
                else
                    Some
                        { Name = title
                          Colour = colour
                          Dash = (if swept then dash else Dash.Dotted)
                          Mark = (if swept then Mark.LineAndPoints else Mark.Line)
                          X = points |> List.map fst
                          Y = points |> List.map (fun (_, s) -> s.Mean)
                          Band =
                            if points |> List.exists (fun (_, s) -> s.Std.IsSome) then
                                Some(points |> List.map (fun (_, s) -> s.Mean - std s), points |> List.map (fun (_, s) -> s.Mean + std s))
                            else
                                None })
        let figure = Figure.create id title |> Figure.withAxes x y |> Figure.withXTicks xs |> Figure.withSeries series
        // 32, 64, 128 wants a logarithmic axis, 0.1, 0.5, 0.9 a linear one: the one on which the steps are more even
        let unevenness (scale: float -> float) =
            let steps = xs |> List.map scale |> List.pairwise |> List.map (fun (a, b) -> b - a)
            List.max steps / List.min steps
        if xs.Length > 2 && xs.Head > 0.0 && unevenness log < unevenness (fun x -> x) then Figure.withLogX xs figure else figure

    /// The figures every report of a comparison shows, without empty ones.
    let standard (comparison: Comparison) : Figure list =
        [ accuracy comparison; gap comparison; trainLoss comparison; cleanTrain comparison; timeAgainstAccuracy comparison ]
        |> List.filter (fun f -> not f.Series.IsEmpty)

    /// What the steps saw, per epoch, where recorded: for the reader who asks why.
    let diagnostics (comparison: Comparison) : Figure list =
        [ perEpoch "sensitivity" "Sensitivity of the examples" "median loss change" "Median over the epoch's examples of the loss at the perturbed weights minus the loss at the weights: what BG-Mix and DG-Mix select by." (fun e -> e.SensitivityMedian) comparison
          perEpoch "gradient" "Gradient norm" "gradient norm" "Global norm of the gradient at the weights, mean over the epoch's steps." (fun e -> e.GradNorm) comparison
          perEpoch "intrusion" "Missed mixtures" "miss rate, %" "Share of mixed training images predicted as neither of their two classes." (fun e -> e.IntrusionMiss) comparison ]
        |> List.filter (fun f -> not f.Series.IsEmpty)
