/// Lemma 1: mixing does not make the loss steeper. Softmax regression gives the constants; the mixed batches are GMix.Core's.
///
/// z = (x, y) with |z − z'|² = |x − x'|² + |y − y'|².
module GMix.Theory.Tests.Lemma1

open System
open FsCheck.FSharp
open GMix.Models
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

/// The rows of W (classes, inputs) within flat weights; the bias follows.
let private rowsOf (c: Case) (w: float[]) = Array.init c.Classes (fun k -> Array.sub w (k * c.Inputs) c.Inputs)

let private logitsOf (c: Case) (w: float[]) (x: float[]) =
    rowsOf c w |> Array.mapi (fun k row -> dot row x + w[c.Classes * c.Inputs + k])

let private logSoftmax (z: float[]) =
    let top = Array.max z
    let total = top + log (Array.sumBy (fun v -> exp (v - top)) z)
    Array.map (fun v -> v - total) z

/// A regression with chosen weights, images and labels.
let private chosen (rows: float[][]) (examples: float[][]) labels lambda (permutation: int64[]) =
    let classes, inputs = rows.Length, rows[0].Length
    let bench = new Bench(new Mlp(inputs, [||], classes, Mlp.Activation.Tanh), examples, labels, lambda, permutation)
    bench, Array.append (Array.concat rows) (Array.zeroCreate classes)

/// A second batch for the same network, λ and π.
let private twin (c: Case) (bench: Bench) nearBy =
    let random = Random(c.Seed + 3)
    let examples = bench.Examples |> Array.map (fun x -> if nearBy then axpy 0.1 (normals random c.Inputs) x else normals random c.Inputs)
    let labels = if nearBy then bench.Labels else Array.init c.Examples (fun _ -> random.Next c.Classes)
    new Bench(new Mlp(c.Inputs, [||], c.Classes, c.Activation), examples, labels, c.Lambda, bench.Permutation)

let private labelRows (c: Case) (b: Bench) = b.Labels |> Array.map (oneHot c.Classes)

[<Fact; Trait("kind", Exact)>]
let ``L1a EXACT: the mixing matrix is doubly stochastic, has spectral norm 1 and keeps batch means`` () =
    let contraction = Bound "L1a |Mx − Mx'| ≤ |x − x'|"
    Property.Check(regressions, fun c ->
        let bench, _ = benchOf c
        use _ = bench
        use other = twin c bench (c.Seed % 2 = 0)
        let n = c.Examples
        let m = Array.init n (fun i -> Array.init n (fun j -> (if i = j then c.Lambda else 0.0) + (if int bench.Permutation[i] = j then 1.0 - c.Lambda else 0.0)))
        for i in 0 .. n - 1 do
            near 1e-12 0.0 "row sum" (Array.sum m[i]) 1.0
            near 1e-12 0.0 "column sum" (Array.sumBy (fun (row: float[]) -> row[i]) m) 1.0
            if Array.exists (fun v -> v < 0.0) m[i] then broken "a negative entry"
        near 1e-12 0.0 "spectral norm" (spectral m) 1.0
        // GMix.Core's mixing is that matrix, on images and on labels
        let times (rows: float[][]) = ((matrix m) * (matrix rows)).ToRowArrays()
        nearVector 1e-13 1.0 "x mixed" (Array.concat bench.MixedImages) (Array.concat (times bench.Examples))
        nearVector 1e-13 1.0 "y mixed" (Array.concat bench.MixedLabels) (Array.concat (times (labelRows c bench)))
        nearVector 1e-12 1.0 "mean image" (meanOf bench.MixedImages) (meanOf bench.Examples)
        nearVector 1e-12 1.0 "mean label" (meanOf bench.MixedLabels) (meanOf (labelRows c bench))
        contraction.Hold(distance (Array.concat bench.MixedImages) (Array.concat other.MixedImages), distance (Array.concat bench.Examples) (Array.concat other.Examples), 1e-13)
        // equal shifts of all images are not shrunk at all
        let shift = normals (Random(c.Seed + 4)) c.Inputs
        use shifted = new Bench(new Mlp(c.Inputs, [||], c.Classes, c.Activation), bench.Examples |> Array.map (add shift), bench.Labels, c.Lambda, bench.Permutation)
        contraction.Hold(distance (Array.concat bench.MixedImages) (Array.concat shifted.MixedImages), distance (Array.concat bench.Examples) (Array.concat shifted.Examples), 1e-13))
    contraction.IsTight 0.99

/// G on the convex hull of the data: |∂l/∂x| ≤ √2 |W|, and |∂l/∂y| = |ln p|, which is convex in x, so its largest value is at a data point.
let private hullConstant c w (points: float[][]) =
    let inImage = sqrt 2.0 * spectral (rowsOf c w)
    let inLabel = points |> Seq.map (fun x -> norm (logSoftmax (logitsOf c w x))) |> Seq.max
    inImage, inLabel

/// All examples of class 0 and firmly taken for class 1: |p − y| is √2 to rounding, along the top singular vector of W.
let private firmlyWrong lambda =
    let examples = [| [| 4.0 |]; [| 5.0 |]; [| 7.0 |] |]
    chosen [| [| -10.0 |]; [| 10.0 |] |] examples [| 0; 0; 0 |] lambda [| 1L; 2L; 0L |], examples

