module GMix.Experiments.Tests.StatisticsTests

open System
open Xunit
open FsCheck
open FsCheck.FSharp
open GMix.Experiments

let private close (expected: float) (tolerance: float) (actual: float) =
    Assert.True(abs (expected - actual) <= tolerance, $"expected {expected}, got {actual}")

[<Fact>]
let ``spread is the mean and the n-1 deviation`` () =
    let s = Statistics.spread [ 2.0; 4.0; 9.0 ]
    close 5.0 1e-12 s.Mean
    close (sqrt 13.0) 1e-12 s.Std.Value // ((-3)² + (-1)² + 4²) / 2
    Assert.Equal(3, s.N)
    Assert.Equal(None, (Statistics.spread [ 2.0 ]).Std)

[<Fact>]
let ``Wilson's interval of 8 in 10`` () =
    // centre (0.8 + z²/20) / (1 + z²/10) with z = 1.959964 is 0.71674, half-width 0.22659
    let i = Statistics.wilson 0.95 8.0 10
    close 0.490162 1e-5 i.Low
    close 0.943318 1e-5 i.High
    let none = Statistics.wilson 0.95 0.0 10
    close 0.0 1e-12 none.Low
    close 0.277533 1e-5 none.High // z² / (n + z²)

[<Theory>]
// Demšar (2006), table 5: q at 5 % divided by √2
[<InlineData(2, 0.05, 1.960)>]
[<InlineData(3, 0.05, 2.343)>]
[<InlineData(4, 0.05, 2.569)>]
[<InlineData(5, 0.05, 2.728)>]
[<InlineData(6, 0.05, 2.850)>]
[<InlineData(10, 0.05, 3.164)>]
[<InlineData(6, 0.10, 2.589)>]
let ``the studentized range gives the published critical values`` (k: int, alpha: float, published: float) =
    close published 1e-3 (Statistics.studentizedRangeQuantile k alpha / sqrt 2.0)

[<Fact>]
let ``the studentized range of two groups is that of a normal difference`` () =
    for q in [ 0.3; 1.0; 2.5; 4.0 ] do
        // P(|Z₁ - Z₂| <= q) = 2 Φ(q/√2) - 1
        let expected = 2.0 * MathNet.Numerics.Distributions.Normal.CDF(0.0, 1.0, q / sqrt 2.0) - 1.0
        close expected 1e-9 (Statistics.studentizedRangeCdf 2 q)

[<Fact>]
let ``Friedman on a table worked by hand`` () =
    // ranks (1 = largest): (3,2,1) (3,2,1) (2,3,1) (3,1,2): sums 11, 8, 5
    let table = [| [| 1.0; 2.0; 3.0 |]; [| 1.0; 2.0; 3.0 |]; [| 2.0; 1.0; 3.0 |]; [| 1.0; 3.0; 2.0 |] |]
    let f = Statistics.friedman 0.05 table
    Assert.Equal<float[]>([| 2.75; 2.0; 1.25 |], f.MeanRanks)
    close 4.5 1e-12 f.ChiSquare // 12/(4·3·4) · (121 + 64 + 25) - 3·4·4
    close (exp -2.25) 1e-12 f.PValue // chi-square with two degrees of freedom
    close (2.343 * sqrt (12.0 / 24.0)) 1e-3 f.CriticalDifference

[<Fact>]
let ``Friedman with ties uses mean ranks and the correction`` () =
    // ranks (1.5, 1.5, 3) twice: between = 2·(2·0.25 + 1), within = 2·(2·0.25 + 1)/(2·2), so the statistic is 4
    let f = Statistics.friedman 0.05 [| [| 5.0; 5.0; 1.0 |]; [| 7.0; 7.0; 2.0 |] |]
    Assert.Equal<float[]>([| 1.5; 1.5; 3.0 |], f.MeanRanks)
    close 4.0 1e-12 f.ChiSquare
    let equal = Statistics.friedman 0.05 [| [| 5.0; 5.0 |]; [| 7.0; 7.0 |] |]
    Assert.Equal(0.0, equal.ChiSquare)
    close 1.0 1e-12 equal.PValue

[<Fact>]
let ``Page's test on a perfect order`` () =
    // L = n·k(k+1)(2k+1)/6 = 4·14; mean 4·3·16/4 = 48; variance 4·9·16·2/144 = 8
    let p = Statistics.page (Array.init 4 (fun i -> [| 1.0; 2.0; 3.0 |] |> Array.map ((+) (float i))))
    close 56.0 1e-12 p.L
    close (8.0 / sqrt 8.0) 1e-12 p.Z
    Assert.True(p.PValue < 0.01)

