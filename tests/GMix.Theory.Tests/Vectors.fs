/// Plain arrays as vectors and batches, for everything in the tests that is not libtorch.
module GMix.Theory.Tests.Vectors

open System
open MathNet.Numerics.LinearAlgebra

let dot (a: float[]) (b: float[]) =
    let mutable sum = 0.0
    for i in 0 .. a.Length - 1 do sum <- sum + a[i] * b[i]
    sum

let norm (a: float[]) = sqrt (dot a a)
let scale (s: float) (a: float[]) = Array.map (fun x -> s * x) a
let add (a: float[]) (b: float[]) = Array.map2 (+) a b
let sub (a: float[]) (b: float[]) = Array.map2 (-) a b
/// a + s b
let axpy (s: float) (b: float[]) (a: float[]) = Array.map2 (fun x y -> x + s * y) a b
let unit (a: float[]) = let n = norm a in if n = 0.0 then Array.map (fun _ -> 0.0) a else scale (1.0 / n) a
/// ρ g / (|g| + 1e-12), as SAM has it.
let ascent rho (g: float[]) = scale (rho / (norm g + 1e-12)) g
let distance a b = norm (sub a b)
let meanOf (rows: float[][]) = rows |> Array.reduce add |> scale (1.0 / float rows.Length)

let matrix (rows: float[][]) = Matrix<float>.Build.DenseOfRowArrays rows

/// The largest singular value.
let spectral (rows: float[][]) = (matrix rows).L2Norm()

/// Normal numbers from a seed.
let normals (random: Random) count = MathNet.Numerics.Distributions.Normal.Samples(random, 0.0, 1.0) |> Seq.take count |> Array.ofSeq

/// A uniform permutation.
let shuffled (random: Random) n =
    let p = Array.init n int64
    random.Shuffle p
    p

let oneHot classes label = Array.init classes (fun k -> if k = label then 1.0 else 0.0)

/// λ a_i + (1 − λ) a_π(i)
let mix (lambda: float) (permutation: int64[]) (rows: float[][]) =
    rows |> Array.mapi (fun i row -> Array.map2 (fun a b -> lambda * a + (1.0 - lambda) * b) row rows[int permutation[i]])

/// Ranks from 1, equal values sharing the mean of their ranks.
let ranks (v: float[]) =
    let order = Array.init v.Length id |> Array.sortBy (fun i -> v[i])
    let r = Array.zeroCreate v.Length
    let mutable i = 0
    while i < v.Length do
        let mutable j = i
        while j + 1 < v.Length && v[order[j + 1]] = v[order[i]] do j <- j + 1
        for k in i .. j do r[order[k]] <- float (i + j) / 2.0 + 1.0
        i <- j + 1
    r

/// Spearman's rank correlation; not a number where one side is constant.
let spearman (a: float[]) (b: float[]) = MathNet.Numerics.Statistics.Correlation.Pearson(ranks a, ranks b)

/// The slope of ln y against ln x by least squares.
let logSlope (x: float[]) (y: float[]) =
    let struct (_, slope) = MathNet.Numerics.Fit.Line(Array.map log x, Array.map log y)
    slope
