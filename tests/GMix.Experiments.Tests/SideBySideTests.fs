/// `gmix compare --workers`, and what a person sees of runs that train side by side in a terminal.
module GMix.Experiments.Tests.SideBySideTests

open System
open System.IO
open System.Text.RegularExpressions
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Experiments.Tests.Processes
open Xunit

let private small = [ "--limit"; "100"; "--model"; "mlp"; "--batch"; "50" ]

let private compareIn folder words = gmix ([ "compare" ] @ words @ small) folder

let private runsOf folder = RunStore.list folder |> List.sortBy (fun r -> r.Config.Method.Name, r.Config.Seed)
let private weights (run: Run) = File.ReadAllBytes(RunStore.weightsPath run.Folder)

/// EXACT: who trains a run does not matter.
[<Fact>]
let ``compare with workers trains the same bytes as without, and reports`` () =
    let folder = freshFolder "compare-workers"
    let words = [ "--methods"; "vanilla,dgmix"; "--seeds"; "0..1"; "--epochs"; "2"; "--threads"; "1" ]
    let code, _, error = compareIn folder (words @ [ "--name"; "one" ])
    Assert.True((code = 0), error)
    let code, output, error = compareIn folder (words @ [ "--name"; "two"; "--workers"; "2" ])
    Assert.True((code = 0), error)
    let one, two = runsOf (Path.Combine(folder, "runs", "one")), runsOf (Path.Combine(folder, "runs", "two"))
    Assert.Equal<string list>(one |> List.map (fun r -> r.Id), two |> List.map (fun r -> r.Id))
    Assert.Equal<byte array list>(one |> List.map weights, two |> List.map weights)
    for word in [ "4 to train, 2 side by side"; "[4/4]"; "DG-Mix"; "report.html" ] do
        Assert.Contains(word, output)
    Assert.True(File.Exists(Path.Combine(folder, "runs", "two", "report.html")))

[<Fact>]
let ``workers share the cores`` () =
    let folder = freshFolder "compare-cores"
    let code, _, error = compareIn folder [ "--methods"; "vanilla,sam"; "--epochs"; "1"; "--workers"; "2" ]
    Assert.True((code = 0), error)
    Assert.All(RunStore.list folder, fun r -> Assert.Equal(Experiment.threads 2 "mlp", r.Config.Threads))

[<Fact>]
let ``with workers a run that fails does not end the others, and the exit code says so`` () =
    let folder = freshFolder "compare-fails"
    let code, output, error =
        compareIn folder [ "--methods"; "vanilla,sam"; "--epochs"; "30"; "--lr"; "1e30"; "--schedule"; "constant"; "--workers"; "2" ]
    Assert.Equal(1, code)
    let failed = error.Trim().Split '\n' |> Array.filter (fun line -> line.StartsWith "failed: ")
    Assert.Equal(2, failed.Length)
    Assert.All(failed, fun line -> Assert.Contains("the loss became", line))
    Assert.DoesNotContain("Unhandled", error + output)
    let code, _, error = compareIn folder [ "--workers"; "0" ]
    Assert.Equal(2, code)
    Assert.Contains("--workers 0", error)

/// EXACT: stopped by SIGTERM, continued side by side, the weights are those of a comparison that was never stopped.
[<Fact>]
let ``SIGTERM stops every worker with a checkpoint, and resume goes on bitwise`` () =
    let folder = freshFolder "compare-sigterm"
    let words name = [ "compare"; "--methods"; "vanilla,gmix"; "--epochs"; "60"; "--workers"; "2"; "--threads"; "1"; "--name"; name ] @ small
    let code, _, error = gmix (words "whole") folder
    Assert.True((code = 0), error)
    let stopped = Path.Combine(folder, "runs", "stopped")
    use child = startWith [] gmixPath (words "stopped") folder
    let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
    Assert.True(within 180.0 (fun () -> (filesNamed "checkpoint.safetensors" stopped).Length > 0 || child.HasExited), "nothing was trained")
    terminate child
    Assert.True(child.WaitForExit 120000, "the process did not stop")
    Assert.Equal(1, child.ExitCode)
    Assert.Contains("gmix resume", error.Result)
    Assert.DoesNotContain("Unhandled", error.Result + output.Result)
    let left = RunStore.list stopped
    Assert.DoesNotContain(left, fun r -> match r.State with RunState.Failed _ -> true | _ -> false)
    Assert.Contains(left, fun r -> r.State <> RunState.Complete)
    let code, output, error = gmix [ "resume"; stopped; "--workers"; "2" ] folder
    Assert.True((code = 0), error)
    Assert.Contains("report.html", output)
    Assert.Equal<byte array list>(runsOf (Path.Combine(folder, "runs", "whole")) |> List.map weights, runsOf stopped |> List.map weights)

/// What a program writes to a terminal of so many columns, and its exit code.
let private inTerminal (columns: int) (command: string) folder =
    let script = programFor "it makes the terminal (util-linux)" "script"
    let code, output, _ = runWith [ "TERM", "xterm-256color" ] script [ "-qfec"; $"stty cols {columns} rows 24; {command}"; "/dev/null" ] folder
    code, output

/// The text between movements of the cursor: what stands on a line at a time.
let private pieces (output: string) =
    Regex.Replace(output, @"\x1b\[[0-9;?]*[mhl]", "").Split([| '\n'; '\r' |])
    |> Array.map (fun piece -> Regex.Replace(piece, @"\x1b\[[0-9;?]*[A-Za-z]", ""))

[<Theory>]
[<InlineData 80>]
[<InlineData 120>]
let ``a terminal shows the whole grid live, no line too long for it`` (columns: int) =
    let folder = freshFolder $"terminal-{columns}"
    let words = String.Join(' ', [ "compare"; "--methods"; "vanilla,gmix"; "--seeds"; "0..1"; "--epochs"; "8"; "--workers"; "2" ] @ small)
    let code, output = inTerminal columns $"{gmixPath} {words}" folder
    Assert.True((code = 0), output)
    let pieces = pieces output
    let having (word: string) = pieces |> Array.filter (fun p -> p.Contains word)
    Assert.NotEmpty(having "of 4 done, 2 running")
    Assert.NotEmpty(having "images/s")
    for piece in Array.append (having "of 4 done") (having "images/s") do
        Assert.True(piece.TrimEnd().Length < columns, $"{piece.Length} columns: {piece}")
    // each run leaves a line
    for place in 1..4 do
        Assert.NotEmpty(having $"[{place}/4]")

[<Fact>]
let ``a terminal shows one method after the other too`` () =
    let folder = freshFolder "terminal-one"
    let words = String.Join(' ', [ "compare"; "--methods"; "vanilla,gmix"; "--epochs"; "3" ] @ small)
    let code, output = inTerminal 80 $"{gmixPath} {words}" folder
    Assert.True((code = 0), output)
    Assert.Contains("img/s", output)
