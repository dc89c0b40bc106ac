module GMix.Experiments.Tests.RunStoreTests

open System
open System.IO
open Xunit
open GMix
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns

let private oneRun name count =
    let root = freshFolder name
    write root "compare" (settings "cifar10" "wrn-16-2" (dgmix 0.5) 5 3) count

let private inputError (work: unit -> unit) =
    let error = Assert.Throws<GMixInputException>(Action work)
    Assert.DoesNotContain("\n", error.Message)
    error.Message

[<Fact>]
let ``a run read back is the run that was written`` () =
    let folder = oneRun "roundtrip" 5
    let run = RunStore.read folder
    let expected = settings "cifar10" "wrn-16-2" (dgmix 0.5) 5 3
    Assert.Equal(RunState.Complete, run.State)
    Assert.Empty run.Warnings
    Assert.Equal(RunStore.idOf expected data, run.Id)
    Assert.Equal(Path.GetFileName folder, run.Id)
    Assert.Equal(RunStore.toJson (RunStore.describe "compare" expected data environment), RunStore.toJson run.File)
    Assert.Equal<EpochRecord list>(epochsOf expected 5, run.Epochs |> List.map (fun e -> { e with Extra = null }))

[<Fact>]
let ``fields this version does not know survive reading and writing`` () =
    let folder = oneRun "unknown-fields" 5
    let path = RunStore.configPath folder
    let text = File.ReadAllText(path).Replace("\"preset\"", "\"futureKnob\": [1, 2], \"preset\"").Replace("\"classes\"", "\"channels\": 3, \"classes\"")
    File.WriteAllText(path, text)
    let file = RunStore.readConfig folder
    Assert.Equal("[1, 2]", file.Config.Extra["futureKnob"].GetRawText())
    Assert.Contains("\"futureKnob\"", RunStore.toJson file)
    Assert.Contains("\"channels\": 3", RunStore.toJson file)
    File.AppendAllText(RunStore.epochsPath folder, """{"epoch":6,"testAcc":50,"seconds":1,"novel":true}""" + "\n")
    let epochs, warnings = RunStore.readEpochs folder
    Assert.Empty warnings
    Assert.Equal(6, epochs.Length)
    Assert.Equal(None, (List.last epochs).Gap)
    Assert.Contains("\"novel\":true", RunStore.epochToJson (List.last epochs))

[<Fact>]
let ``the id depends on the configuration and not on where the data lies`` () =
    let one = settings "cifar10" "wrn-16-2" (dgmix 0.5) 5 3
    let id = RunStore.idOf one data
    Assert.Matches("^[0-9a-f]{12}$", id)
    Assert.Equal(id, RunStore.idOf { one with Data = Some "/somewhere" } data)
    Assert.NotEqual<string>(id, RunStore.idOf { one with Seed = 4 } data)
    Assert.NotEqual<string>(id, RunStore.idOf { one with Method = dgmix 0.6 } data)
    Assert.NotEqual<string>(id, RunStore.idOf one { data with Train = 1999 })
    Assert.Equal(RunStore.groupKeyOf one data, RunStore.groupKeyOf { one with Seed = 4 } data)
    Assert.NotEqual<string>(RunStore.groupKeyOf one data, RunStore.groupKeyOf { one with Batch = 32 } data)

[<Fact>]
let ``a torn last line is ignored with a warning and does not swallow the next`` () =
    let folder = oneRun "torn" 3
    let path = RunStore.epochsPath folder
    File.AppendAllText(path, """{"epoch":4,"testAcc":5""")
    let epochs, warnings = RunStore.readEpochs folder
    Assert.Equal(3, epochs.Length)
    Assert.Contains("torn", Assert.Single warnings)
    RunStore.appendEpoch folder (EpochRecord.create 4 51.0 1.0)
    let epochs, warnings = RunStore.readEpochs folder
    Assert.Equal<int list>([ 1; 2; 3; 4 ], epochs |> List.map (fun e -> e.Epoch))
    Assert.Empty warnings

[<Fact>]
let ``a last line without its newline is whole when it parses`` () =
    let folder = oneRun "no-newline" 3
    let path = RunStore.epochsPath folder
    File.AppendAllText(path, """{"epoch":4,"testAcc":50,"seconds":1}""")
    Assert.Equal(4, (fst (RunStore.readEpochs folder)).Length)
    RunStore.appendEpoch folder (EpochRecord.create 5 51.0 1.0)
    Assert.Equal<int list>([ 1; 2; 3; 4; 5 ], fst (RunStore.readEpochs folder) |> List.map (fun e -> e.Epoch))

