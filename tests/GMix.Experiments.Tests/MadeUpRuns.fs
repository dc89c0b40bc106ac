/// Runs with invented numbers, for tests of the store, tables and report only.
module GMix.Experiments.Tests.MadeUpRuns

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open GMix.Experiments

/// The project's folder: the one with build.fsx above the tests.
let projectRoot =
    let rec above (folder: string) =
        if File.Exists(Path.Combine(folder, "build.fsx")) then folder else above (Path.GetDirectoryName folder)
    above AppContext.BaseDirectory

/// A fresh folder below the tests' own output.
let freshFolder (name: string) =
    let path = Path.Combine(AppContext.BaseDirectory, "tmp", name)
    if Directory.Exists path then Directory.Delete(path, true)
    Directory.CreateDirectory path |> ignore
    path

let private extra (pairs: (string * obj) list) : ExtraFields =
    Dictionary(dict [ for key, value in pairs -> key, JsonSerializer.SerializeToElement value ])

let methodConfig name title mix perturb combine (parameters: (string * obj) list) : MethodConfig =
    { Name = name; Title = title; Mix = mix; Perturb = perturb; Combine = combine; Extra = (if parameters.IsEmpty then null else extra parameters) }

let vanilla = methodConfig "vanilla" "Vanilla" "none" "none" "all" []
let sam = methodConfig "sam" "SAM" "none" "SAM(rho=0.05)" "all" [ "rho", 0.05 ]
let mixup = methodConfig "mixup" "Mixup" "Mixup(alpha=1)" "none" "all" [ "alpha", 1.0 ]
let gmix = methodConfig "gmix" "G-Mix" "Mixup(alpha=1)" "SAM(rho=0.05)" "all" [ "alpha", 1.0; "rho", 0.05 ]
let bgmix = methodConfig "bgmix" "BG-Mix" "Mixup(alpha=1)" "SAM(rho=0.05)" "Binary(gamma=0.8)" [ "alpha", 1.0; "rho", 0.05; "gamma", 0.8 ]
let dgmix gamma =
    methodConfig "dgmix" "DG-Mix" "Mixup(alpha=1)" "SAM(rho=0.05)" $"Decomposed(gamma={gamma}, kappa=1)" [ "alpha", 1.0; "rho", 0.05; "gamma", gamma ]

let six = [ vanilla; sam; mixup; gmix; bgmix; dgmix 0.5 ]

let settings dataset model (method: MethodConfig) epochs seed : RunSettings =
    { Dataset = dataset; Data = None; Limit = 0; Model = model; Method = method; Preset = "fair"; Augment = "standard"; Epochs = epochs; Batch = 64
      Lr = 0.1; Momentum = 0.9; WeightDecay = 1e-4; Nesterov = false; Schedule = "cosine"; Warmup = 0.0; Precision = "float32"; Threads = 2
      Device = "cpu"; Seed = seed; Extra = null }

let data: DataInfo = { Train = 2000; Test = 1000; Classes = 10; Kind = "synthetic"; Extra = null }

let environment: EnvironmentInfo =
    { Commit = "0123456789abcdef0123456789abcdef01234567"; Libtorch = "1.13.1"; Blas = "OpenBLAS"; Cpu = "Example CPU & Co <2 GHz>"; Cores = 2; Os = "Debian 13"
      Gmix = "0.1.0"; Started = "2026-01-02T03:04:05+00:00"; Command = None; Extra = null }

/// Where a method's accuracy ends, the accuracy on mixed batches, and its cost against Vanilla.
let private course (name: string) =
    match name with
    | "vanilla" -> 68.0, 66.0, 1.0
    | "sam" -> 69.4, 65.0, 1.96
    | "mixup" -> 72.0, 60.0, 1.02
    | "gmix" -> 73.1, 59.0, 2.0
    | "bgmix" -> 72.4, 57.5, 1.8
    | _ -> 74.0, 58.0, 2.55

/// The epochs of a run that never was, the same for the same configuration.
let epochsOf (settings: RunSettings) (count: int) : EpochRecord list =
    let random = Random(settings.Seed * 101 + settings.Method.Title.Length)
    let final, vicinal, cost = course settings.Method.Name
    let jitter = random.NextDouble() * 1.2 - 0.6
    [ for e in 1..count do
          let share = 1.0 - exp (-3.2 * float e / float settings.Epochs)
          let acc = 10.0 + (final + jitter - 10.0) * share + (random.NextDouble() - 0.5) * 6.0 * (1.1 - share)
          let mixed = 11.0 + (vicinal - 11.0) * share
          let clean = min 100.0 (12.0 + (38.0 + vicinal) * share)
          let seconds = 1.6 * cost * (0.97 + 0.06 * random.NextDouble())
          { EpochRecord.create e (Math.Round(acc, 2)) (Math.Round(seconds, 3)) with
              Lr = Some(0.1 * 0.5 * (1.0 + cos (Math.PI * float (e - 1) / float settings.Epochs)))
              TrainLoss = Some((100.0 - vicinal) / 60.0 + 1.7 * exp (-3.0 * float e / float settings.Epochs))
              TrainAcc = Some mixed
              VicinalAcc = Some mixed
              TestLoss = Some(2.3 - 1.3 * share)
              Gap = Some(Math.Round(acc, 2) - mixed)
              CleanTrainAcc = Some clean
              CleanGap = Some(Math.Round(acc, 2) - clean)
              ImagesPerSecond = Some(2000.0 / seconds)
              // 2000 images in batches of 64 are 32 steps
              Forwards = Some(32.0 * cost)
              Backwards = Some(32.0 * cost)
              GradNorm = Some(2.0 * (1.2 - share)) } ]

/// Writes a run on `data` with `count` of its epochs; all of them make it complete.
let writeOn data root name (settings: RunSettings) count =
    let file = RunStore.describe name settings data environment
    let folder = RunStore.create root file
    // at once: to flush each line, as the runner does, takes its time
    File.WriteAllLines(RunStore.epochsPath folder, epochsOf settings count |> List.map RunStore.epochToJson)
    if count = settings.Epochs then File.WriteAllText(RunStore.weightsPath folder, "")
    folder

let write root name settings count = writeOn data root name settings count

/// The data of a run on all of an official set.
let official (dataset: string) : DataInfo =
    let info = GMix.Data.Datasets.Get dataset
    { Train = info.TrainCount; Test = info.TestCount; Classes = info.ClassCount; Kind = "official"; Extra = null }

/// `compare` on all of an official set.
let compareOfficial root dataset model methods epochs seeds =
    for method in methods do
        for seed in seeds do
            writeOn (official dataset) root "compare" (settings dataset model method epochs seed) epochs |> ignore
    RunStore.list root

/// A comparison of `methods` over `seeds`, written below `root`; every run there is read back.
let compare root dataset model methods epochs seeds =
    for method in methods do
        for seed in seeds do
            write root "compare" (settings dataset model method epochs seed) epochs |> ignore
    RunStore.list root
