// What each of the three words brings: Mix (none, Mixup) x Perturb (none, SAM) x Combine (all, Binary, Decomposed)
//
// Claims: G-Mix is more than Mixup and more than SAM; the selections act at perturbed weights only, so six of the twelve sentences exist
//         without a perturbation as two, and six with one.
// Takes:  smoke  seconds; cpu  about twelve minutes on two cores; paper  days on one GPU (CIFAR-10, wrn-16-4)
// Run:    dotnet fsi GMix.Scripts/ablation-of-three-words.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Methods
open GMix.Experiments

let mixes: (string * Mix) list = [ "none", NoMix(); "mixup", Mixup 1.0 ]
let perturbs: (string * Perturb) list = [ "none", NoPerturb(); "sam", Sam 0.05 ]
let combines: (string * Combine) list = [ "all", All(); "binary", Binary 0.8; "decomposed", Decomposed 0.5 ]

let sentences =
    [ for mixName, mixWord in mixes do
          for perturbName, perturbWord in perturbs do
              for combineName, combineWord in combines do
                  if perturbWord.Active || not combineWord.NeedsPerturb then
                      method $"{mixName}-{perturbName}-{combineName}" {
                          title $"{mixName} · {perturbName} · {combineName}"
                          mix mixWord
                          perturb perturbWord
                          combine combineWord
                      } ]

Script.publishes "ablation-of-three-words" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let ablation =
        experiment "ablation-of-three-words" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            model s.Model
            methods sentences
            train s.Train
            seeds s.Seeds
        }
    { Title = "Ablation of the three words"
      Experiments = [ ablation ]
      Tables = List.map Tables.comparison
      Figures = fun _ -> []
      Remarks = [] })
