/// Exact identities of the methods (3.6 and the lists per method), on GMix.Core's own steps over random nets.
module GMix.Theory.Tests.Identities

open System
open FsCheck.FSharp
open GMix.Draws
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

let private named name (c: Case) subset = methodOf name c.Rho c.Gamma subset SelectionScore.Sharpness 1.0 1.0
let private reuse = SubsetForward.Reuse

/// The same net and data with another λ and π.
let private remixed (c: Case) (bench: Bench) lambda permutation =
    new Bench(new Mlp(c.Inputs, Array.ofList c.Hidden, c.Classes, c.Activation), bench.Examples, bench.Labels, lambda, permutation)

let private inverse (permutation: int64[]) =
    let inverse = Array.zeroCreate permutation.Length
    permutation |> Array.iteri (fun i p -> inverse[int p] <- int64 i)
    inverse

let private same (a: float[]) (b: float[]) = Assert.Equal<float[]>(a, b)

[<Fact; Trait("kind", Exact)>]
let ``Mixup EXACT: lambda 0 or 1 gives the gradient of the plain batch`` () =
    Property.Check(smoothNets, fun c ->
        for lambda in [ 0.0; 1.0 ] do
            let bench, w = benchOf { c with Lambda = lambda }
            use _ = bench
            nearVector 1e-10 1e-3 "gradient" (bench.Step (named "mixup" c reuse) w).Direction (bench.Step (named "vanilla" c reuse) w).Direction)

[<Fact; Trait("kind", Exact)>]
let ``Mixup EXACT: (lambda, pi) and (1 - lambda, inverse pi) mix the same examples`` () =
    Property.Check(smoothNets, fun c ->
        let bench, w = benchOf c
        use _ = bench
        use other = remixed c bench (1.0 - c.Lambda) (inverse bench.Permutation)
        let there = other.Losses w
        nearVector 1e-12 1e-3 "losses" (bench.Losses w) (bench.Permutation |> Array.map (fun p -> there[int p]))
        nearVector 1e-10 1e-3 "gradient" (bench.Gradient w) (other.Gradient w))

[<Fact; Trait("kind", Exact)>]
let ``Mixup EXACT: mixing commutes with affine normalisation of each channel`` () =
    Property.Check(smoothNets, fun c ->
        let bench, _ = benchOf c
        use _ = bench
        let random = Random(c.Seed + 8)
        let shift, stretch = normals random c.Inputs, normals random c.Inputs
        let normalise (x: float[]) = Array.map3 (fun v a b -> v * a + b) x stretch shift
        use after = new Bench(new Mlp(c.Inputs, [||], c.Classes, c.Activation), bench.Examples |> Array.map normalise, bench.Labels, c.Lambda, bench.Permutation)
        nearVector 1e-13 1.0 "images" (Array.concat after.MixedImages) (bench.MixedImages |> Array.collect normalise))

[<Fact; Trait("kind", Exact)>]
let ``Mixup EXACT: alpha 0 draws no mixing, so G-Mix is SAM bit for bit`` () =
    Property.Check(smoothNets, fun c ->
        let draw = Mixup(0.0).Draw(CounterRandom(int64 c.Seed, DrawStream.Mix), c.Examples, 1, 1)
        Assert.Null draw.Permutation
        let bench, w = benchOf c
        use _ = bench
        use unmixed = remixed c bench draw.Lambda draw.Permutation
        same (unmixed.Step (named "gmix" c reuse) w).Direction (unmixed.Step (named "sam" c reuse) w).Direction
        same (unmixed.Step (named "mixup" c reuse) w).Direction (unmixed.Step (named "vanilla" c reuse) w).Direction)

[<Fact; Trait("kind", Exact)>]
let ``G-Mix EXACT: lambda 0 or 1 is SAM up to the order of the batch, rho 0 is Mixup`` () =
    Property.Check(smoothNets, fun c ->
        for lambda in [ 0.0; 1.0 ] do
            let bench, w = benchOf { c with Lambda = lambda }
            use _ = bench
            nearVector 1e-9 1e-3 "SAM" (bench.Step (named "gmix" c reuse) w).Direction (bench.Step (named "sam" c reuse) w).Direction
        let still = { c with Rho = 0.0 }
        let bench, w = benchOf still
        use _ = bench
        same (bench.Step (named "gmix" still reuse) w).Direction (bench.Step (named "mixup" still reuse) w).Direction)

