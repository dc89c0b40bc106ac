// Table I: best test accuracy and best Gap on SVHN, STL-10 and CIFAR-10
//
// Claims: DG-Mix >= BG-Mix >= G-Mix >= Mixup >= SAM >= Vanilla on each; the report says whether this order appears.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 8 minutes (54 runs) on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  the protocol of the paper with three seeds: days on one GPU
// Run:    dotnet fsi GMix.Scripts/table-1.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "table-1" fsi.CommandLineArgs PaperSet.tableOne
