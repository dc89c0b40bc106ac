/// The command as a person meets it: real processes, their exit codes, what they print and what they leave behind.
module GMix.Experiments.Tests.CommandTests

open System
open System.Diagnostics
open System.IO
open System.Threading
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open Xunit

let private root = projectRoot

let private gmixPath = Path.Combine(root, "GMix.Experiments", "bin", "Release", "net10.0", "gmix")

let private start (program: string) (arguments: string list) (folder: string) =
    let info = ProcessStartInfo(program, arguments, WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true)
    info.Environment.Remove "GMIX_DATA" |> ignore
    let child = Process.Start info
    child.StandardInput.Close()
    child

/// Exit code, standard output, standard error.
let private run program arguments folder =
    use child = start program arguments folder
    let output = child.StandardOutput.ReadToEndAsync()
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, output.Result, error

let private gmix arguments folder = run gmixPath arguments folder

/// A training of seconds: the smallest net on a part of the synthetic set.
let private small = [ "--dataset"; "synthetic"; "--limit"; "200"; "--model"; "mlp"; "--batch"; "50"; "--threads"; "1" ]

let private onlyRun (folder: string) = RunStore.list folder |> List.exactlyOne

[<Fact>]
let ``every bad call ends with code 2 and one line that names what is wrong`` () =
    let folder = freshFolder "bad-input"
    let broken = Path.Combine(folder, "broken", "cifar-10-batches-bin")
    Directory.CreateDirectory broken |> ignore
    File.WriteAllBytes(Path.Combine(broken, "data_batch_1.bin"), Array.zeroCreate 5000)
    let train words = "train" :: words
    let cases =
        [ train [ "--method"; "nope" ], "nope"
          train [ "--method"; "gmix"; "--model"; "wrn-9-x" ], "wrn-9-x"
          train [ "--model"; "wrn-12-1" ], "6N + 4"
          train [ "--method"; "sam"; "--rho"; "-1" ], "--rho -1"
          train [ "--method"; "bgmix"; "--gamma"; "0" ], "--gamma 0"
          train [ "--method"; "bgmix"; "--gamma"; "1.5" ], "--gamma 1.5"
          train [ "--method"; "mixup"; "--alpha"; "-3" ], "--alpha -3"
          train [ "--dataset"; "nope" ], "nope"
          train [ "--dataset"; "cifar10"; "--data"; "/nonexistent" ], "/nonexistent"
          train [ "--dataset"; "cifar10"; "--data"; Path.Combine(folder, "broken") ], "data_batch_1.bin"
          train [ "--batch"; "0" ], "--batch 0"
          train [ "--batch"; "100000000" ], "--batch 100000000"
          train [ "--epochs"; "-1" ], "--epochs -1"
          train [ "--epochs"; "x" ], "--epochs x"
          train [ "--lr"; "nan" ], "--lr nan"
          train [ "--lr"; "-0.1" ], "--lr -0.1"
          train [ "--momentum"; "1" ], "--momentum 1"
          train [ "--precision"; "float8" ], "float8"
          train [ "--device"; "cuda:99" ], "cuda:99"
          train [ "--limit"; "5" ], "5"
          train [ "--out"; "/proc/x" ], "/proc/x"
          train [ "--frobnicate" ], "--frobnicate"
          [ "frobnicate" ], "frobnicate"
          [ "resume"; "/nonexistent" ], "/nonexistent"
          [ "resume"; folder ], folder
          [ "report"; "/nonexistent" ], "/nonexistent"
          [ "bench"; "trace"; "/nonexistent" ], "/nonexistent"
          [ "compare"; "--methods"; "vanilla,nope" ], "nope"
          [ "compare"; "--seeds"; "3..1" ], "--seeds 3..1" ]
    for arguments, named in cases do
        let code, output, error = gmix arguments folder
        let said = $"gmix {String.Join(' ', arguments)}: code {code}, said: {error}{output}"
        Assert.True((code = 2), said)
        Assert.True(error.Contains(named, StringComparison.Ordinal), said)
        Assert.True((error.Trim().Split('\n').Length = 1), said)
    // nothing half-written
    Assert.False(Directory.Exists(Path.Combine(folder, "runs")))

[<Fact>]
let ``missing data says which file to put where`` () =
    let folder = freshFolder "no-data"
    let code, _, error = gmix [ "train"; "--dataset"; "cifar10"; "--data"; folder ] folder
    Assert.Equal(2, code)
    Assert.Contains("cifar-10-b", error)
    Assert.Contains(folder, error)

