/// The scripts as a person runs them: dotnet fsi, at the scale smoke.
module GMix.Experiments.Tests.ScriptTests

open System
open System.Diagnostics
open System.IO
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open Xunit

let private root = projectRoot

let private run (name: string) (words: string list) (folder: string) =
    let start =
        ProcessStartInfo("dotnet", [ "fsi"; "--quiet"; Path.Combine(root, "GMix.Scripts", name + ".fsx"); yield! words ], RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder)
    start.Environment.Remove "GMIX_DATA" |> ignore
    use child = Process.Start start
    let output = child.StandardOutput.ReadToEndAsync()
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, output.Result, error

let private long = Environment.GetEnvironmentVariable "GMIX_TEST_LONG" = "1"

let private publications =
    [ "quickstart"; "own-method"; "own-data"; "own-model"; "late-phase-sam"; "ablation-of-three-words"; "selection-bias"
      "table-1"; "table-2"; "table-3"; "figure-2"; "figure-3"; "figure-4"; "figure-5"; "figure-6" ]

let names () = publications |> List.map (fun n -> [| box n |])

[<Theory>]
[<MemberData(nameof names)>]
let ``a script runs at smoke and leaves tables, figures and a report`` (name: string) =
    if not long && name <> "quickstart" && name <> "own-method" then Assert.Skip "GMIX_TEST_LONG=1 runs every script"
    let folder = freshFolder $"script-{name}"
    let code, output, error = run name [ "--scale"; "smoke"; "--out"; "r" ] folder
    Assert.True((code = 0), error + output)
    Assert.Contains((if name = "selection-bias" || name = "figure-5" || name = "figure-6" then "G-Mix" elif name.StartsWith "ablation" then "mixup · sam · all" else "Vanilla"), output)
    let left = Path.Combine(folder, "r", name + "-smoke")
    for file in [ "report.html"; "summary.csv"; "table.md"; "table.csv"; "table.tex" ] do
        Assert.True(File.Exists(Path.Combine(left, file)), $"{name} leaves no {file}")
    if name.StartsWith "figure-" then Assert.NotEmpty(Directory.GetFiles(left, "*.svg"))
    // the second time there is nothing to train
    if name = "quickstart" then
        let code, output, error = run name [ "--out"; "r" ] folder
        Assert.True((code = 0), error)
        Assert.Contains("4 complete already", output)

[<Fact>]
let ``every table and figure in one go`` () =
    if not long then Assert.Skip "GMIX_TEST_LONG=1 runs every script"
    let folder = freshFolder "script-tables"
    let code, output, error = run "tables" [ "--out"; "r" ] folder
    Assert.True((code = 0), error + output)
    for name in [ "table-1"; "table-2"; "table-3"; "figure-2"; "figure-3"; "figure-4"; "figure-5"; "figure-6" ] do
        Assert.True(File.Exists(Path.Combine(folder, "r", name + "-smoke", "report.html")), name)

[<Fact>]
let ``every script has a test and a header that says what it claims and takes`` () =
    let scripts = Directory.GetFiles(Path.Combine(root, "GMix.Scripts"), "*.fsx") |> Array.map Path.GetFileNameWithoutExtension |> Set.ofArray
    Assert.Equal<Set<string>>(Set.ofList ("gmix" :: "tables" :: publications), scripts)
    for name in scripts |> Set.remove "gmix" do
        let text = File.ReadAllText(Path.Combine(root, "GMix.Scripts", name + ".fsx"))
        for word in [ "// Claims:"; "// Takes:"; "// Run:"; "#load \"gmix.fsx\"" ] do
            Assert.Contains(word, text)

[<Fact>]
let ``a script refuses bad words with one line and code 2`` () =
    let folder = freshFolder "script-words"
    let code, output, error = run "quickstart" [ "--scale"; "huge" ] folder
    Assert.Equal(2, code)
    Assert.Contains("--scale huge", error)
    Assert.Equal(1, error.Trim().Split('\n').Length)
    Assert.Equal("", output.Trim())

/// EXACT: a whole script, stopped by SIGTERM after some step and started again by the same command, ends with the weights of one that was never
/// stopped. The signal goes to dotnet fsi alone, as a batch system sends it; the workers are told by the script.
[<Theory>]
[<InlineData 1>]
[<InlineData 2>]
let ``a script stops on SIGTERM with a checkpoint, and the same command continues bitwise`` (workers: int) =
    if not long then Assert.Skip "GMIX_TEST_LONG=1 stops a script and continues it"
    let folder = freshFolder $"script-sigterm-{workers}"
    let path = Path.Combine(folder, "stops.fsx")
    File.WriteAllLines(
        path,
        [ $"#load \"{root}/GMix.Scripts/gmix.fsx\""
          "open GMix.Experiments"
          "Script.publishes \"stops\" fsi.CommandLineArgs (fun script ->"
          "    let e ="
          "        experiment \"stops\" {"
          "            dataset \"synthetic\""
          "            limit 200"
          "            model \"mlp-16\""
          "            methods [ Method.vanilla; Method.dgmix ]"
          "            train { Train.defaults with Epochs = Some 60; Batch = 20 }"
          "            seeds [ 0 ]"
          "        }"
          "    { Title = \"stops\"; Experiments = [ e ]; Tables = List.map Tables.comparison; Figures = (fun _ -> []); Remarks = [] })" ]
    )
    let start out = Processes.startWith [] "dotnet" [ "fsi"; "--quiet"; path; "--out"; out; "--workers"; string workers ] folder
    let whole =
        use child = start "whole"
        Processes.finish child
    let code, _, error = whole
    Assert.True((code = 0), error)
    let stopped = Path.Combine(folder, "stopped")
    use child = start "stopped"
    let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
    Assert.True(Processes.within 180.0 (fun () -> child.HasExited || (Processes.filesNamed "epochs.jsonl" stopped).Length >= workers), "nothing was trained")
    Processes.terminate child
    Assert.True(child.WaitForExit 120000, "the script did not stop")
    Assert.True((child.ExitCode = 1), error.Result + output.Result)
    Assert.Contains("stopped; the same command continues", error.Result)
    Assert.DoesNotContain("Unhandled", error.Result + output.Result)
    let runs = RunStore.list stopped
    Assert.All(runs, fun r -> match r.State with RunState.Failed reason -> Assert.Fail reason | _ -> ())
    let interrupted = runs |> List.filter (fun r -> r.State <> RunState.Complete)
    Assert.NotEmpty interrupted
    Assert.Contains(interrupted, fun r -> File.Exists(RunStore.checkpointPath r.Folder))
    let code, _, error =
        use child = start "stopped"
        Processes.finish child
    Assert.True((code = 0), error)
    let weights folder = RunStore.list folder |> List.map (fun r -> r.Id, File.ReadAllBytes(RunStore.weightsPath r.Folder))
    let expected, continued = weights (Path.Combine(folder, "whole")), weights stopped
    Assert.Equal<string list>(List.map fst expected, List.map fst continued)
    Assert.Equal<byte array list>(List.map snd expected, List.map snd continued)
