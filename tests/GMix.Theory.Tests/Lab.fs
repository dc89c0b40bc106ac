/// Random networks, batches, weights and hyper-parameters, and what GMix.Core computes on them, as plain arrays.
module GMix.Theory.Tests.Lab

open System
open FsCheck.FSharp
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Theory.Tests.Vectors

/// One generated experiment. Numbers come from the seed, so that a case prints in one screen and shrinks by its sizes.
type Case =
    { Seed: int
      Examples: int
      Inputs: int
      Hidden: int list
      Classes: int
      Activation: Mlp.Activation
      WeightScale: float
      Lambda: float
      Rho: float
      Gamma: float }

/// A case of random numbers from a seed; sizes are small: a statement that breaks, breaks on small nets.
let private makeCase hidden = gen {
    let! seed = Gen.choose (0, 1 <<< 28)
    let! examples = Gen.choose (2, 9)
    let! inputs = Gen.choose (1, 5)
    let! hidden = hidden
    let! classes = Gen.choose (2, 4)
    let! activation = Gen.elements [ Mlp.Activation.Tanh; Mlp.Activation.Softplus; Mlp.Activation.Gelu ]
    let! weightScale = Gen.elements [ 0.3; 1.0; 2.0 ]
    let uniform = Gen.choose (1, 999) |> Gen.map (fun k -> float k / 1000.0)
    let! lambda = Gen.frequency [ 1, Gen.elements [ 0.0; 0.5; 1.0 ]; 6, uniform ]
    let! rho = Gen.choose (-3000, 0) |> Gen.map (fun e -> 10.0 ** (float e / 1000.0))
    let! gamma = Gen.choose (1, 20) |> Gen.map (fun k -> float k / 20.0)
    return
        { Seed = seed; Examples = examples; Inputs = inputs; Hidden = hidden; Classes = classes; Activation = activation
          WeightScale = weightScale; Lambda = lambda; Rho = rho; Gamma = gamma }
}

/// Smaller sizes change all numbers, so each is tried with a few seeds.
let private shrinkCase (c: Case) = seq {
    let seeds smaller = seq {
        yield smaller
        for seed in 0 .. 4 do
            if seed <> c.Seed then yield { smaller with Seed = seed }
    }
    if c.Examples > 2 then
        yield! seeds { c with Examples = 2 }
        yield! seeds { c with Examples = c.Examples - 1 }
    match c.Hidden with
    | _ :: rest when rest <> [] -> yield! seeds { c with Hidden = rest }
    | [ width ] when width > 1 -> yield! seeds { c with Hidden = [ width - 1 ] }
    | _ -> ()
    if c.Inputs > 1 then yield! seeds { c with Inputs = c.Inputs - 1 }
    if c.Classes > 2 then yield! seeds { c with Classes = c.Classes - 1 }
    if c.Seed > 4 then yield! seeds { c with Seed = c.Seed / 2 }
    if c.Activation <> Mlp.Activation.Tanh then yield { c with Activation = Mlp.Activation.Tanh }
    for lambda in [ 1.0; 0.5 ] do
        if c.Lambda <> lambda && c.Lambda < 0.999 then yield { c with Lambda = lambda }
    if c.Rho <> 1.0 && c.Rho <> 0.1 then
        yield { c with Rho = 1.0 }
        yield { c with Rho = 0.1 }
    if c.Gamma <> 0.5 then yield { c with Gamma = 0.5 }
}

/// Nets with one or two smooth hidden layers.
let smoothNets = Arb.fromGenShrink (makeCase (Gen.frequency [ 3, Gen.choose (1, 5) |> Gen.map List.singleton; 1, Gen.constant [ 3; 2 ] ]), shrinkCase)

/// Softmax regressions: their constants are known.
let regressions = Arb.fromGenShrink (makeCase (Gen.constant []), shrinkCase)

/// What one step of a method found.
type Step =
    { Direction: float[]
      LossesAtW: float[]
      LossesAtPerturbed: float[]
      Selected: int[]
      GradientNorm: float
      EpsilonNorm: float
      Projection: float }

