namespace GMix.Experiments

open System.Globalization
open GMix
open GMix.Methods
open GMix.Models
open GMix.Nn

/// An experiment needs the word `dataset` (or `datasets`).
type DatasetIsMissing = class end

/// An experiment needs the word `model` (or `models`, `ownModel`).
type ModelIsMissing = class end

/// An experiment needs the word `methods`.
type MethodsAreMissing = class end

/// The data sets have been said.
type DatasetIsGiven = interface end

/// The models have been said.
type ModelIsGiven = interface end

/// The methods have been said.
type MethodsAreGiven = interface end

/// An experiment on the way; its type says which words are still missing.
[<NoEquality; NoComparison>]
type Draft<'dataset, 'model, 'methods> = internal { Said: Experiment }

/// `experiment "name" { dataset …; model …; methods […]; train {…}; seeds […] }`
type ExperimentBuilder(name: string) =
    let empty = { Name = name; Datasets = []; Data = None; Limit = 0; Size = None; Models = []; Methods = []; Train = Train.defaults; Seeds = [ 0 ] }

    member _.Yield(()) : Draft<DatasetIsMissing, ModelIsMissing, MethodsAreMissing> = { Said = empty }
    member _.Zero() : Draft<DatasetIsMissing, ModelIsMissing, MethodsAreMissing> = { Said = empty }

    /// The data set's name, such as "cifar10".
    [<CustomOperation "dataset">]
    member _.Dataset(draft: Draft<DatasetIsMissing, 'model, 'methods>, name: string) : Draft<DatasetIsGiven, 'model, 'methods> =
        { Said = { draft.Said with Datasets = [ name ] } }

    /// Several data sets.
    [<CustomOperation "datasets">]
    member _.Datasets(draft: Draft<DatasetIsMissing, 'model, 'methods>, names: string list) : Draft<DatasetIsGiven, 'model, 'methods> =
        { Said = { draft.Said with Datasets = names } }

    /// The model's name, such as "wrn-16-4".
    [<CustomOperation "model">]
    member _.Model(draft: Draft<'dataset, ModelIsMissing, 'methods>, name: string) : Draft<'dataset, ModelIsGiven, 'methods> =
        { Said = { draft.Said with Models = [ ModelSpec.Catalog name ] } }

    /// Several models.
    [<CustomOperation "models">]
    member _.Models(draft: Draft<'dataset, ModelIsMissing, 'methods>, names: string list) : Draft<'dataset, ModelIsGiven, 'methods> =
        { Said = { draft.Said with Models = names |> List.map ModelSpec.Catalog } }

    /// A model of your own: a name for it, and a function that makes it for the shape of the data.
    [<CustomOperation "ownModel">]
    member _.OwnModel(draft: Draft<'dataset, ModelIsMissing, 'methods>, name: string, make: ImageShape -> Model) : Draft<'dataset, ModelIsGiven, 'methods> =
        { Said = { draft.Said with Models = [ ModelSpec.Own(name, make) ] } }

    /// The methods to compare.
    [<CustomOperation "methods">]
    member _.Methods(draft: Draft<'dataset, 'model, MethodsAreMissing>, methods: MethodSpec list) : Draft<'dataset, 'model, MethodsAreGiven> =
        { Said = { draft.Said with Methods = methods } }

    /// The folder of the data.
    [<CustomOperation "data">]
    member _.Data(draft: Draft<'dataset, 'model, 'methods>, folder: string option) : Draft<'dataset, 'model, 'methods> =
        { Said = { draft.Said with Data = folder } }

    /// A class-balanced part of the training images; 0 for all.
    [<CustomOperation "limit">]
    member _.Limit(draft: Draft<'dataset, 'model, 'methods>, images: int) : Draft<'dataset, 'model, 'methods> =
        { Said = { draft.Said with Limit = images } }

    /// Image folders: the side in pixels to which every image is cropped and resized.
    [<CustomOperation "imageSize">]
    member _.ImageSize(draft: Draft<'dataset, 'model, 'methods>, pixels: int) : Draft<'dataset, 'model, 'methods> =
        { Said = { draft.Said with Size = Some pixels } }

    /// How to train: `train { Train.defaults with Epochs = Some 30 }`.
    [<CustomOperation "train">]
    member _.Train(draft: Draft<'dataset, 'model, 'methods>, train: Train) : Draft<'dataset, 'model, 'methods> =
        { Said = { draft.Said with Train = train } }

    /// The seeds; one run of each method for each.
    [<CustomOperation "seeds">]
    member _.Seeds(draft: Draft<'dataset, 'model, 'methods>, seeds: int list) : Draft<'dataset, 'model, 'methods> =
        { Said = { draft.Said with Seeds = seeds } }

    // constraints, not the types themselves: so the compiler names the one word that is missing
    member _.Run(draft: Draft<'dataset, 'model, 'methods> when 'dataset :> DatasetIsGiven and 'model :> ModelIsGiven and 'methods :> MethodsAreGiven) : Experiment =
        draft.Said

/// `method "name" { mix (Mixup 1.0); perturb (Sam 0.05 |> fromEpoch 150); combine (Decomposed 0.5) }`; a word that is not said changes nothing.
type MethodBuilder(name: string) =
    let copy (m: Method) title mix perturb combine = Method(m.Name, title, mix, perturb, combine, Loss = m.Loss, LaterStatistics = m.LaterStatistics)

    member _.Yield(()) : Method = Method(name, name, NoMix(), NoPerturb(), All())
    member _.Zero() : Method = Method(name, name, NoMix(), NoPerturb(), All())

    /// Its name in tables; else its name.
    [<CustomOperation "title">]
    member _.Title(m: Method, title: string) = copy m title m.Mix m.Perturb m.Combine

    /// Which vicinal batch is trained on?
    [<CustomOperation "mix">]
    member _.Mix(m: Method, word: Mix) = copy m m.Title word m.Perturb m.Combine

    /// At which weights is the gradient taken?
    [<CustomOperation "perturb">]
    member _.Perturb(m: Method, word: Perturb) = copy m m.Title m.Mix word m.Combine

    /// Whose gradients count?
    [<CustomOperation "combine">]
    member _.Combine(m: Method, word: Combine) = copy m m.Title m.Mix m.Perturb word

    member _.Run(m: Method) : MethodSpec =
        m.Check()
        MethodSpec.Own m

/// The words of the language.
[<AutoOpen>]
module Language =
    /// What is compared: `experiment "name" { dataset "cifar10"; model "wrn-10-1"; methods [ Method.vanilla; Method.gmix ] }`.
    let experiment name = ExperimentBuilder name

    /// A method of your own, out of the three words.
    let method name = MethodBuilder name

    /// The perturbation from an epoch on, counted from 0.
    let fromEpoch (epoch: int) (perturb: #Perturb) : Perturb = perturb.At(When(perturb.When.Every, epoch))

    /// The perturbation at every k-th step only.
    let everySteps (k: int) (perturb: #Perturb) : Perturb = perturb.At(When(k, perturb.When.FromEpoch))

/// Methods of the catalog with settings: `dgmix (gamma = 0.5)`. What is not given stays as the experiment or the method has it.
[<AbstractClass; Sealed; AutoOpen>]
type MethodWords =
    static member private With(spec: MethodSpec, settings: (string * float option) list) =
        (spec, settings)
        ||> List.fold (fun spec (flag, value) ->
            match value with
            | Some v -> Method.set flag (v.ToString("R", CultureInfo.InvariantCulture)) spec
            | None -> spec)

    static member mixup(?alpha: float) = MethodWords.With(Method.mixup, [ "alpha", alpha ])
    static member cutmix(?alpha: float, ?probability: float) = MethodWords.With(Method.cutmix, [ "alpha", alpha; "mix-probability", probability ])
    static member sam(?rho: float) = MethodWords.With(Method.sam, [ "rho", rho ])
    static member asam(?rho: float, ?eta: float) = MethodWords.With(Method.asam, [ "rho", rho; "eta", eta ])
    static member gmix(?alpha: float, ?rho: float) = MethodWords.With(Method.gmix, [ "alpha", alpha; "rho", rho ])
    static member bgmix(?alpha: float, ?rho: float, ?gamma: float) = MethodWords.With(Method.bgmix, [ "alpha", alpha; "rho", rho; "gamma", gamma ])
    static member dgmix(?alpha: float, ?rho: float, ?gamma: float, ?kappa: float) =
        MethodWords.With(Method.dgmix, [ "alpha", alpha; "rho", rho; "gamma", gamma; "kappa", kappa ])
    static member esam(?rho: float, ?gamma: float, ?beta: float) = MethodWords.With(Method.esam, [ "rho", rho; "gamma", gamma; "beta", beta ])
    static member aace(?rho: float) = MethodWords.With(Method.aace, [ "rho", rho ])
    static member gsam(?rho: float, ?alphaG: float) = MethodWords.With(Method.gsam, [ "rho", rho; "alpha-g", alphaG ])
    static member gnp(?rho: float, ?balance: float) = MethodWords.With(Method.gnp, [ "rho", rho; "balance", balance ])
