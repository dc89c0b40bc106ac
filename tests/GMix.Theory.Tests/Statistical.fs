/// What the theory leaves open, measured along real training with intervals: how often the ordering of Theorem 2 and its premise (eq. 14)
/// hold, and how sensitivity ranks against loss and gradient norm. Nothing here is asserted but that the figures are well formed.
module GMix.Theory.Tests.Statistical

open System
open System.IO
open System.Text.Json
open GMix.Data
open GMix.Draws
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Training
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

/// An estimate with its 95 % interval.
type Estimate = { N: int; Value: float; Low: float; High: float }

/// Wilson's interval of a proportion.
let wilson (hits: int) (n: int) =
    let z, n', p = 1.959963984540054, float n, float hits / float n
    let centre = (p + z * z / (2.0 * n')) / (1.0 + z * z / n')
    let half = z / (1.0 + z * z / n') * sqrt (p * (1.0 - p) / n' + z * z / (4.0 * n' * n'))
    // at 0 and 1 the ends are exact; rounding must not put the estimate outside
    { N = n; Value = p; Low = min p (max 0.0 (centre - half)); High = max p (min 1.0 (centre + half)) }

/// The mean with the percentile interval of 2,000 bootstrap samples. With few values it is too narrow.
let bootstrap (values: float[]) =
    let random = Random 95
    let means = Array.init 2000 (fun _ -> Seq.init values.Length (fun _ -> values[random.Next values.Length]) |> Seq.average) |> Array.sort
    { N = values.Length; Value = Array.average values; Low = means[49]; High = means[1949] }

/// One condition's figures.
type Figures =
    { DataSet: string
      Model: string
      Method: string
      Phase: string
      Examples: int
      Epochs: int
      Rho: float
      Gamma: float
      Batch: int
      /// L_{B₊}(w+ε) ≥ L_B(w+ε): Theorem 2, T2d.
      OrderingHolds: Estimate
      /// L_{B₊}(w) ≥ L_{B₋}(w): eq. 14.
      PremiseHolds: Estimate
      /// Mean over batches of Spearman's correlation of s_i with l_i(w).
      SensitivityWithLoss: Estimate
      /// The same with |∇l_i(w)|.
      SensitivityWithGradient: Estimate }

/// What one batch shows.
type private Observed = { Ordering: bool; Premise: bool; WithLoss: float; WithGradient: float option }

let private images (set: ImageSet) (normalization: Normalization) =
    let plane = set.Height * set.Width
    Array.init set.Count (fun i ->
        let pixels = set.Image(i).ToArray()
        Array.init set.ImageBytes (fun j ->
            let channel = j / plane
            float32 ((float pixels[j] / 255.0 - normalization.Mean[channel]) / normalization.Std[channel])))

/// Trains and looks at every step; gradient norms of all examples every `every` steps, since they cost a backward pass each.
let private observe modelName methodName rho gamma (examples: int) epochs every =
    let batchSize = 64
    let splits = Datasets.Open("synthetic", null)
    let set = splits.Train.Limit(examples, 1UL)
    let data = images set splits.Normalization
    let shape = ImageShape(set.ClassCount, set.Channels, set.Height, set.Width)
    TorchRuntime.Threads <- 1
    use network = new Network(ModelCatalog.Create(modelName, shape), Precision.Float32, seed = 1L)
    let method = methodOf methodName rho gamma SubsetForward.Reuse SelectionScore.Sharpness 1.0 1.0
    use step = new MethodStep(network, method)
    use optimizer = new Sgd(network.Parameters, SgdOptions(Momentum = 0.9, WeightDecay = 5e-4))
    let perEpoch = set.Count / batchSize
    let schedule = Schedule(0.05, ScheduleKind.Cosine, epochs, perEpoch)
    [ for epoch in 0 .. epochs - 1 do
        let order = CounterRandom(1L, DrawStream.Shuffle, epoch).Permutation set.Count
        for k in 0 .. perEpoch - 1 do
            use _scope = new TensorScope()
            let chosen = Array.sub order (k * batchSize) batchSize |> Array.map int
            let x = Tensor.From(chosen |> Array.collect (fun i -> data[i]), [| int64 batchSize; int64 set.Channels; int64 set.Height; int64 set.Width |])
            let batch = Batch(x, Tensor.From(chosen |> Array.map (fun i -> int64 set.Labels[i]), [| int64 batchSize |]))
            let t = int64 (epoch * perEpoch + k)
            let draw = method.Mix.Draw(CounterRandom(1L, DrawStream.Mix, epoch, int64 k), batchSize, set.Height, set.Width)
            let norms =
                if int t % every <> 0 then None
                else
                    let v = method.Mix.Apply(batch, draw, step)
                    let losses = Loss().PerExample(network.Logits(v.Inputs, ForwardPass BatchNormMode.TrainFrozen), v.Targets)
                    Some(Array.init batchSize (fun i ->
                        use _inner = new TensorScope()
                        network.Parameters.Gradient(losses.Select(0, int64 i), retainGraph = true).Norm().Item()))
            let rate = schedule.At t
            let r = step.Run(batch, StepContext(epoch, t, rate, 0.05, draw))
            optimizer.Update(r.Direction, rate)
            let before, after = r.LossesAtW.ToDoubles(), r.LossesAtPerturbed.ToDoubles()
            let plus = r.Selected.ToArray<int64>() |> Array.map int
            let s = sub after before
            { Ordering = meanAt plus after >= Array.average after
              Premise = meanAt plus before >= meanAt (rest batchSize plus) before
              WithLoss = spearman s before
              WithGradient = norms |> Option.map (spearman s) } ]

let private summarise model method phase rho gamma examples epochs (seen: Observed list) =
    let count pick = seen |> List.filter pick |> List.length
    { DataSet = "synthetic"; Model = model; Method = method; Phase = phase; Examples = examples; Epochs = epochs; Rho = rho; Gamma = gamma; Batch = 64
      OrderingHolds = wilson (count (fun o -> o.Ordering)) seen.Length
      PremiseHolds = wilson (count (fun o -> o.Premise)) seen.Length
      SensitivityWithLoss = seen |> List.map (fun o -> o.WithLoss) |> Array.ofList |> bootstrap
      SensitivityWithGradient = seen |> List.choose (fun o -> o.WithGradient) |> Array.ofList |> bootstrap }

let private wellFormed low high (e: Estimate) =
    Assert.True(e.N > 0, "no observations")
    Assert.True(low - 1e-12 <= e.Low && e.Low <= e.Value && e.Value <= e.High && e.High <= high + 1e-12, $"{e}")

let private report (rows: Figures list) =
    let show (e: Estimate) = $"{e.Value:F3} [{e.Low:F3}, {e.High:F3}] n={e.N}"
    for f in rows do
        say $"{f.Model} {f.Method} rho={f.Rho} gamma={f.Gamma} {f.Phase}: ordering {show f.OrderingHolds}; premise {show f.PremiseHolds}; s with loss {show f.SensitivityWithLoss}; s with |grad| {show f.SensitivityWithGradient}"
        wellFormed 0.0 1.0 f.OrderingHolds
        wellFormed 0.0 1.0 f.PremiseHolds
        wellFormed -1.0 1.0 f.SensitivityWithLoss
        wellFormed -1.0 1.0 f.SensitivityWithGradient
    match Environment.GetEnvironmentVariable "GMIX_THEORY_OUT" with
    | null | "" -> ()
    | path -> File.WriteAllText(path, JsonSerializer.Serialize(rows, JsonSerializerOptions(WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase)))

[<Fact; Trait("kind", Exact)>]
let ``Intervals EXACT: Wilson and bootstrap contain their estimates and agree with known values`` () =
    let w = wilson 5 10
    near 1e-4 0.0 "low" w.Low 0.23659
    near 1e-4 0.0 "high" w.High 0.76341
    near 1e-4 0.0 "high at 0 of 20" (wilson 0 20).High 0.16113
    for n in [ 1; 7; 300 ] do
        for hits in [ 0; n / 2; n ] do wellFormed 0.0 1.0 (wilson hits n)
    // 95 % interval of the mean of 400 standard normals: about ± 1.96 / 20
    let b = bootstrap (normals (Random 1) 400)
    near 0.15 0.0 "width" (b.High - b.Low) (2.0 * 1.96 / 20.0)

[<Fact; Trait("kind", Statistical)>]
let ``T2d STATISTICAL: how often the ordering holds, and how sensitivity ranks against loss and gradient norm, along training`` () =
    let runs =
        [ "mlp", "dgmix", 0.05, 0.5, 1280, 5, 10
          "mlp", "bgmix", 0.05, 0.8, 1280, 5, 10
          if longMode then
              "wrn-10-1", "dgmix", 0.05, 0.5, 2000, 4, 20 ]
    report
        [ for model, method, rho, gamma, examples, epochs, every in runs do
            let seen = observe model method rho gamma examples epochs every
            let half = seen.Length / 2
            summarise model method "first half" rho gamma examples epochs (List.take half seen)
            summarise model method "second half" rho gamma examples epochs (List.skip half seen)
            summarise model method "all" rho gamma examples epochs seen ]
