// A method of your own, out of the three words Mix, Perturb and Combine
//
// Claims: any words go together; here CutMix with ASAM and a decomposed update beside the methods it borrows from.
// Takes:  smoke  seconds; cpu  about ten minutes on two cores; paper  a day on one GPU (CIFAR-10, wrn-16-4)
// Run:    dotnet fsi GMix.Scripts/own-method.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Methods
open GMix.Experiments

Script.publishes "own-method" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let mine =
        method "cut-asam-dg" {
            title "CutMix · ASAM · Decomposed"
            mix (CutMix(1.0, 0.5))
            perturb (Asam 0.5)
            combine (Decomposed 0.5)
        }
    let comparison =
        experiment "own-method" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            model s.Model
            methods [ Method.vanilla; Method.cutmix; Method.asam; Method.dgmix; mine ]
            train s.Train
            seeds s.Seeds
        }
    { Title = "A method of my own"
      Experiments = [ comparison ]
      Tables = fun c -> List.map Tables.comparison c @ List.map Tables.differences c
      Figures = fun _ -> []
      Remarks = [] })