[<Fact>]
let ``a loss that is not a number stops with epoch, step and learning rate, and keeps the last good checkpoint`` () =
    let folder = freshFolder "diverges"
    // the warm-up keeps the first epochs good
    let code, _, error = gmix ([ "train"; "--lr"; "1e6"; "--schedule"; "constant"; "--warmup"; "9"; "--epochs"; "10"; "--out"; "r" ] @ small) folder
    let run = onlyRun (Path.Combine(folder, "r"))
    if code = 2 then
        Assert.Matches("epoch [0-9]+, step [0-9]+, at learning rate", error)
        Assert.Equal(1, error.Trim().Split('\n').Length)
        Assert.False(File.Exists(RunStore.weightsPath run.Folder))
        match run.State with
        | RunState.Failed reason -> Assert.Contains("epoch", reason)
        | other -> failwith $"the run is {other}"
    else
        failwith $"a learning rate of a million trained to the end: {error}"

/// EXACT: killed by SIGKILL in the middle, resumed, the weights are the same bytes.
[<Theory>]
[<InlineData "vanilla">]
[<InlineData "mixup">]
[<InlineData "sam">]
[<InlineData "gmix">]
[<InlineData "bgmix">]
[<InlineData "dgmix">]
let ``a killed run resumes bitwise`` (method: string) =
    let folder = freshFolder $"kill-{method}"
    let arguments out = [ "train"; "--method"; method; "--epochs"; "40"; "--seed"; "3"; "--out"; out ] @ small
    let code, _, error = gmix (arguments "a") folder
    Assert.True((code = 0), error)
    use child = start gmixPath (arguments "b") folder
    // an epoch has been recorded and the next is under way
    let deadline = DateTime.UtcNow.AddSeconds 60.0
    let recorded () =
        Directory.Exists(Path.Combine(folder, "b"))
        && Directory.GetFiles(Path.Combine(folder, "b"), "epochs.jsonl", SearchOption.AllDirectories) |> Array.exists (fun f -> FileInfo(f).Length > 0L)
    while not (recorded ()) && not child.HasExited && DateTime.UtcNow < deadline do
        Thread.Sleep 5
    child.Kill()
    child.WaitForExit()
    let killed = onlyRun (Path.Combine(folder, "b"))
    Assert.False(File.Exists(RunStore.weightsPath killed.Folder), "the run was over before it could be killed")
    let code, _, error = gmix [ "resume"; killed.Folder ] folder
    Assert.True((code = 0), error)
    let a, b = onlyRun (Path.Combine(folder, "a")), onlyRun (Path.Combine(folder, "b"))
    Assert.Equal<byte[]>(File.ReadAllBytes(RunStore.weightsPath a.Folder), File.ReadAllBytes(RunStore.weightsPath b.Folder))
    let numbers (run: Run) = run.Epochs |> List.map (fun e -> { e with Seconds = 0.0; ImagesPerSecond = None })
    Assert.Equal<EpochRecord list>(numbers a, numbers b)
    Assert.Equal(RunState.Complete, b.State)

[<Fact>]
let ``SIGTERM stops after the step with a checkpoint, and resume goes on from there`` () =
    let folder = freshFolder "sigterm"
    let arguments out = [ "train"; "--method"; "gmix"; "--epochs"; "400"; "--out"; out ] @ small
    use child = start gmixPath (arguments "a") folder
    let deadline = DateTime.UtcNow.AddSeconds 60.0
    let begun () = Directory.Exists(Path.Combine(folder, "a")) && Directory.GetFiles(Path.Combine(folder, "a"), "checkpoint.safetensors", SearchOption.AllDirectories).Length > 0
    while not (begun ()) && not child.HasExited && DateTime.UtcNow < deadline do
        Thread.Sleep 5
    let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
    use kill = Process.Start("kill", [ "-TERM"; string child.Id ])
    kill.WaitForExit()
    Assert.True(child.WaitForExit 30000, "the process did not stop")
    Assert.Equal(1, child.ExitCode)
    Assert.Contains("gmix resume", error.Result)
    Assert.DoesNotContain("Unhandled", error.Result + output.Result)

