namespace GMix.Experiments

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.Json.Serialization
open System.Threading
open GMix
open GMix.Data
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Training

/// One run to be done: its configuration, and where a script brings them, a method or model of its own.
type Job =
    { Config: TrainConfig
      Preset: Preset
      Method: Method
      OwnModel: (ImageShape -> Model) option }

/// Another process is training the run.
type RunLockedException(folder: string, inner: exn) =
    inherit GMixInputException($"{folder}: another process is training this run; wait for it or stop it", inner)

/// How a run ended.
[<RequireQualifiedAccess>]
type Outcome =
    | Completed
    /// Asked to stop: a checkpoint holds the position, `gmix resume` goes on from it.
    | Stopped

/// What happens while a run trains.
type RunWatcher =
    { Step: TrainProgress -> unit
      Epoch: EpochRecord -> unit }

    static member silent = { Step = ignore; Epoch = ignore }

/// Trains runs in their folders. A run can be killed at any moment and continued.
[<RequireQualifiedAccess>]
module Runner =
    let private json =
        let options = JsonSerializerOptions(PropertyNamingPolicy = JsonNamingPolicy.CamelCase, IgnoreReadOnlyProperties = true)
        options.Converters.Add(JsonStringEnumConverter())
        options.NumberHandling <- JsonNumberHandling.AllowNamedFloatingPointLiterals
        options

    let private trainField = "train"

    /// A job for a method of the catalog.
    let job (setup: Setup) (methodName: string) (seed: int) : Job =
        let method = MethodCatalog.Get(methodName, Resolve.methodOptions setup)
        { Config = Resolve.config setup method seed; Preset = setup.Train.Preset; Method = method; OwnModel = None }

    /// Refuses a job whose parts do not fit the data, before anything is written.
    let check (job: Job) (data: DatasetSplits) =
        job.Method.Check()
        Trainer.CheckFit(job.Config, data, Option.toObj (job.OwnModel |> Option.map (fun make -> Func<ImageShape, Model> make)))

    let private dataInfo (data: DatasetSplits) : DataInfo =
        { Train = data.Train.Count; Test = data.Test.Count; Classes = data.Train.ClassCount; Kind = data.Source.Kind; Extra = null }

    /// The run's config.json: a reader's words, and under "train" the whole configuration to go on from.
    let describe name (job: Job) (data: DatasetSplits) (environment: EnvironmentInfo) : RunFile =
        let file = RunStore.describe name (Resolve.settings job.Config job.Preset job.Method) (dataInfo data) (Machine.forRun job.Config environment)
        let extra = Dictionary<string, JsonElement>()
        extra[trainField] <- JsonSerializer.SerializeToElement(job.Config, json)
        { file with Extra = extra }

    /// The job that a run's config.json describes.
    let jobOf (run: Run) : Job =
        let where = RunStore.configPath run.Folder
        match run.File.Extra with
        | null -> raise (GMixInputException $"{where}: has no '{trainField}' part, so the run cannot be continued")
        | extra ->
            match extra.TryGetValue trainField with
            | false, _ -> raise (GMixInputException $"{where}: has no '{trainField}' part, so the run cannot be continued")
            | true, element ->
                let config =
                    try
                        element.Deserialize<TrainConfig> json
                    with :? JsonException as e ->
                        raise (GMixInputException($"{where}: the '{trainField}' part is damaged ({e.Message.Split('\n')[0]})", e))
                if not (MethodCatalog.Entries |> Seq.exists (fun e -> e.Name = config.Method)) then
                    raise (GMixInputException $"{where}: method {config.Method} comes from a script; continue the run by starting the script again")
                { Config = config
                  Preset = config.MethodOptions.Preset
                  Method = MethodCatalog.Get(config.Method, config.MethodOptions)
                  OwnModel = None }

    let private record (r: EpochResult) : EpochRecord =
        let option (value: Nullable<float>) = Option.ofNullable value
        { Epoch = r.Epoch
          Lr = Some r.LearningRate
          TrainLoss = Some r.TrainLoss
          TrainAcc = Some r.TrainAccuracy
          VicinalAcc = Some r.VicinalAccuracy
          TestLoss = Some r.TestLoss
          TestAcc = r.TestAccuracy
          Gap = Some r.Gap
          CleanTrainAcc = option r.CleanTrainAccuracy
          CleanGap = option r.CleanGap
          Seconds = r.Seconds
          ImagesPerSecond = Some r.ImagesPerSecond
          Forwards = Some r.Forwards
          Backwards = Some r.Backwards
          IntrusionMiss = option r.IntrusionMiss
          SensitivityMean = option r.SensitivityMean
          SensitivityMedian = option r.SensitivityMedian
          SensitivityP10 = option r.SensitivityP10
          SensitivityP90 = option r.SensitivityP90
          OrderingRate = option r.OrderingRate
          Projection = option r.Projection
          GPerpRatio = option r.OrthogonalRatio
          GradNorm = option r.GradientNorm
          Extra = null }

    /// Holds the run's folder while it trains; the system lets go of it when the process ends, however it ends.
    let private lockFolder (folder: string) =
        try
            new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose)
        with :? IOException as e ->
            raise (RunLockedException(folder, e))

    /// Throws RunLockedException where another process trains the run.
    let refuseLocked (folder: string) = (lockFolder folder).Dispose()

    /// Trains the run in `folder` from its checkpoint, or from the start, to its end or until `stop` is set. With `tensorBoard` it leaves event files
    /// beside its own.
    let execute (tensorBoard: bool) (folder: string) (job: Job) (data: DatasetSplits) (watcher: RunWatcher) (stop: CancellationToken) : Outcome =
        use _ = lockFolder folder
        RunStore.clearFailure folder
        let checkpoint = RunStore.checkpointPath folder
        use trainer = new Trainer(job.Config, data, job.Method, Option.toObj (job.OwnModel |> Option.map (fun make -> Func<ImageShape, Model> make)))
        if File.Exists checkpoint then trainer.Restore checkpoint
        // lines of epochs that the checkpoint does not know will be trained, and written, again
        RunStore.truncateAfter folder trainer.EpochsDone
        use log = if tensorBoard then new TensorBoard.Log(folder, RunStore.readConfig folder, trainer.EpochsDone) else null
        let rec go () =
            if trainer.Done then
                let train = data.Train
                let info =
                    WeightsInfo(
                        job.Config.Model,
                        ImageShape(train.ClassCount, train.Channels, train.Height, train.Width),
                        Options = job.Config.ModelOptions,
                        ClassNames = train.ClassNames
                    )
                Weights.Save(trainer.Network, RunStore.weightsPath folder, info)
                if not (isNull log) then log.Complete()
                Outcome.Completed
            else
                match trainer.RunEpoch(watcher.Step, stop) with
                | null ->
                    trainer.Save checkpoint
                    Outcome.Stopped
                | result ->
                    let line = record result
                    // the line first: a checkpoint without its line would lose the line, a line without its checkpoint is cut off and redone
                    RunStore.appendEpoch folder line
                    if not (isNull log) then log.Epoch line
                    trainer.Save checkpoint
                    watcher.Epoch line
                    go ()
        try
            go ()
        with e ->
            RunStore.markFailed folder (e.Message.Split('\n')[0])
            reraise ()
