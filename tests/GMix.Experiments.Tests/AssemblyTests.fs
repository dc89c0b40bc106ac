module GMix.Experiments.Tests.AssemblyTests

open System
open System.Diagnostics
open System.IO
open System.Reflection
open Xunit

[<Fact>]
let ``the command is an assembly named gmix that references GMix.Core`` () =
    let here = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location)
    let gmix = Assembly.LoadFrom(Path.Combine(here, "gmix.dll"))
    Assert.Equal("gmix", gmix.GetName().Name)
    Assert.NotNull gmix.EntryPoint
    Assert.Contains(gmix.GetReferencedAssemblies(), fun name -> name.Name = "GMix.Core")

[<Fact>]
let ``the build script answers an unknown target with one line that names the targets, and code 2`` () =
    let rec above (folder: string) =
        if File.Exists(Path.Combine(folder, "build.fsx")) then folder else above (Path.GetDirectoryName folder)
    let start = ProcessStartInfo("dotnet", [ "fsi"; "build.fsx"; "-t"; "Nope" ])
    start.WorkingDirectory <- above AppContext.BaseDirectory
    start.RedirectStandardOutput <- true
    start.RedirectStandardError <- true
    use script = Process.Start start
    let output = script.StandardOutput.ReadToEndAsync()
    let error = script.StandardError.ReadToEnd().Trim()
    script.WaitForExit()
    Assert.Equal("", output.Result.Trim())
    Assert.Equal("build.fsx: no target 'Nope'; there are Quickstart, Setup, Build, Test, Tables, Bench, Publish, Lock, Clean", error)
    Assert.Equal(2, script.ExitCode)
