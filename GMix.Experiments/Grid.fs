namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Threading
open GMix
open GMix.Training

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
      /// The command line, for the runs' evidence.
      Command: string option }

    static member defaults = { Root = "runs"; Workers = None; Retry = false; FailFast = false; Command = None }

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
    type private Planned = { Folder: string; Job: Job; Title: string; Work: float }

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
                    index, (Runner.describe name job data environment, job, data.Train.Count)))
            |> List.sortBy fst
            |> List.map snd
            |> List.distinctBy (fun (file, _, _) -> file.Name, file.Id)
        let several (pick: Job -> string) = described |> List.map (fun (_, job, _) -> pick job) |> List.distinct |> List.length > 1
        let showData, showModel = several (fun j -> j.Config.Dataset), several (fun j -> j.Config.Model)
        let titleOf (job: Job) =
            String.Join(
                " ",
                [ if showData then job.Config.Dataset
                  if showModel then job.Config.Model
                  job.Method.Title
                  $"#{job.Config.Seed}" ]
            )
        let titles = HashSet<string>()
        [ for file, job, images in described do
              // a sweep has several runs of one method and seed: the id tells them apart
              let title = if titles.Add(titleOf job) then titleOf job else $"{titleOf job} ({file.Id.Substring(0, 6)})"
              let folder = RunStore.folder options.Root file
              file, { Folder = folder; Job = job; Title = title; Work = GridDisplay.WorkOf(job, images) } ]

    let private lastEpoch folder = RunStore.readEpochs folder |> fst |> List.tryLast

    /// Trains one after the other here.
    let private here (display: GridDisplay) (failFast: bool) (stop: CancellationToken) (queue: Planned list) : RunEnd list * Planned list =
        let shelf = DataShelf()
        let rec go ends locked queue =
            match queue with
            | [] -> List.rev ends, List.rev locked
            | _ when stop.IsCancellationRequested -> List.rev (RunEnd.Stopped :: ends), List.rev locked
            | run :: rest ->
                let watcher = display.Start(run.Title, run.Work)
                let ended = Workers.train run.Folder run.Job shelf.Open watcher stop
                display.End(run.Title, run.Work, ended, lastEpoch run.Folder)
                match ended with
                | RunEnd.Stopped -> List.rev (ended :: ends), List.rev locked
                | RunEnd.Failed _ when failFast -> List.rev (ended :: ends), List.rev locked
                | RunEnd.Locked -> go ends (run :: locked) rest
                | _ -> go (ended :: ends) locked rest
        go [] [] queue

    /// Trains `count` side by side in other processes.
    let private sideBySide (display: GridDisplay) (failFast: bool) (count: int) (stop: CancellationToken) (runs: Planned list) : RunEnd list * Planned list =
        let gate = obj ()
        let queue = Queue<Planned>(runs)
        let ends, locked = List<RunEnd>(), List<Planned>()
        let mutable halt = false
        let workers = List<Workers.Worker>()
        use _ = stop.Register(fun () -> lock gate (fun () -> for w in workers do w.Stop()))
        let next () =
            lock gate (fun () ->
                if halt || stop.IsCancellationRequested || queue.Count = 0 then None else Some(queue.Dequeue()))
        let hire () =
            lock gate (fun () ->
                let worker = new Workers.Worker()
                workers.Add worker
                if stop.IsCancellationRequested then worker.Stop()
                worker)
        let serve () =
            let mutable worker = None
            let rec go () =
                match next () with
                | None -> ()
                | Some run ->
                    let current: Workers.Worker =
                        match worker with
                        | Some(w: Workers.Worker) when w.Alive -> w
                        | _ -> hire ()
                    worker <- Some current
                    let watcher = display.Start(run.Title, run.Work)
                    let ended = current.Train(run.Folder, watcher)
                    let ended =
                        match ended with
                        // asked to stop before it had begun, it left without a word
                        | RunEnd.Failed _ when stop.IsCancellationRequested && not current.Alive -> RunEnd.Stopped
                        | RunEnd.Failed reason ->
                            RunStore.markFailed run.Folder reason
                            ended
                        | _ -> ended
                    display.End(run.Title, run.Work, ended, lastEpoch run.Folder)
                    lock gate (fun () ->
                        match ended with
                        | RunEnd.Locked -> locked.Add run
                        | RunEnd.Failed _ when failFast ->
                            halt <- true
                            ends.Add ended
                        | _ -> ends.Add ended)
                    go ()
            go ()
        let errors = List<exn>()
        let threads =
            [ for _ in 1 .. min count runs.Length ->
                  Thread((fun () -> try serve () with e -> lock gate (fun () -> errors.Add e)), IsBackground = true) ]
        for t in threads do t.Start()
        for t in threads do t.Join()
        for w in workers do (w :> IDisposable).Dispose()
        if errors.Count > 0 then raise errors[0]
        if stop.IsCancellationRequested then ends.Add RunEnd.Stopped
        List.ofSeq ends, List.ofSeq locked

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
        let width = runs |> List.map (fun p -> p.Title.Length) |> List.fold max 0
        let rec train (display: GridDisplay) (runs: Planned list) : RunEnd list =
            let fromScript, fromCatalog = runs |> List.partition (fun p -> Experiment.needsScript p.Job)
            let endsA, lockedA =
                if workers = 1 || fromCatalog.Length < 2 then here display options.FailFast stop fromCatalog
                else sideBySide display options.FailFast workers stop fromCatalog
            let over = endsA |> List.exists (fun e -> match e with RunEnd.Stopped -> true | RunEnd.Failed _ -> options.FailFast | _ -> false)
            let endsB, lockedB = if over then [], [] else here display options.FailFast stop fromScript
            let ends = endsA @ endsB
            let over = ends |> List.exists (fun e -> match e with RunEnd.Stopped -> true | RunEnd.Failed _ -> options.FailFast | _ -> false)
            match lockedA @ lockedB with
            | [] -> ends
            | _ when over -> ends
            | locked ->
                // another runner has them; what it leaves unfinished is trained here
                if ends.IsEmpty then stop.WaitHandle.WaitOne 1000 |> ignore
                ends @ train display locked
        let ends =
            GridDisplay.Show(runs.Length, skipped, width, workers, fun display ->
                display.Plan(runs |> List.sumBy (fun p -> p.Work))
                if runs.IsEmpty then [] else train display runs)
        let after = planned |> List.choose (fun (_, p) -> stateOf p.Folder)
        { Folder = Path.Combine(options.Root, experiments.Head.Name)
          Runs = after |> List.filter (fun r -> r.State = RunState.Complete)
          Failed = after |> List.choose (fun r -> match r.State with RunState.Failed reason -> Some(r, reason) | _ -> None)
          Skipped = skipped
          Outcome = (if ends |> List.contains RunEnd.Stopped then Outcome.Stopped else Outcome.Completed)
          Wall = clock.Elapsed }
