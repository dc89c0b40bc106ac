namespace GMix.Experiments

open System
open System.Globalization
open GMix
open GMix.Methods
open GMix.Models
open GMix.Nn

/// A method of an experiment.
[<RequireQualifiedAccess; CustomEquality; NoComparison>]
type MethodSpec =
    /// One of the catalog, with settings of its own over the experiment's: pairs of a flag without dashes and its value.
    | Catalog of name: string * settings: (string * string) list
    /// Three words put together in a script.
    | Own of Method

    override this.Equals other =
        match this, other with
        | Catalog(a, x), (:? MethodSpec as spec) -> (match spec with Catalog(b, y) -> a = b && x = y | Own _ -> false)
        | Own a, (:? MethodSpec as spec) -> (match spec with Own b -> a.Equals b | Catalog _ -> false)
        | _ -> false

    override this.GetHashCode() =
        match this with
        | Catalog(name, settings) -> hash (name, settings)
        | Own method -> method.GetHashCode()

/// A model of an experiment.
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type ModelSpec =
    /// One of the catalog, such as "wrn-16-4".
    | Catalog of name: string
    /// Made by a script for the shape of the data. The name stands for it in the run's id: give changed code another name.
    | Own of name: string * make: (ImageShape -> Model)

    member this.Name = match this with Catalog name | Own(name, _) -> name

/// What an `experiment "name" { … }` says: every method with every seed on every data set and model.
[<NoEquality; NoComparison>]
type Experiment =
    { /// The folder of its runs below the root. Experiments of one name share runs that are equal.
      Name: string
      Datasets: string list
      /// None: GMIX_DATA, else ~/.cache/gmix.
      Data: string option
      /// A class-balanced part of the training images; 0 for all.
      Limit: int
      /// Image folders: crop and resize to this many pixels; None keeps their own size.
      Size: int option
      Models: ModelSpec list
      Methods: MethodSpec list
      Train: Train
      Seeds: int list }

/// The methods of the catalog as values, and what can be said of a method besides its settings.
[<RequireQualifiedAccess>]
module Method =
    /// The catalog's method of that name, with the experiment's settings.
    let ofName (name: string) : MethodSpec =
        MethodCatalog.Entry name |> ignore
        MethodSpec.Catalog(name, [])

    let private known name = MethodSpec.Catalog(name, [])
    let vanilla = known "vanilla"
    let mixup = known "mixup"
    let sam = known "sam"
    let gmix = known "gmix"
    let bgmix = known "bgmix"
    let dgmix = known "dgmix"
    let maxup = known "maxup"
    let cutmix = known "cutmix"
    let manifold = known "manifold"
    let asam = known "asam"
    let aace = known "aace"
    let gsam = known "gsam"
    let esam = known "esam"
    let gnp = known "gnp"
    let looksam = known "looksam"
    let amp = known "amp"

    /// The six rows of the paper's tables, from top to bottom.
    let paper = [ vanilla; sam; mixup; gmix; bgmix; dgmix ]

    /// A catalog method with one more setting: its flag without dashes and its value. Refuses what the method does not have or allow.
    let set (flag: string) (value: string) (spec: MethodSpec) : MethodSpec =
        match spec with
        | MethodSpec.Own method -> raise (GMixInputException $"method {method.Name}: made of words of its own; put {flag} into its words")
        | MethodSpec.Catalog(name, settings) ->
            let entry = MethodCatalog.Entry name
            match Seq.append entry.Parameters MethodCatalog.Common |> Seq.tryFind (fun p -> p.Flag = flag) with
            | None ->
                let names = entry.Parameters |> Seq.map (fun p -> p.Flag) |> String.concat " "
                raise (GMixInputException $"""method {name} has no setting {flag}; it has: {(if names = "" then "none" else names)}""")
            | Some parameter ->
                parameter.Read(MethodOptions(), value) |> ignore
                MethodSpec.Catalog(name, (settings |> List.filter (fun (f, _) -> f <> flag)) @ [ flag, value ])

    /// Perturbs from an epoch on, counted from 0; before it the steps are plain.
    let fromEpoch (epoch: int) spec = set "from-epoch" (string epoch) spec

    /// Perturbs every k-th step only.
    let every (k: int) spec = set "every" (string k) spec

    /// The three words with an experiment's settings.
    let resolve (train: Train) (spec: MethodSpec) : Train * Method =
        match spec with
        | MethodSpec.Own method ->
            if MethodCatalog.Entries |> Seq.exists (fun e -> e.Name = method.Name) then
                raise (GMixInputException $"method {method.Name}: the catalog has a method of this name; give yours another")
            train, method
        | MethodSpec.Catalog(name, settings) ->
            let options =
                (train.Methods, settings)
                ||> List.fold (fun options (flag, value) -> (HyperParameters.All |> Seq.find (fun p -> p.Flag = flag)).Read(options, value))
            { train with Methods = options }, MethodCatalog.Get(name, options.ForPreset train.Preset)

[<RequireQualifiedAccess>]
module Experiment =
    let private checkOwnModel name =
        let known =
            try
                ModelCatalog.Create(name, ImageShape(10, 3, 32, 32)) |> ignore
                true
            with :? GMixInputException -> false
        if known then raise (GMixInputException $"model {name}: the catalog has a model of this name; give yours another")

    let private small (model: string) = model.StartsWith("mlp", StringComparison.Ordinal) || List.contains model [ "wrn-10-1"; "wrn-16-1"; "mobilenet-0.25" ]

    /// Whether runs of the models side by side, one thread each, get more done than one after the other with all threads: 1.2 times as much and more
    /// for these, 1.04 for wrn-16-4 (gmix bench scaling workers; docs/performance.md).
    let isSmall (experiment: Experiment) = experiment.Models |> List.forall (fun m -> small m.Name)

    /// Threads for a run when `workers` runs share the cores.
    let threads (workers: int) (model: string) = if small model then 1 else max 1 (Environment.ProcessorCount / max 1 workers)

    /// The runs: seeds outermost, so that every method has its first seed before any has its second. `workers` runs are trained side by side, which
    /// divides the cores. Threads are part of a run's configuration, and so of its id: sums over other numbers of threads may round differently.
    let jobs (workers: int) (experiment: Experiment) : Job list =
        let checkSome what (items: 'a list) =
            if items.IsEmpty then raise (GMixInputException $"experiment {experiment.Name}: its list of {what} is empty")
        checkSome "data sets" experiment.Datasets
        checkSome "models" experiment.Models
        checkSome "methods" experiment.Methods
        checkSome "seeds" experiment.Seeds
        [ for dataset in experiment.Datasets do
              for model in experiment.Models do
                  for seed in experiment.Seeds do
                      for spec in experiment.Methods do
                          let train, method = Method.resolve { experiment.Train with Threads = experiment.Train.Threads |> Option.orElse (Some(threads workers model.Name)) } spec
                          let setup =
                              { Setup.defaults with
                                  Dataset = dataset
                                  Data = experiment.Data
                                  Limit = experiment.Limit
                                  Size = experiment.Size
                                  Model = model.Name
                                  Train = train }
                          { Config = Resolve.config setup method seed
                            Preset = train.Preset
                            Method = method
                            OwnModel =
                              match model with
                              | ModelSpec.Catalog _ -> None
                              | ModelSpec.Own(name, make) ->
                                  checkOwnModel name
                                  Some make } ]

    /// Whether a run needs the script that described it: its method or model is not in the catalog.
    let needsScript (job: Job) =
        job.OwnModel.IsSome || not (MethodCatalog.Entries |> Seq.exists (fun e -> e.Name = job.Method.Name))