[<Fact; Trait("kind", Exact)>]
let ``L1b EXACT: mixing does not increase the Lipschitz constant in the data`` () =
    let inImages = Bound "L1b with images only, G = √2 |W|"
    let inBoth = Bound "L1b with images and labels"
    Property.Check(regressions, fun c ->
        let bench, w = benchOf c
        use _ = bench
        use other = twin c bench (c.Seed % 3 > 0)
        let gx, gy = hullConstant c w (Array.append bench.Examples other.Examples)
        let difference = abs (bench.Loss w - other.Loss w)
        let moved = Array.map2 distance bench.Examples other.Examples
        let relabelled = Array.map2 (fun a b -> if a = b then 0.0 else sqrt 2.0) bench.Labels other.Labels
        inBoth.Hold(difference, sqrt (gx * gx + gy * gy) * Array.average (Array.map2 (fun a b -> sqrt (a * a + b * b)) moved relabelled), 1e-13)
        if bench.Labels = other.Labels then inImages.Hold(difference, gx * Array.average moved, 1e-13))
    for lambda in [ 0.3; 0.7; 1.0 ] do
        let (bench, w), examples = firmlyWrong lambda
        use _ = bench
        use further = new Bench(new Mlp(1, [||], 2, Mlp.Activation.Tanh), examples |> Array.map (add [| 1.0 |]), bench.Labels, lambda, bench.Permutation)
        inImages.Hold(abs (bench.Loss w - further.Loss w), sqrt 2.0 * spectral [| [| -10.0 |]; [| 10.0 |] |], 1e-12)
        // the joint constant: steep in x, and the label's part is small beside it
        let small = 1e-3
        let rows = [| [| -1.0 / small |]; [| 1.0 / small |] |]
        let firm t = chosen rows [| [| t * small |]; [| t * small |] |] [| 0; 0 |] lambda [| 1L; 0L |]
        let a, w = firm 9.0
        let b, _ = firm 10.0
        use _ = a
        use _ = b
        let c = { Seed = 0; Examples = 2; Inputs = 1; Hidden = []; Classes = 2; Activation = Mlp.Activation.Tanh; WeightScale = 1.0; Lambda = lambda; Rho = 0.0; Gamma = 1.0 }
        let gx, gy = hullConstant c w (Array.append a.Examples b.Examples)
        inBoth.Hold(abs (a.Loss w - b.Loss w), sqrt (gx * gx + gy * gy) * small, 1e-12)
    inImages.IsTight 0.99
    inBoth.IsTight 0.99

[<Fact; Trait("kind", Exact)>]
let ``L1c EXACT: the vicinal loss is within G times the mixing distance of the batch loss`` () =
    let general = Bound "L1c with G = √2 |W| and |ln p|"
    let sharp = Bound "L1c within one class, G = max |w_j − w_y|"
    let overall = Bound "L1c within one class, G = √2 |W|"
    let measure (bound: Bound) constant (bench: Bench) (w: float[]) distances =
        let difference = abs (bench.Loss w - Array.average (bench.CleanLosses w))
        let apart = Array.average distances
        bound.Hold(difference, constant * (1.0 - bench.Lambda) * apart, 1e-13)
        // λ in the place of 1 − λ: M x against the permuted batch, which has the same mean loss
        bound.Hold(difference, constant * bench.Lambda * apart, 1e-13)
    let pairs (bench: Bench) = Array.init bench.Count (fun i -> distance bench.Examples[i] bench.Examples[int bench.Permutation[i]])
    // p − y is a mean of e_j − e_y, so the slope of an example of class y is at most the largest |w_j − w_y|
    let steepest (rows: float[][]) = rows |> Seq.map (distance rows[0]) |> Seq.max
    Property.Check(regressions, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let gx, gy = hullConstant c w bench.Examples
        let labels = Array.init c.Examples (fun i -> if bench.Labels[i] = bench.Labels[int bench.Permutation[i]] then 0.0 else sqrt 2.0)
        measure general (sqrt (gx * gx + gy * gy)) bench w (Array.map2 (fun a b -> sqrt (a * a + b * b)) (pairs bench) labels)
        use oneClass = new Bench(new Mlp(c.Inputs, [||], c.Classes, c.Activation), bench.Examples, Array.zeroCreate c.Examples, c.Lambda, bench.Permutation)
        measure sharp (steepest (rowsOf c w)) oneClass w (pairs bench)
        measure overall gx oneClass w (pairs bench)
        measure general (sqrt (gx * gx + gy * gy)) oneClass w (pairs bench))
    // one class, two images on the two slopes of a V: mixing takes both down the slope
    let v = [| [| 0.0 |]; [| 30.0 |]; [| -30.0 |] |]
    let bench, w = chosen v [| [| -4.0 |]; [| 4.0 |] |] [| 0; 0 |] 0.75 [| 1L; 0L |]
    use _ = bench
    measure sharp (steepest v) bench w (pairs bench)
    measure overall (sqrt 2.0 * spectral v) bench w (pairs bench)
    measure general (sqrt 2.0 * spectral v) bench w (pairs bench)
    sharp.IsTight 0.99
    overall.IsTight(0.5 - 1e-9)
    general.IsTight(0.5 - 1e-9)

