// Every table and figure of the paper: Tables I to III, Figures 2 to 6
//
// Claims: those of table-1 to figure-6; each has its own folder with tables, figures and a report.
// Takes:  smoke  a minute or two on two cores (the default)
//         cpu    under 100 minutes on two cores (runs that several need are trained once); real images with --data DIR
//         paper  the protocol of the paper with three seeds: weeks on one GPU, and worth dividing
// Run:    dotnet fsi build.fsx -t Tables --scale cpu     or     dotnet fsi GMix.Scripts/tables.fsx --scale cpu
#load "gmix.fsx"
open GMix.Experiments

Script.run "tables" fsi.CommandLineArgs PaperSet.publishAll
