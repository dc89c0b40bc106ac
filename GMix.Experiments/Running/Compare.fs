namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Threading
open GMix
open GMix.Data
open GMix.Training
open Spectre.Console

/// What a comparison left behind.
type ComparisonResult =
    { Folder: string
      Report: string option
      /// Runs that failed, with the reason; only where runs train side by side does one not end the comparison.
      Failed: (Run * string) list
      Outcome: Outcome }

/// How a comparison is trained.
type ComparisonOptions =
    { /// Runs side by side, each in a process of its own, with the cores divided between them; 1: one after the other in this process.
      Workers: int
      /// Also write TensorBoard's event files into the runs' folders.
      TensorBoard: bool
      /// The command line, for the runs' evidence.
      Command: string option }

    static member defaults = { Workers = 1; TensorBoard = false; Command = None }

/// Trains several methods on the same data, one after the other or side by side, and reports them.
[<RequireQualifiedAccess>]
module Compare =
    let private line (text: string) = Console.Out.WriteLine text

    /// A name for an experiment's folder that no other start has: WORD-20261231-235959.
    let freshName (root: string) (word: string) =
        let stamp = DateTime.Now.ToString "yyyyMMdd-HHmmss"
        Seq.initInfinite (fun i -> if i = 0 then $"{word}-{stamp}" else $"{word}-{stamp}-{i + 1}")
        |> Seq.find (fun name -> not (Directory.Exists(Path.Combine(root, name))))

    /// Remarks a reader needs beside the numbers.
    let remarks (runs: Run list) =
        [ if runs |> List.exists (fun r -> r.File.Data.Kind = "synthetic") then
              "The data set is synthetic (rendered shapes): the numbers show that the methods work and how they compare here, not what they reach on photographs."
          if runs |> List.exists (fun r -> r.File.Data.Kind = "subset") then
              "The data is a subset of the official set: the numbers are not comparable with published ones on the full set."
          if runs |> List.exists (fun r -> r.Config.Method.Name = "bgmix") then
              "BG-Mix keeps only the most sensitive examples, a biased sample: at gamma = 0.5 on little data and few epochs it falls far behind G-Mix and needs about three times the epochs, hence gamma = 0.8 in the preset fair."
          if (runs |> List.map (fun r -> r.Config.Seed) |> List.distinct).Length = 1 && runs.Length > 1 then
              "One seed per method: differences of a point or two are within what another seed would change." ]

    /// Prints the closing table and writes summary.csv and report.html into the experiment's folder.
    let report (folder: string) (command: string option) (wall: TimeSpan option) : string =
        let runs = RunStore.list folder
        if runs |> List.forall (fun r -> r.Epochs.IsEmpty) then raise (GMixInputException $"{folder}: no run in it has finished an epoch, so there is nothing to report")
        let comparisons = Summary.comparisons runs
        for comparison in comparisons do
            line ""
            ConsoleTables.print (Tables.comparison comparison)
        TableWriters.saveSummary folder comparisons |> ignore
        let path = Path.Combine(folder, "report.html")
        let basis = Report.create "GMix: a comparison of training methods" |> Report.withRuns runs |> Report.withRemarks (remarks runs)
        let basis = match command with Some c -> Report.withCommand c basis | None -> basis
        let basis = match wall with Some w -> Report.withWallTime w basis | None -> basis
        let written = basis |> Report.save path
        line ""
        line $"report   {written}"
        let table = Path.Combine(folder, "summary.csv")
        line $"table    {table}"
        written

    let private header (data: DatasetSplits) (config: TrainConfig) =
        let size = $"{data.Train.Count:N0} train, {data.Test.Count:N0} test, {data.Train.ClassCount} classes, {data.Source.Kind}"
        line $"data     {config.Dataset} ({size})"
        line $"model    {config.Model}, {config.Epochs} epochs of batch {config.Batch}, augmentation {config.Augmentation}"
        line $"machine  {Resolve.precisionName config.Precision}, {config.Threads} threads, libtorch {GMix.Torch.TorchRuntime.Version}, {Machine.device config}"

    /// Trains runs that lie in their folders; stops after the current step when asked to.
    let private train (options: ComparisonOptions) (runs: PlannedRun list) (shelf: DataShelf) (stop: CancellationToken) : Outcome =
        if options.Workers = 1 then
            // one after the other, a line or a bar for each
            Live.show (runs |> List.map (fun r -> r.Title)) (fun watch ->
                (Outcome.Completed, runs)
                ||> List.fold (fun outcome run ->
                    match outcome with
                    | Outcome.Stopped -> outcome
                    | Outcome.Completed -> Runner.execute options.TensorBoard run.Folder run.Job (shelf.Open run.Job.Config) (watch run.Title run.Job.Config.Epochs) stop))
        elif RunQueue.train { Workers = options.Workers; FailFast = false; TensorBoard = options.TensorBoard } 0 stop runs |> List.contains RunEnd.Stopped then
            Outcome.Stopped
        else
            Outcome.Completed

    let private check (options: ComparisonOptions) =
        if options.Workers < 1 then raise (GMixInputException $"--workers {options.Workers}: must be at least 1")

    let private failures (runs: Run list) =
        runs |> List.choose (fun r -> match r.State with RunState.Failed reason -> Some(r, reason) | _ -> None)

    /// Trains and reports the runs of `folder`; a report wants a run that has finished an epoch.
    let private trainAndReport folder (options: ComparisonOptions) runs shelf (wall: unit -> TimeSpan option) several stop : ComparisonResult =
        let outcome = train options runs shelf stop
        let after = RunStore.list folder
        if options.TensorBoard then
            for run in after |> List.filter (fun r -> r.State = RunState.Complete) do
                TensorBoard.ofComplete run
        let reported =
            if outcome = Outcome.Completed && several && after |> List.exists (fun r -> not r.Epochs.IsEmpty) then
                Some(report folder options.Command (wall ()))
            else
                None
        { Folder = folder; Report = reported; Failed = failures after; Outcome = outcome }

    /// Trains each method with each seed in a fresh experiment folder under `root`, then reports. With several workers the cores are divided between
    /// them, unless the setup says how many threads a run has.
    let run (root: string) (name: string) (setup: Setup) (methods: string list) (seeds: int list) (options: ComparisonOptions) (stop: CancellationToken) : ComparisonResult =
        check options
        let clock = Stopwatch.StartNew()
        let setup =
            if options.Workers = 1 then setup
            else { setup with Train = { setup.Train with Threads = setup.Train.Threads |> Option.orElse (Some(Experiment.threads options.Workers setup.Model)) } }
        let jobs = [ for seed in List.distinct seeds do for m in List.distinct methods -> Runner.job setup m seed ]
        for job in jobs do
            job.Config.Check()
        let shelf = DataShelf()
        let data = shelf.Open jobs.Head.Config
        // every refusal comes before the first file; another seed's part of the data has the same size
        for job in jobs do
            Runner.check job data |> ignore
        let environment = Machine.environment options.Command
        let planned = RunQueue.plan root (jobs |> List.map (fun job -> Runner.describe name job data environment, job))
        for file, _ in planned do
            RunStore.create root file |> ignore
        let folder = Path.Combine(root, name)
        header data jobs.Head.Config
        line $"runs     {folder}"
        line ""
        trainAndReport folder options (planned |> List.map snd) shelf (fun () -> Some clock.Elapsed) true stop

    /// Continues what is not complete at or below `path`, a run's folder or an experiment's. Reports when the experiment has several runs.
    let resume (path: string) (options: ComparisonOptions) (stop: CancellationToken) : ComparisonResult =
        check options
        let runs = RunStore.list path
        if runs.IsEmpty then raise (GMixInputException $"{path}: there is no run here (no config.json)")
        let unfinished = runs |> List.filter (fun r -> r.State <> RunState.Complete)
        if unfinished.IsEmpty then
            if options.TensorBoard then List.iter TensorBoard.ofComplete runs
            line $"{path}: complete, nothing to continue"
            { Folder = path; Report = None; Failed = []; Outcome = Outcome.Completed }
        else
            let jobs = unfinished |> List.map (fun r -> r, Runner.jobOf r)
            // runs on the same data one after the other: they share it
            let jobs = jobs |> List.sortBy (fun (_, j) -> j.Config.Dataset, j.Config.Data, j.Config.Seed)
            let planned =
                RunQueue.plan "" (jobs |> List.map (fun (run, job) -> run.File, job))
                |> List.map2 (fun (run: Run, _) (_, planned) -> { planned with Folder = run.Folder }) jobs
            let shelf = DataShelf()
            let first = (snd jobs.Head).Config
            header (shelf.Open first) first
            trainAndReport path options planned shelf (fun () -> None) (runs.Length > 1) stop