[<Fact; Trait("kind", Exact)>]
let ``L1d EXACT: the vicinal loss keeps the Lipschitz and smoothness constants in the weights`` () =
    let lipschitz = Bound "L1d Lipschitz in W and b: √2 max sqrt(1 + |x|²)"
    let smooth = Bound "L1d smooth in W and b: ½ max (1 + |x|²)"
    let measure (bench: Bench) (w: float[]) (other: float[]) =
        let reach = bench.Examples |> Seq.map (fun x -> 1.0 + dot x x) |> Seq.max
        lipschitz.Hold(abs (bench.Loss w - bench.Loss other), sqrt 2.0 * sqrt reach * distance w other, 1e-13)
        smooth.Hold(distance (bench.Gradient w) (bench.Gradient other), 0.5 * reach * distance w other, 1e-13)
    Property.Check(regressions, fun c ->
        let bench, w = benchOf c
        use _ = bench
        let step = normals (Random(c.Seed + 3)) w.Length
        measure bench w (axpy (if c.Seed % 2 = 0 then 0.1 else 3.0) step w))
    // equal images: all gradients agree; steepest where they are firmly wrong, most curved where two classes are level
    let x = [| 2.0; -1.0 |]
    let bench, level = chosen [| [| 0.0; 0.0 |]; [| 0.0; 0.0 |] |] [| x; x; x |] [| 0; 0; 0 |] 0.3 [| 1L; 2L; 0L |]
    use _ = bench
    let along = [| yield! scale -1.0 x; yield! x; -1.0; 1.0 |]
    measure bench (axpy 5.0 along level) (axpy 6.0 along level)
    measure bench level (axpy 1e-3 along level)
    lipschitz.IsTight 0.99
    smooth.IsTight 0.99

/// Logits of a size drawn with them: from level to firmly decided.
let private logits = Arb.fromGen (gen {
    let! seed = Gen.choose (0, 1 <<< 28)
    let! classes = Gen.choose (2, 6)
    let! size = Gen.elements [ 0.0; 0.1; 1.0; 5.0; 30.0 ]
    let random = Random(seed)
    let z = normals random classes |> scale size
    // two leading classes that are level: where the Hessian is largest
    if random.Next 3 = 0 then z[1] <- z[0]
    return z, random.Next classes })

[<Fact; Trait("kind", Exact)>]
let ``L1 constants EXACT: |p − y| is at most √2 and the softmax Hessian at most one half`` () =
    let residual = Bound "|p − y| ≤ √2"
    let hessian = Bound "softmax Hessian ≤ ½"
    let entries (p: float[]) = Array.init p.Length (fun i -> Array.init p.Length (fun j -> (if i = j then p[i] else 0.0) - p[i] * p[j]))
    Property.Check(logits, (fun (z, label) ->
        let p = logSoftmax z |> Array.map exp
        residual.Hold(distance p (oneHot z.Length label), sqrt 2.0, 1e-15)
        let norm = spectral (entries p)
        hessian.Hold(norm, 0.5, 1e-15)), 200)
    hessian.Hold(spectral (entries [| 0.5; 0.5 |]), 0.5, 1e-15)
    residual.IsTight 0.99
    hessian.IsTight 0.99

[<Fact; Trait("kind", Exact)>]
let ``L1 constants EXACT: softmax regression is √2 |W|-Lipschitz and ½ |W|²-smooth in the images`` () =
    let slope = Bound "|∇x l| ≤ √2 |W|"
    let curve = Bound "∇x l is ½ |W|²-Lipschitz"
    let gradient (rows: float[][]) (x: float[]) label =
        let p = rows |> Array.map (fun row -> dot row x) |> logSoftmax |> Array.map exp
        let r = sub p (oneHot rows.Length label)
        Array.init x.Length (fun j -> rows |> Seq.mapi (fun k row -> r[k] * row[j]) |> Seq.sum)
    let measure rows x other label =
        slope.Hold(norm (gradient rows x label), sqrt 2.0 * spectral rows, 1e-14)
        curve.Hold(distance (gradient rows x label) (gradient rows other label), 0.5 * spectral rows ** 2.0 * distance x other, 1e-14)
    Property.Check(regressions, (fun c ->
        let random = Random(c.Seed)
        let rows = Array.init c.Classes (fun _ -> normals random c.Inputs |> scale c.WeightScale)
        let x = normals random c.Inputs
        measure rows x (axpy (if c.Seed % 2 = 0 then 0.01 else 2.0) (normals random c.Inputs) x) (random.Next c.Classes)), 200)
    measure [| [| -3.0 |]; [| 3.0 |] |] [| 9.0 |] [| 9.1 |] 0
    measure [| [| -3.0 |]; [| 3.0 |] |] [| 0.0 |] [| 1e-3 |] 0
    slope.IsTight 0.99
    curve.IsTight 0.99