[<Fact; Trait("kind", Exact)>]
let ``SAM EXACT: on a quadratic the perturbed gradient is g + rho H times the unit gradient, on a linear loss it is g`` () =
    Property.Check(smoothNets, fun c ->
        let random = Random c.Seed
        let half = Array.init c.Inputs (fun _ -> normals random c.Inputs)
        let h = ((matrix half).TransposeThisAndMultiply(matrix half) / float c.Inputs).ToRowArrays()
        let w = normals random c.Inputs
        let times (v: float[]) = h |> Array.map (fun row -> dot row v)
        use quadratic = scalarBench c.Inputs (bowl h 1.0)
        let g = times w
        nearVector 1e-9 1e-3 "quadratic" (quadratic.Step (named "sam" c reuse) w).Direction (add g (times (ascent c.Rho g)))
        let slope = normals random c.Inputs
        use linear = scalarBench c.Inputs (fun w -> (w * Tensor.From slope).Sum() + (20.0 + 10.0 * norm slope))
        nearVector 1e-9 1e-3 "linear" (linear.Step (named "sam" c reuse) (unit w)).Direction slope)

[<Fact; Trait("kind", Exact)>]
let ``SAM EXACT: |eps| is rho, its direction is that of g, it ignores the scale of the loss, and it is 0 where g is`` () =
    let bound = Bound "|ε| ≤ ρ"
    Property.Check(smoothNets, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let g = bench.Gradient w
        let epsilon (g: float[]) = bench.At w (fun () -> Sam(c.Rho).Epsilon(bench.Network.Parameters, Tensor.From g, StepContext(0, 0L, 0.1, 0.1, Draw.None)).ToDoubles())
        let eps = epsilon g
        bound.Hold(norm eps, c.Rho, 1e-15)
        near 1e-10 0.0 "cosine" (dot eps g / (norm eps * norm g)) 1.0
        // up to δ in the denominator
        nearVector (1e-12 + 2e-12 / norm g) 0.0 "scaled loss" (epsilon (scale 1000.0 g)) eps
        near 1e-13 0.0 "|eps|" (norm eps) (c.Rho * norm g / (norm g + 1e-12))
        same (epsilon (scale 0.0 g)) (scale 0.0 g))
    bound.IsTight 0.999

[<Fact; Trait("kind", Exact)>]
let ``Weights EXACT: every method leaves the weights as they were, bit for bit`` () =
    Property.Check(smoothNets, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let before = bench.WeightsNow
        for name in [ "vanilla"; "mixup"; "sam"; "gmix"; "bgmix"; "dgmix" ] do
            let after = bench.At w (fun () ->
                use step = new MethodStep(bench.Network, named name c SubsetForward.Recompute)
                step.Run(bench.Batch(), StepContext(0, 0L, 0.1, 0.1, Draw(Lambda = c.Lambda, Permutation = bench.Permutation))) |> ignore
                bench.WeightsNow)
            same w after
        same before bench.WeightsNow)

[<Fact; Trait("kind", Exact)>]
let ``BatchNorm EXACT: running statistics after a G-Mix, BG-Mix or DG-Mix step are those of a Mixup step, bit for bit`` () =
    use _scope = new TensorScope()
    let random = Random 3
    let images = Tensor.From(normals random (6 * 3 * 8 * 8), [| 6L; 3L; 8L; 8L |])
    let labels = Tensor.From(Array.init 6 (fun _ -> random.NextInt64 4L), [| 6L |])
    let statistics name =
        use network = new Network(new WideResNet(10, 1, 4), Precision.Float64, seed = 5L)
        use step = new MethodStep(network, methodOf name 0.1 0.5 SubsetForward.Recompute SelectionScore.Sharpness 1.0 1.0)
        step.Run(Batch(images, labels), StepContext(0, 0L, 0.1, 0.1, Draw(Lambda = 0.3, Permutation = [| 1L; 2L; 3L; 4L; 5L; 0L |]))) |> ignore
        [| for struct (_, value) in network.Buffers -> value.ToDoubles() |] |> Array.concat
    let once = statistics "mixup"
    for name in [ "gmix"; "bgmix"; "dgmix" ] do same once (statistics name)

[<Fact; Trait("kind", Exact)>]
let ``Selection EXACT: B plus has max(1, floor(gamma n)) of the largest scores, ties to the lower index`` () =
    let sizes = Arb.fromGen (Gen.zip3 (Gen.choose (1, 40)) (Gen.choose (1, 20)) (Gen.choose (0, 1 <<< 20)))
    Property.Check(sizes, (fun (n, twentieths, seed) ->
        use _scope = new TensorScope()
        let random = Random seed
        let scores = Array.init n (fun _ -> float (random.Next 5))
        let selection = Selection(float twentieths / 20.0)
        let struct (plus, _) = selection.Split(Tensor.From(Array.zeroCreate<float> n), Tensor.From scores, 0UL)
        let expected = Seq.init n id |> Seq.sortBy (fun i -> -scores[i], i) |> Seq.take (max 1 (n * twentieths / 20)) |> Seq.sort |> Array.ofSeq
        Assert.Equal<int[]>(expected, plus.ToArray<int64>() |> Array.map int)), 200)
    // 0.3 · 10 is 2.9999999999999996 in binary
    Assert.Equal(3, Selection(0.3).Size 10)

