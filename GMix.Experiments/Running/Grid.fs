namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Threading
open GMix

/// How a grid of runs is trained.
type GridOptions =
    { /// Runs go to ROOT/NAME/ID.
      Root: string
      /// Runs side by side; None: as many as cores where every model is small, else one.
      Workers: int option
      /// Trains runs that failed before once more; otherwise they are listed and left.
      Retry: bool
      /// Stops at the first failure; otherwise the others go on.
      FailFast: bool
      /// Also write TensorBoard's event files into the runs' folders.
      TensorBoard: bool
      /// The command line, for the runs' evidence.
      Command: string option }

    static member defaults = { Root = "runs"; Workers = None; Retry = false; FailFast = false; TensorBoard = false; Command = None }

/// What a grid left behind.
type GridResult =
    { /// The folder of the first experiment.
      Folder: string
      /// The grid's complete runs, in its order; runs of other grids in the same folder are not among them.
      Runs: Run list
      /// Runs that failed now or before, with the reason.
      Failed: (Run * string) list
      /// Complete before this start.
      Skipped: int
      Outcome: Outcome
      Wall: TimeSpan }

/// Trains every run of some experiments that is not complete yet. A run's id is the hash of its resolved configuration, so that nothing is trained
/// twice and a changed experiment makes new runs beside the old ones.
[<RequireQualifiedAccess>]
module Grid =
    let private defaultWorkers (experiments: Experiment list) =
        if experiments |> List.forall Experiment.isSmall then Environment.ProcessorCount else 1

    let private plan (options: GridOptions) workers (experiments: Experiment list) =
        let shelf = DataShelf()
        let environment = Machine.environment options.Command
        let jobs = experiments |> List.collect (fun e -> Experiment.jobs workers e |> List.map (fun job -> e.Name, job))
        for _, job in jobs do
            job.Config.Check()
        // data set by data set, so that each is read once here
        let described =
            jobs
            |> List.indexed
            |> List.groupBy (fun (_, (_, job)) -> job.Config.Dataset, job.Config.Data)
            |> List.collect (fun (_, group) ->
                group
                |> List.map (fun (index, (name, job)) ->
                    let data = shelf.Open job.Config
                    Runner.check job data |> ignore
                    index, (Runner.describe name job data environment, job)))
            |> List.sortBy fst
            |> List.map snd
            |> List.distinctBy (fun (file, _) -> file.Name, file.Id)
        RunQueue.plan options.Root described

    /// Trains what is not complete. Refuses every experiment, before a file is written, when one of them does not fit its data.
    let run (options: GridOptions) (experiments: Experiment list) (stop: CancellationToken) : GridResult =
        if experiments.IsEmpty then raise (GMixInputException "there is no experiment in the list: nothing to train")
        let clock = Stopwatch.StartNew()
        let workers = options.Workers |> Option.defaultWith (fun () -> defaultWorkers experiments)
        if workers < 1 then raise (GMixInputException $"--workers {workers}: must be at least 1")
        let planned = plan options workers experiments
        let stateOf (folder: string) = if File.Exists(RunStore.configPath folder) then Some(RunStore.read folder) else None
        let before = planned |> List.map (fun (file, p) -> file, p, stateOf p.Folder)
        let skipped = before |> List.filter (fun (_, _, run) -> match run with Some r -> r.State = RunState.Complete | None -> false) |> List.length
        let failedBefore (run: Run option) = match run with Some r -> (match r.State with RunState.Failed _ -> true | _ -> false) | None -> false
        let pending =
            before
            |> List.filter (fun (_, _, run) ->
                match run with
                | Some r when r.State = RunState.Complete -> false
                | run when failedBefore run -> options.Retry
                | _ -> true)
        for file, p, run in pending do
            match run with
            // the data may have moved since; all else in the file is what its id says
            | Some r when r.Config.Data = file.Config.Data -> ()
            | _ -> RunStore.create options.Root file |> ignore
        let runs = pending |> List.map (fun (_, p, _) -> p)
        let ends = RunQueue.train { Workers = workers; FailFast = options.FailFast; TensorBoard = options.TensorBoard } skipped stop runs
        let after = planned |> List.choose (fun (_, p) -> stateOf p.Folder)
        if options.TensorBoard then
            for run in after |> List.filter (fun r -> r.State = RunState.Complete) do
                TensorBoard.ofComplete run
        { Folder = Path.Combine(options.Root, experiments.Head.Name)
          Runs = after |> List.filter (fun r -> r.State = RunState.Complete)
          Failed = after |> List.choose (fun r -> match r.State with RunState.Failed reason -> Some(r, reason) | _ -> None)
          Skipped = skipped
          Outcome = (if ends |> List.contains RunEnd.Stopped then Outcome.Stopped else Outcome.Completed)
          Wall = clock.Elapsed }
