namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Threading
open GMix.Training

/// A run that is to be trained, and what the display says of it.
type internal PlannedRun =
    { Folder: string
      Job: Job
      /// Unique among the runs of one queue.
      Title: string
      /// `GridDisplay.WorkOf`: what its share of the time left is judged by.
      Work: float }

type internal QueueOptions =
    { /// Runs side by side, each in a process of its own; 1: one after the other in this process.
      Workers: int
      /// Stops at the first failure; otherwise the others go on.
      FailFast: bool
      /// Also write TensorBoard's event files.
      TensorBoard: bool }

/// Trains a list of runs whose folders are there, with a display: what the grid and `gmix compare --workers` have in common.
[<RequireQualifiedAccess>]
module internal RunQueue =
    /// The runs of a queue, below `root`, with titles that tell them apart and say no more than that.
    let plan (root: string) (described: (RunFile * Job) list) : (RunFile * PlannedRun) list =
        let several (pick: Job -> string) = described |> List.map (snd >> pick) |> List.distinct |> List.length > 1
        let showData, showModel, showSeed = several (fun j -> j.Config.Dataset), several (fun j -> j.Config.Model), several (fun j -> string j.Config.Seed)
        let titleOf (job: Job) =
            String.Join(
                " ",
                [ if showData then job.Config.Dataset
                  if showModel then job.Config.Model
                  job.Method.Title
                  if showSeed then $"#{job.Config.Seed}" ]
            )
        let titles = HashSet<string>()
        [ for file, job in described do
              // a sweep has several runs of one method and seed: the id tells them apart
              let title = if titles.Add(titleOf job) then titleOf job else $"{titleOf job} ({file.Id.Substring(0, 6)})"
              file, { Folder = RunStore.folder root file; Job = job; Title = title; Work = GridDisplay.WorkOf(job, file.Data.Train) } ]

    let private lastEpoch folder = RunStore.readEpochs folder |> fst |> List.tryLast

    /// Whether nothing further may start.
    let private isOver failFast (ends: RunEnd list) =
        ends |> List.exists (fun e -> match e with RunEnd.Stopped -> true | RunEnd.Failed _ -> failFast | _ -> false)

    /// Trains one after the other here.
    let private here (options: QueueOptions) (display: GridDisplay) (stop: CancellationToken) (queue: PlannedRun list) : RunEnd list * PlannedRun list =
        let shelf = DataShelf()
        let rec go ends locked queue =
            match queue with
            | [] -> List.rev ends, List.rev locked
            | _ when stop.IsCancellationRequested -> List.rev (RunEnd.Stopped :: ends), List.rev locked
            | run :: rest ->
                let watcher = display.Start(run.Title, run.Work)
                let ended = Workers.train options.TensorBoard run.Folder run.Job shelf.Open watcher stop
                display.End(run.Title, run.Work, ended, lastEpoch run.Folder)
                match ended with
                | RunEnd.Stopped -> List.rev (ended :: ends), List.rev locked
                | RunEnd.Failed _ when options.FailFast -> List.rev (ended :: ends), List.rev locked
                | RunEnd.Locked -> go ends (run :: locked) rest
                | _ -> go (ended :: ends) locked rest
        go [] [] queue

    /// Trains side by side in other processes.
    let private sideBySide (options: QueueOptions) (display: GridDisplay) (stop: CancellationToken) (runs: PlannedRun list) : RunEnd list * PlannedRun list =
        let gate = obj ()
        let queue = Queue<PlannedRun>(runs)
        let ends, locked = List<RunEnd>(), List<PlannedRun>()
        let mutable halt = false
        let workers = List<Workers.Worker>()
        use _ = stop.Register(fun () -> lock gate (fun () -> for w in workers do w.Stop()))
        let next () =
            lock gate (fun () ->
                if halt || stop.IsCancellationRequested || queue.Count = 0 then None else Some(queue.Dequeue()))
        let hire () =
            lock gate (fun () ->
                let worker = new Workers.Worker(options.TensorBoard)
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
                        | RunEnd.Failed _ when options.FailFast ->
                            halt <- true
                            ends.Add ended
                        | _ -> ends.Add ended)
                    go ()
            go ()
        let errors = List<exn>()
        let threads =
            [ for _ in 1 .. min options.Workers runs.Length ->
                  Thread((fun () -> try serve () with e -> lock gate (fun () -> errors.Add e)), IsBackground = true) ]
        for t in threads do t.Start()
        for t in threads do t.Join()
        for w in workers do (w :> IDisposable).Dispose()
        if errors.Count > 0 then raise errors[0]
        if stop.IsCancellationRequested then ends.Add RunEnd.Stopped
        List.ofSeq ends, List.ofSeq locked

    let rec private trainAll (options: QueueOptions) (display: GridDisplay) (stop: CancellationToken) (runs: PlannedRun list) : RunEnd list =
        let fromScript, fromCatalog = runs |> List.partition (fun p -> Experiment.needsScript p.Job)
        let endsA, lockedA =
            if options.Workers = 1 || fromCatalog.Length < 2 then here options display stop fromCatalog
            else sideBySide options display stop fromCatalog
        let endsB, lockedB = if isOver options.FailFast endsA then [], [] else here options display stop fromScript
        let ends = endsA @ endsB
        match lockedA @ lockedB with
        | [] -> ends
        | _ when isOver options.FailFast ends -> ends
        | locked ->
            // another runner has them; what it leaves unfinished is trained here
            if ends.IsEmpty then stop.WaitHandle.WaitOne 1000 |> ignore
            ends @ trainAll options display stop locked

    /// Trains the runs and tells how they ended. `skipped` runs beside them were complete before; the display says so.
    let train (options: QueueOptions) (skipped: int) (stop: CancellationToken) (runs: PlannedRun list) : RunEnd list =
        let width = runs |> List.map (fun p -> p.Title.Length) |> List.fold max 0
        GridDisplay.Show(runs.Length, skipped, width, options.Workers, fun display ->
            display.Plan(runs |> List.sumBy (fun p -> p.Work))
            if runs.IsEmpty then [] else trainAll options display stop runs)