[<Fact; Trait("kind", Exact)>]
let ``BG-Mix EXACT: gamma 1 is G-Mix, B plus alone gives what B plus in the batch gives, rho 0 keeps the first examples`` () =
    Property.Check(smoothNets, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let whole = { c with Gamma = 1.0 }
        let gmix = (bench.Step (named "gmix" c reuse) w).Direction
        for subset in [ SubsetForward.Reuse; SubsetForward.Recompute ] do
            for name in [ "bgmix"; "dgmix" ] do
                nearVector 1e-10 1e-3 "gamma 1" (bench.Step (named name whole subset) w).Direction gmix
        for name in [ "bgmix"; "dgmix" ] do
            let alone, within = bench.Step (named name c SubsetForward.Recompute) w, bench.Step (named name c reuse) w
            Assert.Equal<int[]>(within.Selected, alone.Selected)
            nearVector 1e-9 1e-3 "alone or within" alone.Direction within.Direction
        let still = bench.Step (named "bgmix" { c with Rho = 0.0 } reuse) w
        Assert.Equal<int[]>(Array.init still.Selected.Length id, still.Selected))

/// One DG-Mix step and the gradients of its parts at w + ε.
let private decomposed (c: Case) kappa =
    let bench, w = benchOf c
    use _ = bench
    let step = bench.Step (methodOf "dgmix" c.Rho c.Gamma reuse SelectionScore.Sharpness 1.0 kappa) w
    let g = bench.Gradient w
    let moved = add w (ascent c.Rho g)
    let minus = rest c.Examples step.Selected
    let plusGradient = bench.GradientOver step.Selected moved
    let minusGradient = if minus.Length = 0 then [||] else bench.GradientOver minus moved
    step, plusGradient, minusGradient, (bench.Step (named "gmix" c reuse) w).Direction, (bench.Step (named "bgmix" c reuse) w).Direction

[<Fact; Trait("kind", Exact)>]
let ``DG-Mix EXACT: what is added is orthogonal to g plus, so <d, g+> = |g+|² and |d|² = |g+|² + |g_perp|²`` () =
    Property.Check(smoothNets, fun c ->
        let step, plus, minus, _, _ = decomposed c 1.0
        if minus.Length > 0 then
            let added = sub step.Direction plus
            let size = norm plus * (norm minus + norm plus)
            near 1e-10 size "<g_perp, g+>" (dot added plus) 0.0
            near 1e-10 size "<d, g+>" (dot step.Direction plus) (dot plus plus)
            near 1e-9 (norm minus ** 2.0) "|d|²" (dot step.Direction step.Direction) (dot plus plus + dot added added)
            if norm step.Direction < norm plus - 1e-10 * size then broken "|d| is below |g+|")

[<Fact; Trait("kind", Exact)>]
let ``DG-Mix EXACT: d = (1 - c) g+ + g-, the gradient of (1 - c) L+ + L- with c held fixed`` () =
    Property.Check(smoothNets, fun c ->
        let step, plus, minus, _, _ = decomposed c 1.0
        if minus.Length > 0 && norm plus > 1e-6 then
            let expected = axpy (1.0 - step.Projection) plus minus
            nearVector 1e-9 (1e-3 + norm minus) "d" step.Direction expected
            near 1e-7 1.0 "c" step.Projection (dot minus plus / dot plus plus))

[<Fact; Trait("kind", Exact)>]
let ``DG-Mix EXACT: kappa 0 is BG-Mix, and kappa scales what is added`` () =
    Property.Check(smoothNets, fun c ->
        let without, plus, minus, _, bgmix = decomposed c 0.0
        nearVector 1e-10 1e-3 "kappa 0" without.Direction bgmix
        if minus.Length > 0 then
            let once, _, _, _, _ = decomposed c 1.0
            let thrice, _, _, _, _ = decomposed c 3.0
            nearVector 1e-9 (1e-3 + norm minus + norm plus) "kappa 3" (sub thrice.Direction bgmix) (scale 3.0 (sub once.Direction bgmix)))

