// SAM in the last epochs only (arXiv 2410.10373)
//
// Claims: SAM from a late epoch on keeps most of SAM's accuracy at little more than the cost of SGD; each row starts it a quarter later.
// Takes:  smoke  seconds; cpu  about ten minutes on two cores; paper  days on one GPU (CIFAR-10, wrn-16-4)
// Run:    dotnet fsi GMix.Scripts/late-phase-sam.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "late-phase-sam" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let epochs = s.Train.Epochs |> Option.defaultValue 200
    let comparison =
        experiment "late-phase-sam" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            model s.Model
            methods [
                Method.vanilla
                Method.sam
                for share in [ 0.5; 0.75; 0.9 ] do
                    Method.sam |> Method.fromEpoch (int (share * float epochs))
            ]
            train { s.Train with Epochs = Some epochs }
            seeds s.Seeds
        }
    { Title = "Late-phase SAM"
      Experiments = [ comparison ]
      Tables = List.map Tables.comparison
      Figures = List.map Charts.timeAgainstAccuracy
      Remarks = [] })
