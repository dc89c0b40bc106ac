namespace GMix.Experiments

open System
open System.CommandLine
open System.CommandLine.Parsing
open System.Globalization
open GMix
open GMix.Data
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Training

/// The flags that verbs share, and how their words become values. A word that does not fit gives one line that names the flag.
[<RequireQualifiedAccess>]
module Flags =
    /// A flag with one value; `parse` gives None for a word that does not fit, `wanted` says what would.
    let private value<'T> (name: string) (placeholder: string) (description: string) (wanted: string) (parse: string -> 'T option) : System.CommandLine.Option<'T option> =
        let option = System.CommandLine.Option<'T option>(name, Description = description, HelpName = placeholder)
        option.CustomParser <-
            fun result ->
                let word = if result.Tokens.Count > 0 then result.Tokens[0].Value else ""
                match parse word with
                | Some v -> Some v
                | None ->
                    result.AddError $"{name} {word}: needs {wanted}"
                    None
        option

    let text name placeholder description = value<string> name placeholder description "a value" Some

    let integer name description =
        value<int> name "N" description "a whole number" (fun w ->
            match Int32.TryParse(w, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
            | true, v -> Some v
            | _ -> None)

    let number name description =
        value<float> name "X" description "a number" (fun w ->
            match Double.TryParse(w, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, v when Double.IsFinite v -> Some v
            | _ -> None)

    let private offering (words: string -> string seq) (option: System.CommandLine.Option<'T>) =
        option.CompletionSources.Add(fun context -> words context.WordToComplete |> Seq.map (fun w -> Completions.CompletionItem w))
        option

    /// Names that a shell offers for a flag.
    let private oneOf (names: string seq) option = offering (fun _ -> names) option

    /// Names that a shell offers for a flag that takes several, separated by commas: those that are not there yet, behind what is typed.
    let private someOf (names: string seq) option =
        offering (fun typed ->
            let before = typed.Substring(0, typed.LastIndexOf ',' + 1)
            names |> Seq.except (before.Split ',') |> Seq.map (fun name -> before + name)) option

    let choice<'T> name (description: string) (choices: (string * 'T) list) =
        let names = choices |> List.map fst |> String.concat " "
        value<'T> name "WORD" $"{description}: {names}" $"one of: {names}" (fun w -> choices |> List.tryFind (fun (n, _) -> n = w) |> Option.map snd)
        |> oneOf (choices |> List.map fst)

    let switch name (description: string) = System.CommandLine.Option<bool>(name, Description = description)

    let private list (word: string) = word.Split([| ','; ' ' |], StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

    let texts name placeholder description = value<string list> name placeholder description "names separated by commas" (list >> function [] -> None | l -> Some l)

    let private tryInt (w: string) =
        match Int32.TryParse(w, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
        | true, v -> Some v
        | _ -> None

    /// 0,1,2 or 0..4.
    let integers name description =
        value<int list> name "N,N" description "whole numbers such as 0,1,2 or 0..4" (fun w ->
            match w.Split ".." with
            | [| a; b |] ->
                match tryInt a, tryInt b with
                | Some a, Some b when a <= b && b - a < 10000 -> Some [ a..b ]
                | _ -> None
            | _ ->
                let parsed = list w |> List.map tryInt
                if parsed.IsEmpty || parsed |> List.exists Option.isNone then None else Some(parsed |> List.choose id))

    let numbers name description =
        value<float list> name "X,X" description "numbers separated by commas" (fun w ->
            let parsed = list w |> List.map (fun x -> match Double.TryParse(x, NumberStyles.Float, CultureInfo.InvariantCulture) with | true, v when Double.IsFinite v -> Some v | _ -> None)
            if parsed.IsEmpty || parsed |> List.exists Option.isNone then None else Some(parsed |> List.choose id))

    let private allMethods = MethodCatalog.Entries |> Seq.map (fun e -> e.Name) |> List.ofSeq
    let private methodNames = String.concat " " allMethods

    // some of the families, to be changed at the numbers
    let private someModels = [ "mlp"; "mlp-64-64"; "mobilenet"; "mobilenet-0.25"; "preact-resnet18"; "resnet18"; "wrn-10-1"; "wrn-10-2"; "wrn-16-2"; "wrn-16-4"; "wrn-28-10" ]

    let out = text "--out" "DIR" "where runs go (default runs)"
    let name = text "--name" "NAME" "the experiment's name, a folder below --out (default: the verb and the time)"
    let dataset = text "--dataset" "NAME" ("data set: " + (Datasets.All |> Seq.map (fun d -> d.Name) |> String.concat " ") + " (default synthetic)") |> oneOf (Datasets.All |> Seq.map (fun d -> d.Name))
    let data = text "--data" "DIR" "folder of the data (default: GMIX_DATA, else ~/.cache/gmix)"
    let limit = integer "--limit" "class-balanced part of the training images; 0 for all (default)"
    let size = integer "--size" "image folders: crop and resize to this many pixels (default: the images' own size)"
    let coarse = switch "--coarse-labels" "CIFAR-100: the 20 coarse classes"
    let legacy = switch "--legacy-normalization" "the widespread but too small deviations, to compare with code that uses them"
    let model = text "--model" "NAME" $"model: {ModelCatalog.Names} (default wrn-10-1)" |> oneOf someModels
    let models = texts "--models" "A,B" "models (default wrn-16-4,resnet18,mobilenet,mlp)" |> someOf someModels
    let method = text "--method" "NAME" $"method: {methodNames}" |> oneOf allMethods
    let methods = texts "--methods" "A,B" $"methods, separated by commas (default: the paper's six): {methodNames}" |> someOf allMethods
    let preset = choice "--preset" "fair: one augmentation for all; paper: crop and flip only where examples are mixed (default fair)" [ "fair", Preset.Fair; "paper", Preset.Paper ]
    let epochs = integer "--epochs" "epochs (default 30 for a first start, 20 on synthetic, else the paper's)"
    let batch = integer "--batch" "examples per step (default 128)"
    let lr = number "--lr" "peak learning rate (default 0.1)"
    let momentum = number "--momentum" "SGD momentum (default 0.9)"
    let weightDecay = number "--weight-decay" "weight decay (default 1e-4)"
    let nesterov = switch "--nesterov" "Nesterov momentum"
    let clip = number "--clip" "largest norm of the final gradient; 0 for none (default)"
    let schedule = choice "--schedule" "how the learning rate falls (default cosine; step in the preset paper)" [ "cosine", ScheduleKind.Cosine; "step", ScheduleKind.Step; "constant", ScheduleKind.Constant ]
    let milestones = numbers "--milestones" "shares of the training at which a step schedule drops (default 0.5,0.75)"
    let factor = number "--factor" "factor of each drop (default 0.1)"
    let warmup = number "--warmup" "epochs of linear warm-up (default 0)"
    let augment = choice "--augment" "crop and flip (default by preset)" [ "none", "none"; "standard", "standard" ]
    let cutout = integer "--cutout" "side of a square cut out of each image (default 0)"
    let erasing = number "--erasing" "probability of random erasing (default 0)"
    let reflect = switch "--reflect" "pad by reflection instead of zeros before the crop"
    let dropLast = switch "--drop-last" "leave a shorter last batch out"
    let stream = switch "--stream" "bring the images from host memory batch by batch, as sets above 2 GiB always are; same results"
    let precision = choice "--precision" "arithmetic (default bf16 where the processor has it, else float32)" [ "float32", Precision.Float32; "bf16", Precision.BFloat16; "float64", Precision.Float64 ]
    let winograd = choice "--winograd" "on the processor: 3x3 convolutions by Winograd's algorithm in float32 and bf16 (on), in float32, or nowhere (default: what pays)" [ "on", Winograd.On; "float32", Winograd.Float32; "off", Winograd.Off ]
    let threads = integer "--threads" "threads (default: the machine's cores)"
    let device = text "--device" "NAME" "cpu, cuda or cuda:INDEX (default cpu)" |> oneOf [ "cpu"; "cuda" ]
    let noGraph = switch "--no-graph" "on a GPU: give it the steps operator by operator instead of as CUDA graphs; same results"
    let tf32 = choice "--tf32" "on a GPU, float32: round inputs to TF32 in nothing, in convolutions (default, as PyTorch does), or in matrix products too" [ "off", Tf32.Off; "conv", Tf32.Convolutions; "on", Tf32.On ]
    let cudnnBenchmark = switch "--cudnn-benchmark" "on a GPU: take cuDNN's fastest algorithms; two runs may then differ in their last bits"
    let testLimit = integer "--test-limit" "class-balanced part of the test images, the same for every seed; 0 for all (default)"
    let cleanEvery = integer "--clean-every" "measure clean training accuracy every so many epochs (default 1)"
    let dropout = number "--dropout" "dropout within WideResNet's blocks (default 0)"
    let stemStride = integer "--stem-stride" "stride of the first convolution (default 1; 2 for images of 96 pixels)"
    let stem = choice "--stem" "how ResNet-18 begins (default cifar)" [ "cifar", Stem.Cifar; "imagenet", Stem.ImageNet ]
    let init = choice "--init" "how convolutions start (default: as the model's published code)" [ "fan-in", WeightInit.FanIn; "fan-out", WeightInit.FanOut; "pytorch", WeightInit.PyTorch ]
    let hidden = integers "--hidden" "widths of the model mlp's hidden layers (default 64,64)"
    let profile =
        let option = text "--profile" "DIR" "record one step's operators: a table, profile.txt, profile.csv and profile.json for chrome://tracing (default DIR: the experiment's folder, or the current one)"
        option.Arity <- ArgumentArity.ZeroOrOne
        option
    let seed = integer "--seed" "seed of initial weights and all draws (default 0)"
    let seeds = integers "--seeds" "seeds, such as 0,1,2 or 0..4 (default 0)"
    let workers = integer "--workers" "runs side by side, each in a process of its own, with the cores divided between them (default 1)"
    let tensorBoard = switch "--tensorboard" "also write TensorBoard event files, into the runs' folders"

    /// The value of a flag, None where it was not given.
    let get (result: ParseResult) (option: System.CommandLine.Option<'T option>) : 'T option =
        if isNull (result.GetResult option) then None else result.GetValue option

    /// Where `--profile` writes: None where it was not given, `fallback` where it was given without a folder.
    let profileFolder (result: ParseResult) (fallback: string) : string option =
        let given = result.GetResult profile
        if isNull given then None
        elif given.Tokens.Count = 0 then Some fallback
        else get result profile

    /// One flag per hyper-parameter of the catalog.
    let private hyperParameters: (HyperParameter * System.CommandLine.Option) list =
        HyperParameters.All
        |> Seq.map (fun h ->
            let flag = "--" + h.Flag
            let described = $"{h.Meaning} (default {h.DefaultText})"
            let option: System.CommandLine.Option =
                if h.IsSwitch then switch flag h.Meaning
                else
                    value<string> flag "VALUE" described $"to be {h.Range}" (fun word ->
                        try
                            h.Read(MethodOptions(), word) |> ignore
                            Some word
                        with :? GMixInputException -> None)
            h, option)
        |> List.ofSeq

    /// The flags of the methods' hyper-parameters.
    let methodParameters = hyperParameters |> List.map snd

    /// The hyper-parameters that were given.
    let private methodOptions (result: ParseResult) =
        (MethodOptions(), hyperParameters)
        ||> List.fold (fun options (h, option) ->
            match option with
            | :? System.CommandLine.Option<bool> as flag -> if result.GetValue flag then h.Read(options, "true") else options
            | :? System.CommandLine.Option<string option> as flag -> get result flag |> Option.map (fun word -> h.Read(options, word)) |> Option.defaultValue options
            | _ -> options)

    /// The flags of verbs that train, in the order help shows them.
    let training: System.CommandLine.Option list =
        [ dataset; data; limit; testLimit; size; coarse; legacy; model; preset; epochs; batch; lr; momentum; weightDecay; nesterov; clip; schedule; milestones; factor; warmup
          augment; cutout; erasing; reflect; dropLast; stream; precision; winograd; threads; device; noGraph; tf32; cudnnBenchmark; cleanEvery; dropout; stemStride; stem; init; hidden; out; name ]
        @ methodParameters

    /// What the training flags say. Where neither data set nor model is named, what they leave open is that of a first start.
    let setup (result: ParseResult) : Setup =
        let given option = get result option
        let orElse fallback option = given option |> Option.defaultValue fallback
        let s = if (given dataset).IsNone && (given model).IsNone then Setup.quickstart else Setup.defaults
        let d = s.Train
        let train =
            { d with
                Preset = orElse d.Preset preset
                Epochs = given epochs |> Option.orElse d.Epochs
                Batch = orElse d.Batch batch
                LearningRate = orElse d.LearningRate lr
                Momentum = orElse d.Momentum momentum
                WeightDecay = orElse d.WeightDecay weightDecay
                Nesterov = result.GetValue nesterov
                ClipNorm = orElse d.ClipNorm clip
                Schedule = given schedule
                Milestones = orElse d.Milestones milestones
                Factor = orElse d.Factor factor
                Warmup = orElse d.Warmup warmup
                Augment = given augment
                Cutout = orElse d.Cutout cutout
                Erasing = orElse d.Erasing erasing
                Reflect = result.GetValue reflect
                DropLast = result.GetValue dropLast
                Stream = result.GetValue stream
                Precision = given precision
                Winograd = given winograd
                Threads = given threads
                Device = orElse d.Device device
                Graph = not (result.GetValue noGraph)
                Tf32 = orElse d.Tf32 tf32
                CudnnBenchmark = result.GetValue cudnnBenchmark
                Methods = methodOptions result
                Models =
                    ModelOptions(
                        Dropout = orElse 0.0 dropout,
                        StemStride = (given stemStride |> Option.map Nullable |> Option.defaultValue d.Models.StemStride),
                        Stem = orElse Stem.Cifar stem,
                        Init = Option.toNullable (given init),
                        Hidden = (orElse [ 64; 64 ] hidden |> Array.ofList)
                    )
                CleanEvery = orElse d.CleanEvery cleanEvery
                TestLimit = orElse d.TestLimit testLimit }
        { s with Dataset = orElse s.Dataset dataset; Data = given data; Limit = orElse s.Limit limit; Size = given size; CoarseLabels = result.GetValue coarse; LegacyNormalization = result.GetValue legacy; Model = orElse s.Model model; Train = train }
