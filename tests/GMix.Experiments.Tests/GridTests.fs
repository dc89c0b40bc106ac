/// The grid runner on trainings of a second: what is skipped, retried, continued, and done side by side.
module GMix.Experiments.Tests.GridTests

open System
open System.IO
open System.Threading
open System.Threading.Tasks
open GMix
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open Xunit

let private tiny =
    experiment "tiny" {
        dataset "synthetic"
        limit 100
        model "mlp-8"
        methods [ Method.vanilla; Method.dgmix ]
        train { Train.defaults with Epochs = Some 2; Batch = 50 }
        seeds [ 0; 1 ]
    }

let private epochs n (e: Experiment) = { e with Train = { e.Train with Epochs = Some n } }

/// A learning rate that no net survives.
let private diverging (e: Experiment) =
    { e with Train = { e.Train with LearningRate = 1e30; Epochs = Some 30; Schedule = Some GMix.Training.ScheduleKind.Constant } }

let private options folder = { GridOptions.defaults with Root = folder; Workers = Some 1 }
let private train folder experiments = Grid.run (options folder) experiments CancellationToken.None
let private weights (run: Run) = File.ReadAllBytes(RunStore.weightsPath run.Folder)
let private written (run: Run) = File.GetLastWriteTimeUtc(RunStore.weightsPath run.Folder)

[<Fact>]
let ``complete runs are skipped, and a changed experiment makes new runs beside the old`` () =
    let folder = freshFolder "grid-skip"
    let first = train folder [ tiny ]
    Assert.Equal((4, 0, 0), (first.Runs.Length, first.Failed.Length, first.Skipped))
    let trained = first.Runs |> List.map written
    let again = train folder [ tiny ]
    Assert.Equal((4, 4), (again.Runs.Length, again.Skipped))
    Assert.Equal<DateTime list>(trained, again.Runs |> List.map written)
    let changed = train folder [ epochs 3 tiny ]
    Assert.Equal((4, 0), (changed.Runs.Length, changed.Skipped))
    Assert.Equal(8, (RunStore.list folder).Length)
    Assert.Equal<DateTime list>(trained, first.Runs |> List.map written)
    // two experiments of one name share what is equal
    let both = train folder [ tiny; epochs 3 tiny; tiny ]
    Assert.Equal((8, 8), (both.Runs.Length, both.Skipped))

[<Fact>]
let ``a failed run does not keep the others from training, is listed, and is retried on request only`` () =
    let folder = freshFolder "grid-retry"
    let first = train folder [ diverging { tiny with Seeds = [ 0 ] }; tiny ]
    Assert.Equal((4, 2), (first.Runs.Length, first.Failed.Length))
    Assert.All(first.Failed, fun (_, reason) -> Assert.Contains("epoch", reason))
    let stamp (run: Run, _: string) = File.GetLastWriteTimeUtc(RunStore.failurePath run.Folder)
    let failed = first.Failed |> List.map stamp
    let again = train folder [ diverging { tiny with Seeds = [ 0 ] }; tiny ]
    Assert.Equal((4, 2, 4), (again.Runs.Length, again.Failed.Length, again.Skipped))
    Assert.Equal<DateTime list>(failed, again.Failed |> List.map stamp)
    let retried = Grid.run { options folder with Retry = true } [ diverging { tiny with Seeds = [ 0 ] }; tiny ] CancellationToken.None
    Assert.Equal(2, retried.Failed.Length)
    Assert.All(List.zip failed retried.Failed, fun (before, run) -> Assert.True(stamp run > before))

[<Fact>]
let ``fail-fast leaves the rest untouched`` () =
    let folder = freshFolder "grid-fail-fast"
    let result = Grid.run { options folder with FailFast = true } [ diverging tiny; tiny ] CancellationToken.None
    Assert.Equal((0, 1), (result.Runs.Length, result.Failed.Length))

[<Fact>]
let ``bad input is refused before a file is written`` () =
    let folder = freshFolder "grid-refuse"
    let root = Path.Combine(folder, "runs")
    let bad = { tiny with Models = [ ModelSpec.Catalog "wrn-9-x" ] }
    let error = Assert.Throws<GMixInputException>(fun () -> train root [ tiny; bad ] |> ignore)
    Assert.Contains("wrn-9-x", error.Message)
    Assert.False(Directory.Exists root)

