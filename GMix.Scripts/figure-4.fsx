// Figure 4: batch size
//
// Claims: accuracy and Gap fall as the batch grows, least for BG-Mix and DG-Mix.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 5 minutes after tables 1 and 2 (36 runs more) on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  five batch sizes with three seeds: weeks on one GPU
// Run:    dotnet fsi GMix.Scripts/figure-4.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "figure-4" fsi.CommandLineArgs PaperSet.figureFour
