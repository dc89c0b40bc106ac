/// Eq. 4 and eq. 13: how the loss behaves within the ball of radius ρ. S1(ρ) = L_V(w + ε̂) − L_V(w), ε̂ = ρ ĝ.
///
/// Orders are slopes of a straight line through ln residual against ln ρ, on GMix.Core's own steps. Coefficients come from hyper-dual
/// numbers; they tell how small ρ must be for the next order to stay below 3 % of the leading one, and whether that is above rounding.
module GMix.Theory.Tests.Expansion

open System
open FsCheck.FSharp
open GMix.Methods
open GMix.Models
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

/// Counts what was measured and what could not be, so that a test cannot pass by skipping.
type private Orders(name: string, expected: float) =
    let slopes = ResizeArray<float>()
    let mutable undecided = 0
    /// `leading` and `next` are the sizes of the coefficients of ρ^p and ρ^(p+1) of `residual`; `noise` its rounding error at radius ρ.
    member _.Fit(leading: float, next: float, noise: float -> float, residual: float -> float) =
        let largest = min 0.05 (0.03 * leading / (next + 1e-300))
        let radii = Array.init 6 (fun k -> largest / 2.0 ** float k)
        let smallest = Array.last radii
        if not (leading * smallest ** expected > 300.0 * noise smallest) then undecided <- undecided + 1
        else
            let slope = logSlope radii (Array.map residual radii)
            slopes.Add slope
            if not (abs (slope - expected) < 0.1) then broken $"{name}: the slope is {slope:F3}, theory says {expected}"
    member _.Report() =
        say $"{name}: {slopes.Count} slopes in [{Seq.min slopes:F4}, {Seq.max slopes:F4}], theory {expected}; {undecided} cases too close to rounding"
        if float undecided > 0.3 * float (slopes.Count + undecided) then broken $"{name}: {undecided} of {slopes.Count + undecided} cases could not be measured"

let private netOf (c: Case) : Reference.Net =
    let activation = match c.Activation with Mlp.Activation.Tanh -> HyperDual.Tanh | Mlp.Activation.Softplus -> HyperDual.Softplus | _ -> HyperDual.Gelu
    { Widths = [ c.Inputs; yield! c.Hidden; c.Classes ]; Activation = activation }

/// Everything about one case: gradient and its direction, and H(w + tĝ)ĝ over some rows from hyper-dual numbers.
let private expansionOf (c: Case) =
    let bench, w = benchOf c
    let g = bench.Gradient w
    let direction = unit g
    let x, y = bench.MixedImages, bench.MixedLabels
    let curvature rows t = Reference.hessianTimes (netOf c) (axpy t direction w) x y rows direction
    bench, w, g, direction, curvature

let private gmix rho = methodOf "gmix" rho 1.0 SubsetForward.Reuse SelectionScore.Sharpness 1.0 1.0

/// The second, third and fourth coefficients of the loss along ĝ, the last two by differences of exact second derivatives.
let private coefficients (direction: float[]) (curvature: float -> float[]) =
    let h = 1e-3
    let low, middle, high = dot direction (curvature -h), dot direction (curvature 0.0), dot direction (curvature h)
    middle / 2.0, (high - low) / (2.0 * h) / 6.0, (high - 2.0 * middle + low) / (h * h) / 24.0

