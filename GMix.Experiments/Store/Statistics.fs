namespace GMix.Experiments

open System
open MathNet.Numerics
open MathNet.Numerics.Distributions
open MathNet.Numerics.Integration
open MathNet.Numerics.RootFinding
open MathNet.Numerics.Statistics

/// Mean and standard deviation (n-1) over seeds; None for the deviation of a single value.
type Spread =
    { Mean: float
      Std: float option
      N: int }

/// A closed interval.
type Interval =
    { Low: float
      High: float }

    member interval.Excludes x = x < interval.Low || x > interval.High

/// What a paired comparison allows one to say.
[<RequireQualifiedAccess>]
type Verdict =
    | Better
    | Worse
    | NotDistinguishable

/// The difference first - second over the seeds they share.
type PairedDifference =
    { Mean: float
      N: int
      /// Bootstrap interval (BCa); None with fewer than two pairs.
      Bootstrap: Interval option
      /// Student's interval for the mean difference; None with fewer than two pairs.
      Student: Interval option
      Verdict: Verdict }

/// Friedman's test over blocks (rows: a data set, model and seed) and treatments (columns: methods).
type FriedmanResult =
    { Blocks: int
      Treatments: int
      /// Mean rank per treatment, 1 = best.
      MeanRanks: float[]
      ChiSquare: float
      PValue: float
      /// Two mean ranks further apart than this differ (Nemenyi) at the level asked for.
      CriticalDifference: float }

/// Page's test that treatments are ordered as claimed.
type PageResult =
    { L: float
      Z: float
      /// One-sided: the chance of so ordered a result when the order does not matter.
      PValue: float }

