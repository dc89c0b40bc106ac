// Quickstart: four methods on the built-in images, in a minute
//
// Claims: nothing but that it works; the images are rendered shapes.
// Takes:  smoke  seconds; cpu  minutes (wrn-10-1, three seeds); paper  an hour (wrn-16-4, five seeds); two cores, no data needed
// Run:    dotnet fsi GMix.Scripts/quickstart.fsx [--scale smoke|cpu|paper] [--out DIR]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "quickstart" fsi.CommandLineArgs (fun script ->
    let shapes =
        experiment "quickstart" {
            dataset "synthetic"
            limit (Script.pick script 200 1000 0)
            model (Script.pick script "mlp" "wrn-10-1" "wrn-16-4")
            methods [ Method.vanilla; Method.mixup; Method.gmix; dgmix (gamma = 0.5) ]
            train { Train.defaults with Epochs = Some(Script.pick script 2 15 30); Batch = 50 }
            seeds (Script.pick script [ 0 ] [ 0..2 ] [ 0..4 ])
        }
    { Title = "Quickstart"
      Experiments = [ shapes ]
      Tables = List.map Tables.comparison
      Figures = fun _ -> []
      Remarks = [] })