[<Fact>]
let ``compare ends with a table, a report and a summary, and names its runs`` () =
    let folder = freshFolder "compare"
    let code, output, error = gmix ([ "compare"; "--methods"; "vanilla,gmix,bgmix"; "--epochs"; "2"; "--seeds"; "0..1"; "--name"; "mine" ] @ small) folder
    Assert.True((code = 0), error)
    for word in [ "Vanilla"; "G-Mix"; "BG-Mix"; "Acc"; "Gap"; "report.html"; "libtorch" ] do
        Assert.Contains(word, output)
    let experiment = Path.Combine(folder, "runs", "mine")
    Assert.True(File.Exists(Path.Combine(experiment, "report.html")))
    Assert.True(File.Exists(Path.Combine(experiment, "summary.csv")))
    let runs = RunStore.list experiment
    Assert.Equal(6, runs.Length)
    Assert.All(runs, fun r -> Assert.Equal(RunState.Complete, r.State))
    let code, output, _ = gmix [ "report"; experiment ] folder
    Assert.Equal(0, code)
    Assert.Contains("BG-Mix", output)
    let code, output, _ = gmix [ "resume"; experiment ] folder
    Assert.Equal(0, code)
    Assert.Contains("complete", output)

/// EXACT: with a part of the data, each seed of a comparison trains on its own part, the one that train and resume give it.
[<Fact>]
let ``a seed sees the same part of the data in compare and in train`` () =
    let folder = freshFolder "seed-part"
    let code, _, error = gmix ([ "compare"; "--methods"; "vanilla"; "--epochs"; "1"; "--seeds"; "0..1"; "--out"; "a" ] @ small) folder
    Assert.True((code = 0), error)
    let code, _, error = gmix ([ "train"; "--method"; "vanilla"; "--epochs"; "1"; "--seed"; "1"; "--out"; "b" ] @ small) folder
    Assert.True((code = 0), error)
    let compared = RunStore.list (Path.Combine(folder, "a")) |> List.find (fun r -> r.Config.Seed = 1)
    let trained = onlyRun (Path.Combine(folder, "b"))
    Assert.Equal<byte[]>(File.ReadAllBytes(RunStore.weightsPath trained.Folder), File.ReadAllBytes(RunStore.weightsPath compared.Folder))

[<Fact>]
let ``a profile has a table whose shares add up and a trace with the convolutions`` () =
    let folder = freshFolder "profile"
    let code, output, error = gmix [ "bench"; "train"; "--model"; "wrn-10-1"; "--methods"; "sam"; "--batch"; "4"; "--size"; "8"; "--steps"; "1"; "--threads"; "1"; "--profile"; "p" ] folder
    Assert.True((code = 0), error)
    Assert.Contains("second pass", output)
    let rows = File.ReadAllLines(Path.Combine(folder, "p", "profile.csv"))
    Assert.Equal("name,calls,self_ms,total_ms,share,bytes", rows[0])
    let shares = rows |> Seq.skip 1 |> Seq.sumBy (fun r -> Double.Parse(r.Split(',') |> Array.rev |> Array.item 1, Globalization.CultureInfo.InvariantCulture))
    Assert.Equal(1.0, shares, 0.01)
    use json = Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "p", "profile.json")))
    let names = [ for e in json.RootElement.GetProperty("traceEvents").EnumerateArray() -> e.GetProperty("name").GetString() ]
    Assert.Contains("aten::convolution_backward", names)
    Assert.Contains("perturb", names)
    Assert.Contains("aten::convolution_backward", File.ReadAllText(Path.Combine(folder, "p", "profile.txt")))

[<Fact>]
let ``train with a profile trains the same and leaves the profile beside the run`` () =
    let folder = freshFolder "profile-train"
    let train extra = gmix ([ "train"; "--method"; "mixup"; "--epochs"; "1" ] @ small @ extra) folder
    let code, output, error = train [ "--name"; "with"; "--profile" ]
    Assert.True((code = 0), error)
    Assert.Contains("gmix::perceptron", output)
    Assert.True(File.Exists(Path.Combine(folder, "runs", "with", "profile.json")))
    let code, _, error = train [ "--name"; "without" ]
    Assert.True((code = 0), error)
    let loss name = (onlyRun (Path.Combine(folder, "runs", name))).Epochs |> List.map _.TrainLoss
    Assert.Equal<float option list>(loss "without", loss "with")
    File.WriteAllText(Path.Combine(folder, "file"), "")
    let code, _, error = train [ "--profile"; "file" ]
    Assert.Equal(2, code)
    Assert.Contains("--profile file", error)

[<Fact>]
let ``bench train prints one line for programs`` () =
    let folder = freshFolder "bench"
    let code, output, error = gmix [ "bench"; "train"; "--model"; "mlp"; "--methods"; "vanilla,dgmix"; "--batch"; "8"; "--steps"; "2"; "--json" ] folder
    Assert.True((code = 0), error)
    use json = Text.Json.JsonDocument.Parse(output.Trim().Split('\n') |> Array.last)
    let speeds = json.RootElement.GetProperty "img_per_s"
    Assert.True(speeds.GetProperty("vanilla").GetDouble() > 0.0)
    Assert.True(speeds.GetProperty("dgmix").GetDouble() > 0.0)

