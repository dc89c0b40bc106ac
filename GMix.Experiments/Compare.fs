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
      Outcome: Outcome }

/// Trains several methods on the same data, one after the other, and reports them.
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

    /// Trains jobs that lie in their folders, in order, with a display; stops after the current step when asked to.
    let private train (jobs: (string * Job) list) (shelf: DataShelf) (stop: CancellationToken) : Outcome =
        let several = jobs |> List.map (fun (_, j) -> j.Config.Seed) |> List.distinct |> List.length > 1
        let titleOf (job: Job) = if several then $"{job.Method.Title} #{job.Config.Seed}" else job.Method.Title
        Live.show (jobs |> List.map (snd >> titleOf)) (fun watch ->
            (Outcome.Completed, jobs)
            ||> List.fold (fun outcome (folder, job) ->
                match outcome with
                | Outcome.Stopped -> outcome
                | Outcome.Completed -> Runner.execute folder job (shelf.Open job.Config) (watch (titleOf job) job.Config.Epochs) stop))

    /// Trains each method with each seed in a fresh experiment folder under `root`, then reports.
    let run (root: string) (name: string) (setup: Setup) (methods: string list) (seeds: int list) (command: string option) (stop: CancellationToken) : ComparisonResult =
        let clock = Stopwatch.StartNew()
        let jobs = [ for seed in seeds do for m in methods -> Runner.job setup m seed ]
        for job in jobs do
            job.Config.Check()
        let shelf = DataShelf()
        let data = shelf.Open jobs.Head.Config
        // every refusal comes before the first file; another seed's part of the data has the same size
        for job in jobs do
            Runner.check job data |> ignore
        let environment = Machine.environment command
        let folders = jobs |> List.map (fun job -> RunStore.create root (Runner.describe name job data environment))
        let folder = Path.Combine(root, name)
        header data jobs.Head.Config
        line $"runs     {folder}"
        line ""
        match train (List.zip folders jobs) shelf stop with
        | Outcome.Stopped -> { Folder = folder; Report = None; Outcome = Outcome.Stopped }
        | Outcome.Completed -> { Folder = folder; Report = Some(report folder command (Some clock.Elapsed)); Outcome = Outcome.Completed }

    /// Continues what is not complete at or below `path`, a run's folder or an experiment's. Reports when the experiment has several runs.
    let resume (path: string) (command: string option) (stop: CancellationToken) : ComparisonResult =
        let runs = RunStore.list path
        if runs.IsEmpty then raise (GMixInputException $"{path}: there is no run here (no config.json)")
        let unfinished = runs |> List.filter (fun r -> r.State <> RunState.Complete)
        if unfinished.IsEmpty then
            line $"{path}: complete, nothing to continue"
            { Folder = path; Report = None; Outcome = Outcome.Completed }
        else
            let jobs = unfinished |> List.map (fun r -> r.Folder, Runner.jobOf r)
            // runs on the same data one after the other: they share it
            let jobs = jobs |> List.sortBy (fun (_, j) -> j.Config.Dataset, j.Config.Data, j.Config.Seed)
            let shelf = DataShelf()
            let first = (snd jobs.Head).Config
            header (shelf.Open first) first
            let outcome = train jobs shelf stop
            let reported = if outcome = Outcome.Completed && runs.Length > 1 then Some(report path command None) else None
            { Folder = path; Report = reported; Outcome = outcome }
