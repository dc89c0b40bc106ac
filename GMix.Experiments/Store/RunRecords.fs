namespace GMix.Experiments

open System.Collections.Generic
open System.Text.Json
open System.Text.Json.Serialization

/// Fields of a JSON object that this version does not know; kept, so that reading and writing a file loses nothing.
type ExtraFields = IDictionary<string, JsonElement>

/// The method of a run: its name on the command line, its title in tables, and its three words with their parameters.
[<CLIMutable>]
type MethodConfig =
    { Name: string
      Title: string
      Mix: string
      Perturb: string
      Combine: string
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// The resolved configuration of one run: everything that decides its numbers.
[<CLIMutable>]
type RunSettings =
    { Dataset: string
      /// The folder the data came from; None for embedded data. Not part of the run's id.
      Data: string option
      /// Training images used; 0 means all.
      Limit: int
      Model: string
      Method: MethodConfig
      /// "fair" or "paper".
      Preset: string
      /// "none" or "standard".
      Augment: string
      [<JsonRequired>]
      Epochs: int
      Batch: int
      Lr: float
      Momentum: float
      WeightDecay: float
      Nesterov: bool
      Schedule: string
      /// Epochs of linear warm-up.
      Warmup: float
      Precision: string
      Threads: int
      Device: string
      [<JsonRequired>]
      Seed: int
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// The data a run saw, after any limit.
[<CLIMutable>]
type DataInfo =
    { [<JsonRequired>]
      Train: int
      [<JsonRequired>]
      Test: int
      Classes: int
      /// "official", "subset" or "synthetic".
      Kind: string
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// Where and with what a run was made.
[<CLIMutable>]
type EnvironmentInfo =
    { Commit: string
      Libtorch: string
      Blas: string
      Cpu: string
      Cores: int
      Os: string
      Gmix: string
      /// Start of the run, ISO 8601 with offset.
      Started: string
      /// The command line that made the run, where known.
      Command: string option
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// The content of config.json.
[<CLIMutable>]
type RunFile =
    { Format: string
      Id: string
      /// The experiment's name: the folder above the run's own.
      Name: string
      Config: RunSettings
      Data: DataInfo
      Environment: EnvironmentInfo
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// One line of epochs.jsonl. Accuracies and gaps are in percent; a measure that was not taken is None.
[<CLIMutable>]
type EpochRecord =
    { /// 1-based.
      [<JsonRequired>]
      Epoch: int
      Lr: float option
      TrainLoss: float option
      /// Running accuracy on what was trained on.
      TrainAcc: float option
      /// Accuracy on the vicinal (mixed) training batches of this epoch.
      VicinalAcc: float option
      TestLoss: float option
      [<JsonRequired>]
      TestAcc: float
      /// TestAcc - VicinalAcc; higher is better.
      Gap: float option
      CleanTrainAcc: float option
      /// TestAcc - CleanTrainAcc.
      CleanGap: float option
      /// Seconds of training in this epoch, without evaluation.
      [<JsonRequired>]
      Seconds: float
      ImagesPerSecond: float option
      /// Full-batch equivalents in this epoch.
      Forwards: float option
      Backwards: float option
      /// Share of mixed examples predicted as neither of their two classes, in percent.
      IntrusionMiss: float option
      SensitivityMean: float option
      SensitivityMedian: float option
      SensitivityP10: float option
      SensitivityP90: float option
      OrderingRate: float option
      Projection: float option
      GPerpRatio: float option
      GradNorm: float option
      [<JsonExtensionData>]
      Extra: ExtraFields }

/// How far a run has come.
[<RequireQualifiedAccess>]
type RunState =
    /// Every epoch is recorded and the trained weights are there.
    | Complete
    /// Begun; this many epochs are recorded.
    | Partial of epochs: int
    /// Stopped by an error, which the text states.
    | Failed of reason: string

/// A run as it lies on disk.
type Run =
    { Folder: string
      File: RunFile
      Epochs: EpochRecord list
      State: RunState
      /// What was odd but not fatal when the run was read, one line each.
      Warnings: string list }

    member run.Config = run.File.Config
    member run.Id = run.File.Id

/// An epoch line with nothing but its number, test accuracy and training seconds, to be filled with `{ … with … }`.
[<RequireQualifiedAccess>]
module EpochRecord =
    let create epoch testAcc seconds =
        { Epoch = epoch; Lr = None; TrainLoss = None; TrainAcc = None; VicinalAcc = None; TestLoss = None; TestAcc = testAcc
          Gap = None; CleanTrainAcc = None; CleanGap = None; Seconds = seconds; ImagesPerSecond = None; Forwards = None
          Backwards = None; IntrusionMiss = None; SensitivityMean = None; SensitivityMedian = None; SensitivityP10 = None
          SensitivityP90 = None; OrderingRate = None; Projection = None; GPerpRatio = None; GradNorm = None
          Extra = null }
