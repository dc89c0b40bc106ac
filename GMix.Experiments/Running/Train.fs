namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Globalization
open System.Text.Json
open GMix
open GMix.Data
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Training

/// How to train, as a person says it: what is None takes a default that depends on the data set, the preset or the machine.
/// `{ Train.defaults with Epochs = Some 30 }`
type Train =
    { /// Fair: one augmentation for all methods. Paper: crop and flip only for methods that mix.
      Preset: Preset
      /// None: 20 on the synthetic set, else the protocol's (SVHN 50, CIFAR and STL-10 200, Tiny-ImageNet 150).
      Epochs: int option
      Batch: int
      LearningRate: float
      Momentum: float
      WeightDecay: float
      Nesterov: bool
      /// Largest norm of the final gradient; 0 for none.
      ClipNorm: float
      /// None: cosine in the preset fair, step in paper.
      Schedule: ScheduleKind option
      Milestones: float list
      Factor: float
      Warmup: float
      /// None: the preset's. Some "none" or Some "standard".
      Augment: string option
      Cutout: int
      Erasing: float
      Reflect: bool
      DropLast: bool
      /// Streams the images from host memory even where they fit the device.
      Stream: bool
      /// None: bfloat16 arithmetic where the processor has it and the model has convolutions, else float32.
      Precision: Precision option
      /// None: what pays on the processor.
      Winograd: Winograd option
      /// None: the machine's cores.
      Threads: int option
      Device: string
      /// On a GPU: whole steps as CUDA graphs; the bits are the same without.
      Graph: bool
      /// On a GPU: which float32 operations may use TF32.
      Tf32: Tf32
      /// On a GPU: lets cuDNN search its fastest algorithms; two runs may then differ in their last bits.
      CudnnBenchmark: bool
      Methods: MethodOptions
      Models: ModelOptions
      CleanEvery: int
      /// A class-balanced part of the test images, the same for every seed; 0 for all.
      TestLimit: int }

    static member defaults =
        { Preset = Preset.Fair
          Epochs = None
          Batch = 128
          LearningRate = 0.1
          Momentum = 0.9
          WeightDecay = 1e-4
          Nesterov = false
          ClipNorm = 0.0
          Schedule = None
          Milestones = [ 0.5; 0.75 ]
          Factor = 0.1
          Warmup = 0.0
          Augment = None
          Cutout = 0
          Erasing = 0.0
          Reflect = false
          DropLast = false
          Stream = false
          Precision = None
          Winograd = None
          Threads = None
          Device = "cpu"
          Graph = true
          Tf32 = Tf32.Convolutions
          CudnnBenchmark = false
          Methods = MethodOptions()
          Models = ModelOptions()
          CleanEvery = 1
          TestLimit = 0 }

/// What is trained on what: everything of an experiment but the methods and the seeds.
type Setup =
    { Dataset: string
      /// None: GMIX_DATA, else ~/.cache/gmix.
      Data: string option
      /// A class-balanced part of the training images; 0 for all.
      Limit: int
      /// Image folders: crop and resize to this many pixels; None keeps their own size.
      Size: int option
      CoarseLabels: bool
      LegacyNormalization: bool
      Model: string
      Train: Train }

    static member defaults =
        { Dataset = "synthetic"; Data = None; Limit = 0; Size = None; CoarseLabels = false; LegacyNormalization = false; Model = "wrn-10-1"; Train = Train.defaults }

    /// What a first start trains, in minutes on two cores: the smallest WideResNet on half resolution, in many small steps. Methods that mix
    /// need more of them than Vanilla.
    static member quickstart =
        let d = Setup.defaults
        { d with
            Train =
                { d.Train with
                    Epochs = Some 30
                    Batch = 64
                    CleanEvery = 5
                    Models = ModelOptions(StemStride = Nullable 2) } }