/// EXACT: stopped somewhere, started again, the weights are those of a run that was never stopped.
[<Theory>]
[<InlineData 1>]
[<InlineData 2>]
let ``a stopped grid goes on bitwise`` (workers: int) =
    let folder = freshFolder $"grid-stop-{workers}"
    let long = epochs 100 { tiny with Seeds = [ 0 ] }
    let whole = train (Path.Combine(folder, "whole")) [ long ]
    let root = Path.Combine(folder, "stopped")
    use source = new CancellationTokenSource()
    let begun () =
        Directory.Exists root && Directory.GetFiles(root, "epochs.jsonl", SearchOption.AllDirectories).Length > 0
    // a thread of its own: the pool's may all be busy with other tests until the grid is over
    let watch =
        Task.Factory.StartNew(
            (fun () ->
                let deadline = DateTime.UtcNow.AddSeconds 60.0
                while not (begun ()) && DateTime.UtcNow < deadline do
                    Thread.Sleep 5
                source.Cancel()),
            TaskCreationOptions.LongRunning)
    let stopped = Grid.run { options root with Workers = Some workers } [ long ] source.Token
    watch.Wait()
    Assert.Equal(Outcome.Stopped, stopped.Outcome)
    Assert.Empty stopped.Failed
    Assert.True(stopped.Runs.Length < 2, "everything was over before it could be stopped")
    let finished = Grid.run { options root with Workers = Some workers } [ long ] CancellationToken.None
    Assert.Equal(Outcome.Completed, finished.Outcome)
    Assert.Equal<byte[] list>(whole.Runs |> List.map weights, finished.Runs |> List.map weights)

/// EXACT: who trains a run does not matter.
[<Fact>]
let ``workers train the same bytes as one process`` () =
    let folder = freshFolder "grid-workers"
    let one = train (Path.Combine(folder, "one")) [ tiny ]
    let two = Grid.run { options (Path.Combine(folder, "two")) with Workers = Some 2 } [ tiny ] CancellationToken.None
    Assert.Equal<string list>(one.Runs |> List.map (fun r -> r.Id), two.Runs |> List.map (fun r -> r.Id))
    Assert.Equal<byte[] list>(one.Runs |> List.map weights, two.Runs |> List.map weights)

[<Fact>]
let ``a worker's failure is listed with its reason`` () =
    let folder = freshFolder "grid-worker-fails"
    let result = Grid.run { options folder with Workers = Some 2 } [ diverging { tiny with Seeds = [ 0 ] } ] CancellationToken.None
    Assert.Equal((0, 2), (result.Runs.Length, result.Failed.Length))
    Assert.All(result.Failed, fun (_, reason) -> Assert.Contains("the loss became", reason))

[<Fact>]
let ``two runners on one folder never train a run twice`` () =
    let folder = freshFolder "grid-two"
    let long = epochs 20 tiny
    let lines = [ for workers in 1..2 -> Task.Run(fun () -> Grid.run { options folder with Workers = Some workers } [ long ] CancellationToken.None) ]
    let results = lines |> List.map (fun t -> t.Result)
    for result in results do
        Assert.Equal((4, 0), (result.Runs.Length, result.Failed.Length))
    // an epoch that was trained twice would have been written twice
    for run in RunStore.list folder do
        Assert.Equal(20, File.ReadAllLines(RunStore.epochsPath run.Folder).Length)

[<Fact>]
let ``a lock left by a dead process holds nobody`` () =
    let folder = freshFolder "grid-lock"
    let first = train folder [ tiny ]
    File.Delete(RunStore.weightsPath first.Runs.Head.Folder)
    File.WriteAllText(Path.Combine(first.Runs.Head.Folder, "lock"), "")
    let again = train folder [ tiny ]
    Assert.Equal((4, 3), (again.Runs.Length, again.Skipped))

[<Fact>]
let ``runs are found by words and removed`` () =
    let folder = freshFolder "grid-runs"
    train folder [ tiny ] |> ignore
    let fitting words = RunStore.list folder |> List.filter (RunsCommand.fits words)
    Assert.Equal(2, (fitting [ "dgmix" ]).Length)
    Assert.Equal(1, (fitting [ "dgmix"; "seed=1" ]).Length)
    Assert.Equal(4, (fitting [ "complete" ]).Length)
    Assert.Empty(fitting [ "failed" ])
    let one = fitting [ "vanilla"; "seed=0" ]
    Assert.Equal<string list>([ one.Head.Id ], fitting [ one.Head.Id.Substring(0, 8) ] |> List.map (fun r -> r.Id))
    RunsCommand.remove one
    Assert.Equal(3, (RunStore.list folder).Length)