[<Fact>]
let ``a damaged line in the middle names file and line`` () =
    let folder = oneRun "damaged-middle" 3
    let path = RunStore.epochsPath folder
    let lines = File.ReadAllLines path
    File.WriteAllLines(path, [ lines[0]; "{\"epoch\":"; lines[2] ])
    let message = inputError (fun () -> RunStore.readEpochs folder |> ignore)
    Assert.Contains(path, message)
    Assert.Contains("line 2", message)

[<Theory>]
[<InlineData("", "damaged")>]
[<InlineData("null", "no object")>]
[<InlineData("{\"format\":\"gmix-run-1\"", "damaged")>]
[<InlineData("{\"format\":\"gmix-run-1\",\"id\":\"a\",\"name\":\"b\"}", "config is missing")>]
[<InlineData("{\"format\":\"gmix-run-9\"}", "gmix-run-9")>]
[<InlineData("{\"format\":\"gmix-run-1\",\"config\":{\"epochs\":\"many\"}}", "config.epochs")>]
let ``a damaged config gives one line that names the file`` (text: string, part: string) =
    let folder = freshFolder "damaged-config"
    File.WriteAllText(RunStore.configPath folder, text)
    let message = inputError (fun () -> RunStore.read folder |> ignore)
    Assert.Contains(RunStore.configPath folder, message)
    Assert.Contains(part, message)

[<Fact>]
let ``truncation drops the epochs beyond a checkpoint and nothing else`` () =
    let folder = oneRun "truncate" 5
    let before, _ = RunStore.readEpochs folder
    File.AppendAllText(RunStore.epochsPath folder, "{\"epo")
    RunStore.truncateAfter folder 3
    Assert.Equal<EpochRecord list>(before |> List.take 3, fst (RunStore.readEpochs folder))
    let text = File.ReadAllText(RunStore.epochsPath folder)
    RunStore.truncateAfter folder 3
    Assert.Equal(text, File.ReadAllText(RunStore.epochsPath folder))

[<Fact>]
let ``an epoch written again after a resume counts as its later line`` () =
    let folder = oneRun "twice" 3
    RunStore.appendEpoch folder (EpochRecord.create 2 99.0 1.0)
    let epochs, _ = RunStore.readEpochs folder
    Assert.Equal<float list>([ 99.0 ], epochs |> List.filter (fun e -> e.Epoch = 2) |> List.map (fun e -> e.TestAcc))
    Assert.Equal(3, epochs.Length)

[<Fact>]
let ``the state says how far a run has come`` () =
    let folder = oneRun "states" 4
    Assert.Equal(RunState.Partial 4, (RunStore.read folder).State)
    RunStore.markFailed folder "the loss is NaN\nat epoch 5, step 3"
    Assert.Equal(RunState.Failed "the loss is NaN at epoch 5, step 3", (RunStore.read folder).State)
    RunStore.clearFailure folder
    RunStore.appendEpoch folder (EpochRecord.create 5 70.0 1.0)
    Assert.Equal(RunState.Partial 5, (RunStore.read folder).State)
    File.WriteAllText(RunStore.weightsPath folder, "")
    Assert.Equal(RunState.Complete, (RunStore.read folder).State)

[<Fact>]
let ``runs are found from the root, the experiment and the run's own folder`` () =
    let root = freshFolder "listing"
    let folders =
        [ for seed in 0..2 -> write root "one" (settings "cifar10" "mlp" vanilla 2 seed) 2 ]
        @ [ write root "two" (settings "svhn" "mlp" vanilla 2 0) 1 ]
    Assert.Equal<string list>(List.sort folders, RunStore.folders root |> List.sort)
    Assert.Equal(3, (RunStore.list (Path.Combine(root, "one"))).Length)
    Assert.Equal<string list>([ folders[0] ], RunStore.folders folders[0])
    Assert.Contains("no folder", inputError (fun () -> RunStore.list (Path.Combine(root, "missing")) |> ignore))

[<Fact>]
let ``a write leaves no temporary file and replaces as a whole`` () =
    let folder = freshFolder "atomic"
    let path = Path.Combine(folder, "deep", "file.txt")
    RunStore.writeAtomically path "first"
    RunStore.writeAtomically path "second"
    Assert.Equal("second", File.ReadAllText path)
    Assert.Equal(1, Directory.GetFiles(Path.GetDirectoryName path).Length)
    // a file where a folder should be
    Assert.Contains("cannot write", inputError (fun () -> RunStore.writeAtomically (Path.Combine(path, "x.txt")) "third"))

[<Fact>]
let ``infinite and NaN measures survive a round trip`` () =
    let folder = oneRun "infinite" 0
    RunStore.appendEpoch folder { EpochRecord.create 1 10.0 1.0 with TrainLoss = Some infinity; GradNorm = Some nan }
    let epoch = (RunStore.readEpochs folder |> fst).Head
    Assert.Equal(Some infinity, epoch.TrainLoss)
    Assert.True(Double.IsNaN epoch.GradNorm.Value)