/// Turns what a person says into a configuration that says everything.
[<RequireQualifiedAccess>]
module Resolve =
    let private input text = raise (GMixInputException text)

    let private protocolEpochs dataset =
        match dataset with
        | "synthetic" -> 20
        | "svhn" -> 50
        | "tiny-imagenet" -> 150
        | _ -> 200

    let private augmentation (setup: Setup) (method: Method) =
        let train = setup.Train
        let standard =
            match train.Augment with
            | Some "standard" -> true
            | Some "none" -> false
            | Some other -> input $"--augment {other}: use none or standard"
            // methods.md 5.4: the published Vanilla and SAM rows were most likely trained without crop and flip
            | None -> train.Preset = Preset.Fair || method.Mix.MixesLabels
        let basis = if standard then Augmentation.StandardOf(Datasets.Get setup.Dataset) else Augmentation.None
        Augmentation(basis.Pad, basis.Flip, (if train.Reflect then PadMode.Reflect else PadMode.Zero), train.Cutout, train.Erasing)

    let private precision (setup: Setup) =
        match setup.Train.Precision with
        | Some p -> p
        | None ->
            let onGpu = setup.Train.Device.StartsWith("cuda", StringComparison.Ordinal)
            if not (setup.Model.StartsWith("mlp", StringComparison.Ordinal)) && (onGpu || TorchRuntime.CpuHasBFloat16) then Precision.BFloat16 else Precision.Float32

    /// The options of a method within a setup: the preset decides what is not given.
    let methodOptions (setup: Setup) = setup.Train.Methods.ForPreset setup.Train.Preset

    /// The configuration of one run.
    let config (setup: Setup) (method: Method) (seed: int) : TrainConfig =
        let train = setup.Train
        TrainConfig(
            Dataset = setup.Dataset,
            Data = Option.toObj setup.Data,
            Limit = setup.Limit,
            TestLimit = train.TestLimit,
            Size = Option.toNullable setup.Size,
            CoarseLabels = setup.CoarseLabels,
            LegacyNormalization = setup.LegacyNormalization,
            Model = setup.Model,
            ModelOptions = train.Models,
            Method = method.Name,
            MethodOptions = methodOptions setup,
            Augmentation = augmentation setup method,
            Epochs = (train.Epochs |> Option.defaultWith (fun () -> protocolEpochs setup.Dataset)),
            Batch = train.Batch,
            LearningRate = train.LearningRate,
            Sgd = SgdOptions(train.Momentum, train.WeightDecay, train.Nesterov, train.ClipNorm),
            Schedule = (train.Schedule |> Option.defaultWith (fun () -> if train.Preset = Preset.Fair then ScheduleKind.Cosine else ScheduleKind.Step)),
            Milestones = (train.Milestones |> Array.ofList),
            Factor = train.Factor,
            Warmup = train.Warmup,
            DropLast = train.DropLast,
            Stream = train.Stream,
            Precision = precision setup,
            Winograd = Nullable(train.Winograd |> Option.defaultWith (fun () -> TorchRuntime.Winograd)),
            Threads = (train.Threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)),
            Device = train.Device,
            Graph = train.Graph,
            Tf32 = train.Tf32,
            CudnnBenchmark = train.CudnnBenchmark,
            Seed = int64 seed,
            VicinalAlpha = (train.Methods.Alpha |> Option.ofNullable |> Option.filter (fun a -> a > 0.0) |> Option.defaultValue 1.0),
            CleanEvery = train.CleanEvery
        )

    /// Short names for configurations and flags.
    let precisionName precision =
        match precision with
        | Precision.BFloat16 -> "bf16"
        | Precision.Float64 -> "float64"
        | _ -> "float32"

    /// What is part of the configuration but has no field of its own in config.json, where it is not the default: it must be part of the run's id.
    let private beside (config: TrainConfig) (method: Method) =
        let usual = TrainConfig()
        let model, plain = config.ModelOptions, ModelOptions()
        let onGpu = config.Device.StartsWith("cuda", StringComparison.Ordinal)
        let given =
            [ if config.Sgd.ClipNorm <> 0.0 then "clipNorm", JsonSerializer.SerializeToElement config.Sgd.ClipNorm
              if config.Schedule = ScheduleKind.Step && not (Seq.forall2 (=) config.Milestones usual.Milestones && config.Milestones.Count = usual.Milestones.Count) then
                  "milestones", JsonSerializer.SerializeToElement config.Milestones
              if config.Schedule = ScheduleKind.Step && config.Factor <> usual.Factor then "factor", JsonSerializer.SerializeToElement config.Factor
              if config.Size.HasValue then "size", JsonSerializer.SerializeToElement config.Size.Value
              if config.TestLimit <> 0 then "testLimit", JsonSerializer.SerializeToElement config.TestLimit
              if config.CoarseLabels then "coarseLabels", JsonSerializer.SerializeToElement true
              if config.LegacyNormalization then "legacyNormalization", JsonSerializer.SerializeToElement true
              if config.DropLast then "dropLast", JsonSerializer.SerializeToElement true
              if config.VicinalAlpha <> usual.VicinalAlpha then "vicinalAlpha", JsonSerializer.SerializeToElement config.VicinalAlpha
              if not onGpu && config.Winograd.HasValue && config.Winograd.Value <> Winograd.On then "winograd", JsonSerializer.SerializeToElement(string config.Winograd.Value)
              if onGpu && config.Tf32 <> usual.Tf32 then "tf32", JsonSerializer.SerializeToElement(string config.Tf32)
              if onGpu && config.CudnnBenchmark then "cudnnBenchmark", JsonSerializer.SerializeToElement true
              if config.CleanEvery <> usual.CleanEvery then "cleanEvery", JsonSerializer.SerializeToElement config.CleanEvery
              if model.Dropout <> plain.Dropout then "dropout", JsonSerializer.SerializeToElement model.Dropout
              if model.StemStride.HasValue then "stemStride", JsonSerializer.SerializeToElement model.StemStride.Value
              if model.Stem <> plain.Stem then "stem", JsonSerializer.SerializeToElement(string model.Stem)
              if model.Init.HasValue then "init", JsonSerializer.SerializeToElement(string model.Init.Value)
              if model.Scale <> plain.Scale then "scaleInit", JsonSerializer.SerializeToElement(string model.Scale)
              if config.Model = "mlp" && Seq.toList model.Hidden <> Seq.toList plain.Hidden then "hidden", JsonSerializer.SerializeToElement model.Hidden
              if method.Loss <> Loss() then "loss", JsonSerializer.SerializeToElement(string method.Loss)
              if method.LaterStatistics <> LaterStatistics.Freeze then "laterStatistics", JsonSerializer.SerializeToElement(string method.LaterStatistics) ]
        if given.IsEmpty then null else Dictionary<string, JsonElement>(given |> Seq.map KeyValuePair) :> ExtraFields

    /// What config.json says of the configuration, in a reader's words.
    let settings (config: TrainConfig) (preset: Preset) (method: Method) : RunSettings =
        { Dataset = config.Dataset
          Data = Option.ofObj config.Data
          Limit = config.Limit
          Model = config.Model
          Method =
            { Name = method.Name
              Title = method.Title
              Mix = string method.Mix
              Perturb = (if method.Perturb.Active && method.Perturb.When <> When.EveryStep then $"{method.Perturb} {method.Perturb.When}" else string method.Perturb)
              Combine = string method.Combine
              Extra = null }
          Preset = preset.ToString().ToLowerInvariant()
          Augment = string config.Augmentation
          Epochs = config.Epochs
          Batch = config.Batch
          Lr = config.LearningRate
          Momentum = config.Sgd.Momentum
          WeightDecay = config.Sgd.WeightDecay
          Nesterov = config.Sgd.Nesterov
          Schedule = config.Schedule.ToString().ToLowerInvariant()
          Warmup = config.Warmup
          Precision = precisionName config.Precision
          Threads = config.Threads
          Device = config.Device
          Seed = int config.Seed
          Extra = beside config method }