[<Fact>]
let ``Spearman with a swap`` () = close 0.8 1e-12 (Statistics.spearman [| 1.0; 2.0; 3.0; 4.0 |] [| 10.0; 20.0; 40.0; 30.0 |])

[<Fact>]
let ``Student's interval of three values`` () =
    // mean 2, standard error 1/√3, t(2, 97.5 %) = 4.302653
    let i = Statistics.studentMean 0.95 [| 1.0; 2.0; 3.0 |]
    close (2.0 - 4.302653 / sqrt 3.0) 1e-5 i.Low
    close (2.0 + 4.302653 / sqrt 3.0) 1e-5 i.High

[<Fact>]
let ``the bootstrap interval is replayable and near the normal one for a large symmetric sample`` () =
    let values = Array.init 400 (fun i -> MathNet.Numerics.Distributions.Normal.InvCDF(3.0, 2.0, (float i + 0.5) / 400.0))
    let i = Statistics.bootstrapMean 1 4000 0.95 values
    Assert.Equal(i, Statistics.bootstrapMean 1 4000 0.95 values)
    close (3.0 - 1.96 * 2.0 / 20.0) 0.02 i.Low
    close (3.0 + 1.96 * 2.0 / 20.0) 0.02 i.High

[<Fact>]
let ``the bootstrap leans to the long tail of a skewed sample`` () =
    let values = Array.init 30 (fun i -> -log (1.0 - (float i + 0.5) / 30.0))
    let mean = Array.average values
    let i = Statistics.bootstrapMean 1 8000 0.95 values
    Assert.True(i.High - mean > (mean - i.Low) * 1.1)

[<Fact>]
let ``equal differences give a point`` () =
    let i = Statistics.bootstrapMean 1 500 0.95 [| 0.5; 0.5; 0.5 |]
    Assert.Equal({ Low = 0.5; High = 0.5 }, i)

[<Fact>]
let ``verdicts`` () =
    let verdict a b = (Statistics.pairedDifference a b).Verdict
    Assert.Equal(Verdict.Better, verdict [| 2.0; 2.1; 1.9; 2.05 |] [| 1.0; 1.0; 1.0; 1.0 |])
    Assert.Equal(Verdict.Worse, verdict [| 1.0; 1.0; 1.0; 1.0 |] [| 2.0; 2.1; 1.9; 2.05 |])
    // three differences of one sign: the bootstrap alone would call this better
    let few = Statistics.pairedDifference [| 1.1; 1.5; 3.0 |] [| 1.0; 1.0; 1.0 |]
    Assert.True(few.Bootstrap.Value.Excludes 0.0)
    Assert.Equal(Verdict.NotDistinguishable, few.Verdict)
    let one = Statistics.pairedDifference [| 5.0 |] [| 1.0 |]
    Assert.Equal((1, None, Verdict.NotDistinguishable), (one.N, one.Bootstrap, one.Verdict))

/// Runs a property; a failure's message says how to replay it.
let private check (property: 'a) = Check.One(Config.QuickThrowOnFailure.WithMaxTest 60, property)

[<Fact>]
let ``a paired difference changes sign with its sides`` () =
    let pairs = Gen.choose (-300, 300) |> Gen.map (fun i -> float i / 10.0) |> Gen.two |> Gen.listOfLength 6
    check (Prop.forAll (Arb.fromGen pairs) (fun pairs ->
        let a, b = List.unzip pairs
        let a, b = Array.ofList a, Array.ofList b
        let forward, backward = Statistics.pairedDifference a b, Statistics.pairedDifference b a
        abs (forward.Mean + backward.Mean) < 1e-9
        && (forward.Verdict = Verdict.Better) = (forward.Verdict <> Verdict.NotDistinguishable && forward.Mean > 0.0)
        && forward.Bootstrap.Value.Low <= forward.Bootstrap.Value.High))

[<Fact>]
let ``Friedman does not see a monotone change of scale`` () =
    let table = Gen.choose (0, 50) |> Gen.map float |> Gen.arrayOfLength 4 |> Gen.arrayOfLength 5
    check (Prop.forAll (Arb.fromGen table) (fun table ->
        let f = Statistics.friedman 0.05 table
        let g = Statistics.friedman 0.05 (table |> Array.map (Array.map (fun v -> v * v * v + 1.0)))
        abs (f.ChiSquare - g.ChiSquare) < 1e-9
        && abs (Array.sum f.MeanRanks - 10.0) < 1e-9))
