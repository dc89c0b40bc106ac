// Table III: training seconds
//
// Claims: DG-Mix costs about twice Vanilla, BG-Mix least of the SAM family; passes per step in theory stand beside the seconds.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 15 minutes alone (90 runs), nothing after tables 1 and 2, on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  nothing after tables 1 and 2
// Run:    dotnet fsi GMix.Scripts/table-3.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "table-3" fsi.CommandLineArgs PaperSet.tableThree
