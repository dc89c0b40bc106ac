// The bias of selecting by sensitivity: BG-Mix over gamma, with random selection of the same share as control
//
// Claims: on little data and few epochs BG-Mix at gamma = 0.5 falls behind random selection of as many examples; the loss shrinks with gamma near 1
//         and with more epochs. Random selection differs from G-Mix only by noise and the smaller batch. Explained in docs/selection-bias.md.
// Takes:  smoke  seconds; cpu  about 15 minutes on two cores; paper  days on one GPU (CIFAR-10, wrn-16-4)
// Run:    dotnet fsi GMix.Scripts/selection-bias.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Experiments

/// One line of the figures: what differs from the scale's own settings, and over which gammas.
type Setting = { What: string; Images: int; Rate: float; Epochs: int; Gammas: float list }

Script.publishes "selection-bias" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let epochs = s.Train.Epochs |> Option.defaultValue 200
    let usual = { What = "as in the tables"; Images = s.Limit; Rate = 0.1; Epochs = epochs; Gammas = [ 0.25; 0.5; 0.65; 0.8; 0.9 ] }
    let two = [ 0.5; 0.8 ]
    // one thing at a time: learning rate, training data, length of training
    let settings =
        Script.pick
            script
            [ { usual with Gammas = two } ]
            [ usual
              { usual with What = "a lower learning rate"; Rate = 0.03; Gammas = two }
              { usual with What = "a third of the data"; Images = 340; Gammas = two }
              { usual with What = "twice the data"; Images = 2000; Gammas = two }
              { usual with What = "three times the epochs"; Epochs = 3 * epochs; Gammas = two } ]
            [ usual
              { usual with What = "a lower learning rate"; Rate = 0.03 }
              { usual with What = "a tenth of the data"; Images = 5000 }
              { usual with What = "a quarter of the epochs"; Epochs = epochs / 4 } ]
    let curve setting =
        experiment "selection-bias" {
            dataset s.Dataset
            data s.Data
            limit setting.Images
            model s.Model
            methods [
                Method.gmix
                for gamma in setting.Gammas do
                    bgmix (gamma = gamma)
                    bgmix (gamma = gamma) |> Method.set "score" "random"
            ]
            train { s.Train with LearningRate = setting.Rate; Epochs = Some setting.Epochs; CleanEvery = setting.Epochs }
            seeds s.Seeds
        }
    let gammaOf (group: GroupSummary) =
        let found = System.Text.RegularExpressions.Regex.Match(group.Method.Combine, "gamma=([0-9.]+)")
        if found.Success then Some(float found.Groups[1].Value) else None
    let line (group: GroupSummary) =
        if group.Method.Name = "gmix" then "gmix", "G-Mix: the whole batch"
        elif group.Method.Combine.Contains "Random" then "mixup", "a random part of the batch"
        else "bgmix", "BG-Mix: the most sensitive part"
    let figures (comparison: Comparison) =
        [ for index, setting in List.indexed settings do
              let groups =
                  comparison.Groups
                  |> List.filter (fun g -> g.Settings.Lr = setting.Rate && g.Settings.Limit = setting.Images && g.Settings.Epochs = setting.Epochs)
              Charts.sweepOf line $"selection-{index + 1}" $"{setting.What}: learning rate {setting.Rate}, {setting.Epochs} epochs" "gamma" "best test accuracy, %" gammaOf (fun g -> Some g.Acc) groups ]
    { Title = "The bias of selection by sensitivity"
      Experiments = List.map curve settings
      Tables = List.map Tables.comparison
      Figures = List.collect figures
      Remarks = [ "Random selection of the same share is the control: what separates the two curves is the bias, not the smaller batch." ] })
