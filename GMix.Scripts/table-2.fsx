// Table II: best test accuracy and best Gap on CIFAR-100 and Tiny-ImageNet
//
// Claims: the order of Table I on harder sets and with two models.
// Takes:  smoke  under a minute on two cores (the default)
//         cpu    about 12 minutes (72 runs) on two cores; real images with --data DIR, else synthetic ones in the official format
//         paper  the protocol of the paper with three seeds: weeks on one GPU
// Run:    dotnet fsi GMix.Scripts/table-2.fsx [--scale smoke|cpu|paper] [--data DIR] [--out DIR] [--preset fair|paper] [--seeds 0..4]
#load "gmix.fsx"
open GMix.Experiments

Script.publishes "table-2" fsi.CommandLineArgs PaperSet.tableTwo