module private Found =
    /// The tensors of a step as arrays; what the step does not have is empty.
    let Of (r: StepResult) =
        let maybe (t: Tensor) = if isNull t then [||] else t.ToDoubles()
        { Direction = r.Direction.ToDoubles()
          LossesAtW = r.LossesAtW.ToDoubles()
          LossesAtPerturbed = maybe r.LossesAtPerturbed
          Selected = (if isNull r.Selected then [||] else r.Selected.ToArray<int64>() |> Array.map int)
          GradientNorm = r.GradientNorm.Item()
          EpsilonNorm = (if isNull r.EpsilonNorm then 0.0 else r.EpsilonNorm.Item())
          Projection = (match r.Found.TryGetValue "projection" with | true, c -> c.Item() | _ -> nan) }

/// A method of the catalog by name with hyper-parameters.
let methodOf name (rho: float) (gamma: float) (subset: SubsetForward) (score: SelectionScore) (alpha: float) (kappa: float) =
    MethodCatalog.Get(name, MethodOptions(Rho = rho, Gamma = gamma, Subset = subset, Score = score, Alpha = alpha, Kappa = kappa))

/// A network of GMix.Core in float64 with data. Weights, images and labels may be replaced.
type Bench(model: Model, examples: float[][], labels: int[], lambda: float, permutation: int64[]) =
    do TorchRuntime.Threads <- 1
    let network = new Network(model, Precision.Float64)
    let images (rows: float[][]) = Tensor.From(Array.concat rows, [| int64 rows.Length; int64 rows[0].Length |])
    let batch () = Batch(images examples, Tensor.From(Array.map int64 labels, [| int64 labels.Length |]))
    let draw = Draw(Lambda = lambda, Permutation = permutation)
    let loss = Loss()
    let noScorer = Unchecked.defaultof<IScorer>
    let vicinal () = Mixup(1.0).Apply(batch (), draw, noScorer)
    let losses (v: VicinalBatch) = loss.PerExample(network.Logits(v.Inputs, ForwardPass.Eval), v.Targets)
    let at (w: float[]) (work: unit -> 'r) =
        use _scope = new TensorScope()
        use _away = network.Parameters.At(Tensor.From(w, [| int64 w.Length |]))
        work ()

    member _.Network = network
    /// Work with the network at w, in a scope of its own.
    member _.At (w: float[]) (work: unit -> 'r) = at w work
    member _.Batch() = batch ()
    member _.Examples = examples
    member _.Labels = labels
    member _.Lambda = lambda
    member _.Permutation = permutation
    member _.Count = examples.Length
    member _.Length = int network.Parameters.Length
    /// x̃ (n rows) as GMix.Core mixes them.
    member _.MixedImages =
        use _scope = new TensorScope()
        (vicinal ()).Inputs.ToDoubles() |> Array.chunkBySize examples[0].Length
    /// ỹ (n rows of class weights) as GMix.Core mixes them.
    member _.MixedLabels =
        use _scope = new TensorScope()
        let t = (vicinal ()).Targets
        let lambdas = t.Lambda.ToDoubles()
        Array.map3 (fun a b l -> add (scale l (oneHot model.Classes (int a))) (scale (1.0 - l) (oneHot model.Classes (int b)))) (t.A.ToArray<int64>()) (t.B.ToArray<int64>()) lambdas
    /// l_i(w) on the vicinal batch.
    member _.Losses(w: float[]) = at w (fun () -> use _off = Autograd.NoGrad() in (losses (vicinal ())).ToDoubles())
    /// L_V(w).
    member bench.Loss(w: float[]) = Array.average (bench.Losses w)
    /// l_i(w) on the batch itself.
    member _.CleanLosses(w: float[]) =
        at w (fun () ->
            use _off = Autograd.NoGrad()
            let b = batch ()
            (losses (VicinalBatch(b.Images, Targets(b.Labels)))).ToDoubles())
    /// ∇ L_V(w).
    member _.Gradient(w: float[]) = at w (fun () -> (network.Parameters.Gradient((losses (vicinal ())).Mean())).ToDoubles())
    /// ∇ of the mean of l_i(w) over some rows of the vicinal batch.
    member _.GradientOver (rows: int[]) (w: float[]) =
        at w (fun () -> (network.Parameters.Gradient((losses (vicinal ())).Rows(Tensor.From(Array.map int64 rows, [| int64 rows.Length |])).Mean())).ToDoubles())
    /// ∇ l_i(w) for every vicinal example.
    member bench.ExampleGradients(w: float[]) = Array.init bench.Count (fun i -> bench.GradientOver [| i |] w)
    /// ∇² L_V(w) v by two backward passes.
    member _.HessianTimes (v: float[]) (w: float[]) =
        at w (fun () ->
            let parts = network.Parameters.Parts
            let values = [| for p in parts -> p.Parameter.Value |]
            let gradients = Autograd.Gradients((losses (vicinal ())).Mean(), values, createGraph = true)
            let along =
                Array.mapi (fun i (g: Tensor) -> (g * Tensor.From(Array.sub v (int parts[i].Offset) (int g.Count), g.Shape)).Sum()) gradients
                |> Array.reduce (fun a b -> a + b)
            Autograd.Gradients(along, values) |> Array.collect (fun t -> t.ToDoubles()))
    /// Several steps of a method at w, one after another: nothing is updated in between.
    member _.Steps (count: int) (method: Method) (w: float[]) =
        at w (fun () ->
            use step = new MethodStep(network, method, loss)
            [ for t in 0 .. count - 1 ->
                use _inner = new TensorScope()
                Found.Of(step.Run(batch (), StepContext(0, int64 t, 0.1, 0.1, draw))) ])
    /// One step of a method at w.
    member bench.Step (method: Method) (w: float[]) = (bench.Steps 1 method w).Head
    /// The weights of the network as they lie in memory.
    member _.WeightsNow = network.Parameters.Value.ToDoubles()
    interface IDisposable with
        member _.Dispose() = network.Dispose()

/// A model whose loss is any positive function of the weights, for statements about quadratics: the logits (0, ln(e^q − 1)) have the
/// cross-entropy q(w) for class 0.
type Scalar(size: int, q: Tensor -> Tensor) as this =
    inherit Model()
    let w = this.AddParameter("w", [| int64 size |], Initializers.Constant 0.0)
    override _.Classes = 2
    override _.Forward(x, _) =
        let value = q w.Value
        Tensor.Stack([| value * 0.0; (value.Exp() - 1.0).Log() |]).Unsqueeze(0).Expand(x.Size 0, 2L)

/// A bench on one example whose loss is q(w).
let scalarBench size q = new Bench(new Scalar(size, q), [| [| 0.0 |] |], [| 0 |], 1.0, [| 0L |])

/// ½ w'Hw + floor as a tensor function.
let bowl (h: float[][]) (floor: float) (w: Tensor) =
    let matrix = Tensor.From(Array.concat h, [| int64 h.Length; int64 h.Length |])
    0.5 * (w * matrix.MatMul w).Sum() + floor

/// The weights of a case.
let weightsOf (c: Case) count = normals (Random(c.Seed)) count |> scale c.WeightScale

/// The network and data of a case, with the weights it starts from.
let benchOf (c: Case) =
    let random = Random(c.Seed + 1)
    let examples = Array.init c.Examples (fun _ -> normals random c.Inputs)
    let labels = Array.init c.Examples (fun _ -> random.Next c.Classes)
    let bench = new Bench(new Mlp(c.Inputs, Array.ofList c.Hidden, c.Classes, c.Activation), examples, labels, c.Lambda, shuffled random c.Examples)
    bench, weightsOf c bench.Length

/// Mean of the values at those indices.
let meanAt (indices: int[]) (values: float[]) = indices |> Array.averageBy (fun i -> values[i])
/// The indices below n that are not among these.
let rest n (indices: int[]) = Array.init n id |> Array.except indices