/// Both programs in turn, for one round, as anyone repeats the comparison; the file has a line for each method under its header's names.
[<Fact>]
let ``bench all measures GMix beside PyTorch and appends to a file of earlier results`` () =
    let folder = freshFolder "bench-all"
    let csv = Path.Combine(folder, "results.csv")
    let code, output, error = gmix [ "bench"; "all"; "--models"; "mlp"; "--methods"; "vanilla,sam"; "--rounds"; "1"; "--steps"; "1"; "--threads"; "1"; "--csv"; csv ] folder
    Assert.True((code = 0), error)
    let lines = File.ReadAllLines csv
    Assert.Equal(3, lines.Length)
    let cells (line: string) = Array.zip (lines[0].Split ',') (line.Split ',') |> Map
    for line, method in Seq.zip (Seq.skip 1 lines) [ "vanilla"; "sam" ] do
        Assert.Equal(lines[0].Split(',').Length, line.Split(',').Length)
        let cells = cells line
        Assert.Equal(method, cells["method"])
        Assert.Equal("cpu", cells["device"])
        Assert.True(Double.Parse(cells["gmix"], Globalization.CultureInfo.InvariantCulture) > 0.0)
        // without torch.compile and without a GPU
        Assert.Equal("", cells["compiled"] + cells["peak_tflops"])
        if output.Contains "peer     PyTorch" then Assert.True(Double.Parse(cells["ratio_tuned"], Globalization.CultureInfo.InvariantCulture) > 0.0)

[<Fact>]
let ``a GPU that is not there is bad input, in every verb that takes one`` () =
    for words in [ [ "bench"; "train" ]; [ "bench"; "all" ]; [ "train" ]; [ "compare" ] ] do
        let code, output, error = gmix (words @ [ "--device"; "cuda:99" ]) (freshFolder "no-gpu")
        Assert.Equal(2, code)
        Assert.StartsWith("gmix: --device cuda:99: ", error)
        Assert.Equal(1, error.Trim().Split('\n').Length)

[<Fact>]
let ``results of an earlier version stay readable`` () =
    let folder = freshFolder "results"
    let csv = Path.Combine(folder, "results.csv")
    File.WriteAllLines(csv, [ "a,b"; "1,2" ])
    BenchPeer.bringUpToDate "a,b,c,d" csv
    Assert.Equal<string[]>([| "a,b,c,d"; "1,2,," |], File.ReadAllLines csv)
    BenchPeer.bringUpToDate "a,b,c,d" csv
    Assert.Equal<string[]>([| "a,b,c,d"; "1,2,," |], File.ReadAllLines csv)
    // other columns: the file is kept beside
    BenchPeer.bringUpToDate "a,x" csv
    Assert.False(File.Exists csv)
    Assert.Equal("a,b,c,d", (File.ReadAllLines(csv + ".old"))[0])

[<Fact>]
let ``an epoch is held against the peak by its multiplications`` () =
    // 1,000 images of 1e9 multiply-adds: 6e12 operations, 2 s at 3 TFLOP/s, and 500 images/s take 2 s
    let seconds, needed, times = BenchPeer.overPeak 1000.0 500.0 1e9 3.0
    Assert.Equal((2.0, 2.0, 1.0), (seconds, needed, times))

[<Fact>]
let ``help names every verb and exits with 0`` () =
    let code, output, _ = gmix [ "--help" ] root
    Assert.Equal(0, code)
    for verb in [ "compare"; "train"; "resume"; "report"; "bench" ] do
        Assert.Contains(verb, output)

/// The binding loads from `dotnet fsi`: a real script, in a process of its own.
[<Fact>]
let ``the README's script runs under dotnet fsi`` () =
    let folder = freshFolder "fsi"
    let readme = File.ReadAllLines(Path.Combine(root, "README.md"))
    let first = readme |> Array.findIndex (fun l -> l.Trim() = "```fsharp")
    let script = readme |> Array.skip (first + 1) |> Array.takeWhile (fun l -> l.Trim() <> "```")
    // the README's path is relative to the project's folder
    let text = String.Join('\n', script).Replace("#r \"GMix.Experiments", $"#r \"{root}/GMix.Experiments")
    let path = Path.Combine(folder, "readme.fsx")
    File.WriteAllText(path, text)
    let code, output, error = run "dotnet" [ "fsi"; "--quiet"; path ] folder
    Assert.True((code = 0), error + output)
    Assert.Contains("DG-Mix", output)
