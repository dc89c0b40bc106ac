/// An independent implementation of the small perceptron, its losses and the methods' steps, on plain arrays, differentiated with
/// hyper-dual numbers. It knows the formulas of the methods and nothing of GMix.Core.
module GMix.Theory.Tests.Reference

open GMix.Theory.Tests.Vectors

type Activation = HyperDual -> HyperDual

/// Widths from the inputs to the classes, and what stands between layers.
type Net = { Widths: int list; Activation: Activation }

/// Soft-label cross-entropy of one example. Weights lie layer by layer, each matrix (out, in) row-major, then its bias.
let exampleLoss (net: Net) (w: HyperDual[]) (x: float[]) (y: float[]) =
    let mutable h = Array.map HyperDual.Constant x
    let mutable offset = 0
    let layers = List.pairwise net.Widths
    layers |> List.iteri (fun index (inputs, outputs) ->
        let z =
            Array.init outputs (fun o ->
                let mutable sum = w[offset + outputs * inputs + o]
                for i in 0 .. inputs - 1 do sum <- sum + w[offset + o * inputs + i] * h[i]
                sum)
        offset <- offset + outputs * inputs + outputs
        h <- if index < layers.Length - 1 then Array.map net.Activation z else z)
    // the shift cancels in exact arithmetic, also in the derivatives, so it may be a constant
    let shift = HyperDual.Constant(h |> Array.map (fun z -> z.Value) |> Array.max)
    let mutable total = HyperDual.Constant 0.0
    for z in h do total <- total + HyperDual.Exp(z - shift)
    let logTotal = HyperDual.Log total + shift
    let mutable loss = HyperDual.Constant 0.0
    for k in 0 .. y.Length - 1 do loss <- loss + y[k] * (logTotal - h[k])
    loss

/// l_i(w).
let losses net (w: float[]) (x: float[][]) (y: float[][]) =
    let constant = Array.map HyperDual.Constant w
    Array.map2 (fun x y -> (exampleLoss net constant x y).Value) x y

/// Seeds direction u on ε₁ and v on ε₂.
let private seeded (w: float[]) (u: float[]) (v: float[]) = Array.init w.Length (fun j -> HyperDual(w[j], u[j], v[j], 0.0))
let private axis length j = Array.init length (fun i -> if i = j then 1.0 else 0.0)

/// The mean over some rows of a derivative of the loss along u and v.
let private derivative pick net w (x: float[][]) (y: float[][]) (rows: int[]) u v =
    let at = seeded w u v
    rows |> Array.averageBy (fun i -> pick (exampleLoss net at x[i] y[i]))

/// <∇ mean loss, u>.
let slopeAlong net w (x: float[][]) (y: float[][]) rows u = derivative (fun (d: HyperDual) -> d.First) net w x y rows u u

/// ∇ of the mean loss over some rows, two partial derivatives a pass.
let gradient net (w: float[]) (x: float[][]) (y: float[][]) (rows: int[]) =
    let g = Array.zeroCreate w.Length
    for j in 0 .. 2 .. w.Length - 1 do
        let other = min (j + 1) (w.Length - 1)
        let at = seeded w (axis w.Length j) (axis w.Length other)
        for i in rows do
            let d = exampleLoss net at x[i] y[i]
            g[j] <- g[j] + d.First / float rows.Length
            if other <> j then g[other] <- g[other] + d.Second / float rows.Length
    g

/// ∇² v of the mean loss over some rows.
let hessianTimes net (w: float[]) (x: float[][]) (y: float[][]) rows (v: float[]) =
    Array.init w.Length (fun j -> derivative (fun d -> d.Mixed) net w x y rows (axis w.Length j) v)

/// What a step found.
type Step = { Direction: float[]; AtW: float[]; AtPerturbed: float[]; Selected: int[]; Projection: float }

/// max(1, ⌊γ n⌋) examples with the largest l_i(w+ε) − l_i(w), ties to the lower index, ascending.
let select gamma (atW: float[]) (atPerturbed: float[]) =
    let n = atW.Length
    let k = max 1 (int (floor (gamma * float n + 1e-9)))
    Seq.init n id
    |> Seq.sortWith (fun i j ->
        match compare (atPerturbed[j] - atW[j]) (atPerturbed[i] - atW[i]) with
        | 0 -> compare i j
        | order -> order)
    |> Seq.take k |> Seq.sort |> Array.ofSeq

/// One step of G-Mix, BG-Mix or DG-Mix on a vicinal batch without BatchNorm, where running B₊ alone equals running it within the batch.
let step name net (w: float[]) (x: float[][]) (y: float[][]) rho gamma kappa =
    let all = Array.init x.Length id
    let g = gradient net w x y all
    let moved = add w (ascent rho g)
    let atW, atPerturbed = losses net w x y, losses net moved x y
    let selected = match name with "gmix" -> all | _ -> select gamma atW atPerturbed
    let plus = gradient net moved x y selected
    let minus = Array.except selected all
    let direction, projection =
        match name with
        | "dgmix" when minus.Length > 0 ->
            let other = gradient net moved x y minus
            let squared = dot plus plus
            let c = if squared < 1e-24 then 0.0 else dot other plus / squared
            axpy kappa (axpy -c plus other) plus, c
        | _ -> plus, nan
    { Direction = direction; AtW = atW; AtPerturbed = atPerturbed; Selected = selected; Projection = projection }
