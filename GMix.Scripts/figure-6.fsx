// Figure 6: share of selected examples
//
// Claims: below some gamma BG-Mix and DG-Mix fall behind G-Mix (the level line).
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 5 minutes after tables 1 and 2 (36 runs more) on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  seven shares with three seeds: weeks on one GPU
// Run:    dotnet fsi GMix.Scripts/figure-6.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "figure-6" fsi.CommandLineArgs PaperSet.figureSix