[<Fact; Trait("kind", Exact)>]
let ``DG-Mix EXACT: the weighted mean of g+ and g- is the G-Mix gradient`` () =
    Property.Check(smoothNets, fun c ->
        let step, plus, minus, gmix, _ = decomposed c 1.0
        if minus.Length > 0 then
            let kept = float step.Selected.Length / float c.Examples
            nearVector 1e-10 1e-3 "gradient" (axpy (1.0 - kept) minus (scale kept plus)) gmix)

[<Fact; Trait("kind", Exact)>]
let ``DG-Mix EXACT: parallel parts give BG-Mix, and the scale of g+ does not change what is added`` () =
    // equal examples: g- = g+ at every gamma
    Property.Check(smoothNets, fun c ->
        let _, w = benchOf c
        let x = normals (Random(c.Seed + 9)) c.Inputs
        use bench = new Bench(new Mlp(c.Inputs, Array.ofList c.Hidden, c.Classes, c.Activation), Array.replicate c.Examples x, Array.replicate c.Examples 0, c.Lambda, shuffled (Random c.Seed) c.Examples)
        nearVector 1e-9 1e-3 "parallel" (bench.Step (named "dgmix" c reuse) w).Direction (bench.Step (named "bgmix" c reuse) w).Direction
        let plus, minus = normals (Random c.Seed) 6, normals (Random(c.Seed + 1)) 6
        let orthogonal (along: float[]) = axpy (-(dot minus along) / dot along along) along minus
        nearVector 1e-12 1.0 "scaled" (orthogonal (scale 37.0 plus)) (orthogonal plus))

/// ln B(a, a)
let private logBeta a = MathNet.Numerics.SpecialFunctions.BetaLn(a, a)

[<Fact; Trait("kind", Exact)>]
let ``Beta EXACT: mean, variance and mean of max(lambda, 1 - lambda) have their closed forms`` () =
    let expected (a: float) = 0.5 + exp (-log a - a * log 4.0 - logBeta a)
    // by quadrature over [½, 1], since the density is symmetric; below α = 1 with t = (1 − λ)^α, which takes the singularity away
    let integral a (f: float -> float) =
        let quadrature (inside: float -> float) first last = exp (-logBeta a) * MathNet.Numerics.Integration.GaussLegendreRule.Integrate(inside, first, last, 128)
        if a < 1.0 then
            quadrature (fun t -> let rest = t ** (1.0 / a) in f (1.0 - rest) * (1.0 - rest) ** (a - 1.0) / a) 0.0 (0.5 ** a)
        else
            quadrature (fun l -> f l * (l * (1.0 - l)) ** (a - 1.0)) 0.5 1.0
    for a in [ 0.2; 0.5; 1.0; 2.0; 5.0 ] do
        near 1e-9 0.0 "total" (integral a (fun _ -> 1.0)) 0.5
        near 1e-9 0.0 "variance" (2.0 * integral a (fun l -> (l - 0.5) ** 2.0)) (1.0 / (4.0 * (2.0 * a + 1.0)))
        near 1e-9 0.0 "mean of the larger" (2.0 * integral a id) (expected a)
    for a, value in [ 0.2, 0.8988; 0.5, 0.8183; 1.0, 0.75; 2.0, 0.6875 ] do
        if abs (expected a - value) > 5e-5 then broken $"E max for alpha {a} is {expected a}, not {value}"

[<Fact; Trait("kind", Statistical)>]
let ``Beta STATISTICAL: draws of lambda have these moments within five standard errors`` () =
    let draws = if longMode then 2_000_000 else 100_000
    for a in [ 0.2; 0.5; 1.0; 2.0 ] do
        let random = CounterRandom(11L, DrawStream.Mix)
        let sample = Array.init draws (fun _ -> random.NextBeta(a, a))
        let check what (values: float[]) expected =
            let struct (mean, deviation) = MathNet.Numerics.Statistics.ArrayStatistics.MeanStandardDeviation values
            let error = deviation / sqrt (float draws)
            say $"alpha {a}: {what} {mean:F5} ± {error:F5}, closed form {expected:F5}"
            if abs (mean - expected) > 5.0 * error then broken $"alpha {a}: {what} is {mean}, expected {expected}"
        check "mean" sample 0.5
        check "variance" (sample |> Array.map (fun l -> (l - 0.5) ** 2.0)) (1.0 / (4.0 * (2.0 * a + 1.0)))
        check "larger" (sample |> Array.map (fun l -> max l (1.0 - l))) (0.5 + exp (-log a - a * log 4.0 - logBeta a))
