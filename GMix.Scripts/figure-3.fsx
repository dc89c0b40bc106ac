// Figure 3: Gap per epoch, one panel per data set
//
// Claims: methods that mix have a higher Gap (test accuracy minus accuracy on mixed training batches) throughout.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 15 minutes alone (90 runs), nothing after tables 1 and 2, on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  nothing after tables 1 and 2
// Run:    dotnet fsi GMix.Scripts/figure-3.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "figure-3" fsi.CommandLineArgs PaperSet.figureThree
