// Figure 5: radius of the perturbation
//
// Claims: accuracy and Gap rise slightly with rho.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 5 minutes after tables 1 and 2 (36 runs more) on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  five radii with three seeds: weeks on one GPU
// Run:    dotnet fsi GMix.Scripts/figure-5.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "figure-5" fsi.CommandLineArgs PaperSet.figureFive
