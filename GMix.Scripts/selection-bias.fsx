// The bias of selecting by sensitivity: BG-Mix over gamma, with random selection of the same share as control
//
// Claims: on little data and few epochs BG-Mix at gamma = 0.5 falls far behind random selection of as many examples; the loss shrinks with gamma
//         near 1, with more data and with more epochs. Random selection differs from G-Mix only by noise.
// Takes:  smoke  seconds; cpu  about fifteen minutes on two cores; paper  days on one GPU (CIFAR-10, wrn-16-4)
// Run:    dotnet fsi GMix.Scripts/selection-bias.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "selection-bias" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let gammas = Script.pick script [ 0.5; 0.8 ] [ 0.25; 0.5; 0.65; 0.8; 0.9 ] [ 0.25; 0.5; 0.65; 0.8; 0.9 ]
    let rates = Script.pick script [ 0.1 ] [ 0.03; 0.1 ] [ 0.03; 0.1 ]
    let curve (rate: float) =
        experiment "selection-bias" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            model s.Model
            methods [
                Method.gmix
                for gamma in gammas do
                    bgmix (gamma = gamma)
                    bgmix (gamma = gamma) |> Method.set "score" "random"
            ]
            train { s.Train with LearningRate = rate }
            seeds s.Seeds
        }
    let shareOf (random: bool) (group: GroupSummary) =
        let word = group.Method.Combine
        let found = System.Text.RegularExpressions.Regex.Match(word, "gamma=([0-9.]+)")
        if found.Success && word.Contains "Random" = random then Some(float found.Groups[1].Value) else None
    let figures (comparison: Comparison) =
        [ for rate in rates do
              let at = comparison.Groups |> List.filter (fun g -> g.Settings.Lr = rate)
              for random, what in [ false, "most sensitive"; true, "random" ] do
                  let groups = at |> List.filter (fun g -> g.Method.Name = "gmix" || (shareOf random g).IsSome)
                  Charts.sweep $"selection-{what.Split(' ')[0]}-{rate}" $"{what} examples, learning rate {rate}" "gamma" "best test accuracy, %" (shareOf random) (fun g -> Some g.Acc) groups ]
    { Title = "The bias of selection by sensitivity"
      Experiments = rates |> List.map curve
      Tables = List.map Tables.comparison
      Figures = List.collect figures
      Remarks = [ "Random selection of the same share is the control: what separates the two curves is the bias, not the smaller batch." ] })
