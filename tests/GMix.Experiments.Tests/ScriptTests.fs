/// The scripts as a person runs them: dotnet fsi, at the scale smoke.
module GMix.Experiments.Tests.ScriptTests

open System
open System.Diagnostics
open System.IO
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