[<Fact; Trait("kind", Asymptotic)>]
let ``A1 ASYMPTOTIC: sharpness is rho |g| up to order 2, and with the quadratic term up to order 3`` () =
    let none, first, second = Orders("S1", 1.0), Orders("S1 − ρ|g|", 2.0), Orders("S1 − ρ|g| − ½ρ² ĝ'Hĝ", 3.0)
    Property.Check(smoothNets, fun c ->
        let bench, w, g, direction, curvature = expansionOf c
        use _ = bench
        let c2, c3, c4 = coefficients direction (curvature (Array.init c.Examples id))
        let base' = bench.Loss w
        let s1 rho =
            let step = bench.Step (gmix rho) w
            Array.average (sub step.LossesAtPerturbed step.LossesAtW)
        let slope = norm g
        // rounding of the loss, and SAM's δ = 1e-12 beside |g|
        let noise rho = 1e-16 * (1.0 + base') + 1e-12 * rho * (1.0 + 2.0 * rho * abs c2 / slope)
        // with a wrong first-order term the order would be 1: the fit can tell
        none.Fit(slope, abs c2, noise, fun rho -> abs (s1 rho))
        first.Fit(abs c2, abs c3, noise, fun rho -> abs (s1 rho - rho * slope))
        second.Fit(abs c3, abs c4, noise, fun rho -> abs (s1 rho - rho * slope - rho * rho * c2)))
    for order in [ none; first; second ] do order.Report()

[<Fact; Trait("kind", Asymptotic)>]
let ``A2 ASYMPTOTIC: the sensitivity of an example is its slope along eps up to order 2`` () =
    let orders = Orders("s_i − <ε̂, ∇l_i>", 2.0)
    Property.Check(smoothNets, fun c ->
        let bench, w, g, direction, curvature = expansionOf c
        use _ = bench
        let i = c.Seed % c.Examples
        let slope = dot direction (bench.GradientOver [| i |] w)
        let c2, c3, _ = coefficients direction (curvature [| i |])
        let loss = (bench.Losses w)[i]
        let s rho = let step = bench.Step (gmix rho) w in step.LossesAtPerturbed[i] - step.LossesAtW[i]
        orders.Fit(abs c2, abs c3, (fun rho -> 1e-16 * (1.0 + loss) + 1e-12 * rho * abs slope / norm g), fun rho -> abs (s rho - rho * slope)))
    orders.Report()

[<Fact; Trait("kind", Asymptotic)>]
let ``A3 ASYMPTOTIC: the change of the gradient over rho is H times the unit gradient up to order 1`` () =
    let orders = Orders("(g' − g)/ρ − Hĝ", 1.0)
    Property.Check(smoothNets, fun c ->
        let bench, w, g, _, curvature = expansionOf c
        use _ = bench
        let all = Array.init c.Examples id
        let h = 1e-3
        let low, exact, high = curvature all -h, curvature all 0.0, curvature all h
        let leading = norm (sub high low) / (2.0 * h) / 2.0
        let next = norm (sub (add high low) (scale 2.0 exact)) / (h * h) / 6.0
        let error rho = distance (scale (1.0 / rho) (sub (bench.Step (gmix rho) w).Direction g)) exact
        orders.Fit(leading, next, (fun rho -> 1e-15 * (1.0 + norm g) / rho + 1e-12 * norm exact / norm g), error))
    orders.Report()

[<Fact; Trait("kind", Exact)>]
let ``A2 EXACT: the first-order terms of the sensitivities average to rho |g|`` () =
    Property.Check(smoothNets, fun c ->
        let bench, w, g, direction, _ = expansionOf c
        use _ = bench
        let terms = bench.ExampleGradients w |> Array.map (fun gi -> c.Rho * dot direction gi)
        near 1e-10 (Array.sumBy abs terms) "mean of first-order terms" (Array.average terms) (c.Rho * norm g))

[<Fact; Trait("kind", Exact)>]
let ``A1 EXACT: the linearised loss is largest in the ball at eps, where it is L + rho |g|`` () =
    let bound = Bound "<ε, g> ≤ ρ|g|"
    Property.Check(smoothNets, fun c ->
        let bench, w, g, _, _ = expansionOf c
        use _ = bench
        let random = Random(c.Seed + 7)
        for _ in 1 .. 20 do
            let inBall = normals random w.Length |> unit |> scale (c.Rho * random.NextDouble() ** (1.0 / float w.Length))
            bound.Hold(dot inBall g, c.Rho * norm g, 1e-15)
        let step = bench.Step (gmix c.Rho) w
        near 1e-10 0.0 "|eps|" step.EpsilonNorm (norm (ascent c.Rho g))
        near 1e-10 0.0 "|g|" step.GradientNorm (norm g)
        bound.Hold(dot (scale (c.Rho / norm g) g) g, c.Rho * norm g, 1e-15))
    bound.IsTight 0.99

[<Fact; Trait("kind", Exact)>]
let ``A1 EXACT: where the vicinal loss is convex, sharpness is at least rho |g|`` () =
    let bound = Bound "ρ|g| ≤ S1"
    Property.Check(regressions, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let step = bench.Step (gmix c.Rho) w
        bound.Hold(c.Rho * step.GradientNorm, Array.average (sub step.LossesAtPerturbed step.LossesAtW), 1e-13 + 1e-12 * c.Rho))
    bound.IsTight()

/// The largest rise of g'e + ½ e'He in the ball |e| ≤ ρ, from the stationarity (μI − H)e = g with μ above all eigenvalues, by bisection in μ.
let private trueSharpness (eigenvalues: float[]) (g: float[]) rho =
    let e mu = Array.map2 (fun gi h -> gi / (mu - h)) g eigenvalues
    let mutable low = Array.max eigenvalues
    let mutable high = low + norm g / rho + 1.0
    for _ in 1 .. 200 do
        let middle = 0.5 * (low + high)
        if norm (e middle) > rho then low <- middle else high <- middle
    let worst = e high
    dot g worst + 0.5 * (Array.map2 (fun h x -> h * x * x) eigenvalues worst |> Array.sum)

let private bowls = Arb.fromGen (gen {
    let! seed = Gen.choose (0, 1 <<< 28)
    let! size = Gen.choose (1, 5)
    let! rho = Gen.elements [ 0.01; 0.1; 0.5; 2.0 ]
    let random = Random seed
    return Array.init size (fun _ -> 4.0 * random.NextDouble()), normals random size, rho })

[<Fact; Trait("kind", Exact)>]
let ``A1 EXACT: one ascent step never overstates the sharpness: S1 is a lower bound of S`` () =
    let bound = Bound "S1 ≤ S"
    Property.Check(bowls, fun (eigenvalues, w, rho) ->
        let g = Array.map2 (*) eigenvalues w
        let eps = scale rho (unit g)
        let s1 = dot g eps + 0.5 * (Array.map2 (fun h x -> h * x * x) eigenvalues eps |> Array.sum)
        bound.Hold(s1, trueSharpness eigenvalues g rho, 1e-12))
    bound.IsTight 0.9
    // 3.7's quadratic: S1 = 2.865 there
    let exact = trueSharpness [| 1.0; 4.0 |] [| 3.0; 4.0 |] 0.5
    say $"H = diag(1,4), w = (3,1), ρ = 0.5: S1 = 2.865, S = {exact:F6}"
    if not (exact > 2.865) then broken $"S = {exact} is not above S1"
