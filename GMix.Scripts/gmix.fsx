// The header of every script here: #load "gmix.fsx". Build first: dotnet fsi build.fsx -t Build
#r "../GMix.Experiments/bin/Release/net10.0/GMix.Core.dll"
#r "../GMix.Experiments/bin/Release/net10.0/gmix.dll"