[<RequireQualifiedAccess>]
module Statistics =
    let spread (values: seq<float>) : Spread =
        let values = Array.ofSeq values
        if values.Length = 0 then invalidArg (nameof values) "at least one value is needed"
        { Mean = ArrayStatistics.Mean values
          Std = (if values.Length > 1 then Some(ArrayStatistics.StandardDeviation values) else None)
          N = values.Length }

    /// Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), with `resamples` draws from `seed`.
    /// Values that are all equal give a point.
    let bootstrapMean (seed: int) (resamples: int) (confidence: float) (values: float[]) : Interval =
        if values.Length < 2 then invalidArg (nameof values) "at least two values are needed"
        if not (confidence > 0.0 && confidence < 1.0) then invalidArg (nameof confidence) "between 0 and 1"
        let n = values.Length
        let mean = ArrayStatistics.Mean values
        let random = Random.MersenneTwister(seed, false)
        let draws =
            Array.init resamples (fun _ ->
                let mutable sum = 0.0
                for _ in 1..n do
                    sum <- sum + values[random.Next n]
                sum / float n)
        Array.sortInPlace draws
        // half of the ties with the mean count as below it, else a small discrete sample looks biased
        let below = draws |> Array.sumBy (fun d -> if d < mean then 1.0 elif d = mean then 0.5 else 0.0)
        let share = Math.Clamp(below / float resamples, 0.5 / float resamples, 1.0 - 0.5 / float resamples)
        let bias = Normal.InvCDF(0.0, 1.0, share)
        let acceleration =
            // jackknife means of a sample: (sum - x_i) / (n - 1); their deviations are -(x_i - mean) / (n - 1)
            let deviations = values |> Array.map (fun x -> (x - mean) / float (n - 1))
            let squares = deviations |> Array.sumBy (fun d -> d * d)
            if squares = 0.0 then 0.0 else (deviations |> Array.sumBy (fun d -> d * d * d)) / (6.0 * Math.Pow(squares, 1.5))
        let bound tail =
            let z = bias + Normal.InvCDF(0.0, 1.0, tail)
            let level = Normal.CDF(0.0, 1.0, bias + z / (1.0 - acceleration * z))
            SortedArrayStatistics.Quantile(draws, level)
        let tail = (1.0 - confidence) / 2.0
        { Low = bound tail; High = bound (1.0 - tail) }

    /// Student's interval of the mean.
    let studentMean (confidence: float) (values: float[]) : Interval =
        if values.Length < 2 then invalidArg (nameof values) "at least two values are needed"
        let mean = ArrayStatistics.Mean values
        let error = ArrayStatistics.StandardDeviation values / sqrt (float values.Length)
        let t = StudentT.InvCDF(0.0, 1.0, float (values.Length - 1), 1.0 - (1.0 - confidence) / 2.0)
        { Low = mean - t * error; High = mean + t * error }

    /// Paired comparison of `first` with `second` (same seeds, same order; higher is better) at 95 %.
    /// Better or worse is said only when the bootstrap interval and Student's interval both exclude zero: with a handful of seeds the
    /// bootstrap alone is too narrow (three differences of one sign always exclude zero).
    let pairedDifference (first: float[]) (second: float[]) : PairedDifference =
        if first.Length <> second.Length || first.Length = 0 then
            invalidArg (nameof second) "as many values as the first, and at least one"
        let differences = Array.map2 (-) first second
        let mean = ArrayStatistics.Mean differences
        if differences.Length < 2 then
            { Mean = mean; N = 1; Bootstrap = None; Student = None; Verdict = Verdict.NotDistinguishable }
        else
            let bootstrap = bootstrapMean 20230806 10000 0.95 differences
            let student = studentMean 0.95 differences
            let verdict =
                if not (bootstrap.Excludes 0.0 && student.Excludes 0.0) then Verdict.NotDistinguishable
                elif mean > 0.0 then Verdict.Better
                else Verdict.Worse
            { Mean = mean; N = differences.Length; Bootstrap = Some bootstrap; Student = Some student; Verdict = verdict }

    /// Wilson's score interval for `successes` of `trials`, as shares.
    let wilson (confidence: float) (successes: float) (trials: int) : Interval =
        if trials < 1 || successes < 0.0 || successes > float trials then
            invalidArg (nameof successes) "between 0 and the number of trials"
        let z = Normal.InvCDF(0.0, 1.0, 1.0 - (1.0 - confidence) / 2.0)
        let n = float trials
        let p = successes / n
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n)
        let half = z / (1.0 + z * z / n) * sqrt (p * (1.0 - p) / n + z * z / (4.0 * n * n))
        { Low = max 0.0 (centre - half); High = min 1.0 (centre + half) }

    /// Spearman's rank correlation; ties get mean ranks.
    let spearman (first: float[]) (second: float[]) = Correlation.Spearman(first, second)

    /// P(Q <= q) for the studentized range of `k` normals with infinite degrees of freedom: k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz.
    let studentizedRangeCdf (k: int) (q: float) =
        if k < 2 then invalidArg (nameof k) "at least two groups"
        if q <= 0.0 then 0.0
        else
            let density z =
                Normal.PDF(0.0, 1.0, z) * Math.Pow(Normal.CDF(0.0, 1.0, z) - Normal.CDF(0.0, 1.0, z - q), float (k - 1))
            // φ is below 1e-17 outside ±8.5
            Math.Clamp(float k * GaussLegendreRule.Integrate(density, -8.5, 8.5, 128), 0.0, 1.0)

    /// The upper `alpha` point of the studentized range with infinite degrees of freedom.
    let studentizedRangeQuantile (k: int) (alpha: float) =
        Brent.FindRoot((fun q -> studentizedRangeCdf k q - (1.0 - alpha)), 1e-6, 50.0, 1e-10, 200)

    /// Nemenyi's critical difference of mean ranks: q(alpha, k, ∞)/√2 · √(k(k+1)/(6N)) (Demšar 2006).
    let nemenyiCriticalDifference (alpha: float) (treatments: int) (blocks: int) =
        studentizedRangeQuantile treatments alpha / sqrt 2.0
        * sqrt (float (treatments * (treatments + 1)) / (6.0 * float blocks))

    /// Ranks of one block, 1 = largest value; ties share their mean rank.
    let private descendingRanks (row: float[]) = ArrayStatistics.RanksInplace(row |> Array.map (~-), RankDefinition.Average)

    let private checkTable (table: float[][]) =
        if table.Length < 2 || table[0].Length < 2 || table |> Array.exists (fun row -> row.Length <> table[0].Length) then
            invalidArg (nameof table) "at least two blocks of equally many, at least two treatments"

    /// Friedman's test with the correction for ties; higher values are better and get lower ranks. `table`: blocks × treatments.
    let friedman (alpha: float) (table: float[][]) : FriedmanResult =
        checkTable table
        let n, k = table.Length, table[0].Length
        let ranks = table |> Array.map descendingRanks
        let meanRanks = Array.init k (fun j -> ranks |> Array.averageBy (fun row -> row[j]))
        let centre = float (k + 1) / 2.0
        let between = float n * (meanRanks |> Array.sumBy (fun r -> (r - centre) ** 2.0))
        let within = ranks |> Array.sumBy (Array.sumBy (fun r -> (r - centre) ** 2.0)) |> fun s -> s / float (n * (k - 1))
        // every block wholly tied: nothing speaks against equality
        let chiSquare = if within = 0.0 then 0.0 else between / within
        { Blocks = n
          Treatments = k
          MeanRanks = meanRanks
          ChiSquare = chiSquare
          PValue = 1.0 - ChiSquared.CDF(float (k - 1), chiSquare)
          CriticalDifference = nemenyiCriticalDifference alpha k n }

    /// Page's L for the claim that the columns of `table` are in ascending order (last is best), by its normal approximation.
    let page (table: float[][]) : PageResult =
        checkTable table
        let n, k = float table.Length, float table[0].Length
        let ascending (row: float[]) = ArrayStatistics.RanksInplace(Array.copy row, RankDefinition.Average)
        let l = table |> Array.sumBy (fun row -> ascending row |> Array.mapi (fun j r -> float (j + 1) * r) |> Array.sum)
        let mean = n * k * (k + 1.0) ** 2.0 / 4.0
        let variance = n * k * k * (k + 1.0) ** 2.0 * (k - 1.0) / 144.0
        let z = (l - mean) / sqrt variance
        { L = l; Z = z; PValue = 1.0 - Normal.CDF(0.0, 1.0, z) }
