/// Forward-mode differentiation without a graph: numbers a + b ε₁ + c ε₂ + d ε₁ε₂ with ε₁² = ε₂² = 0 carry two first derivatives and one
/// second derivative exactly. It shares nothing with libtorch.
namespace GMix.Theory.Tests

open System

/// A value with its derivatives along two directions and the mixed second derivative.
[<Struct; NoEquality; NoComparison>]
type HyperDual =
    val Value: float
    val First: float
    val Second: float
    val Mixed: float
    new(value, first, second, mixed) = { Value = value; First = first; Second = second; Mixed = mixed }

    static member Constant(v: float) = HyperDual(v, 0.0, 0.0, 0.0)

    static member (+)(x: HyperDual, y: HyperDual) = HyperDual(x.Value + y.Value, x.First + y.First, x.Second + y.Second, x.Mixed + y.Mixed)
    static member (-)(x: HyperDual, y: HyperDual) = HyperDual(x.Value - y.Value, x.First - y.First, x.Second - y.Second, x.Mixed - y.Mixed)
    static member (*)(x: HyperDual, y: HyperDual) =
        HyperDual(
            x.Value * y.Value,
            x.Value * y.First + x.First * y.Value,
            x.Value * y.Second + x.Second * y.Value,
            x.Value * y.Mixed + x.First * y.Second + x.Second * y.First + x.Mixed * y.Value)
    static member (*)(s: float, x: HyperDual) = HyperDual(s * x.Value, s * x.First, s * x.Second, s * x.Mixed)

    /// f(x) from f, f′ and f″ at x.Value.
    static member Apply(x: HyperDual, f: float, f1: float, f2: float) =
        HyperDual(f, f1 * x.First, f1 * x.Second, f1 * x.Mixed + f2 * x.First * x.Second)

    static member Exp(x: HyperDual) = let e = exp x.Value in HyperDual.Apply(x, e, e, e)
    static member Log(x: HyperDual) = HyperDual.Apply(x, log x.Value, 1.0 / x.Value, -1.0 / (x.Value * x.Value))
    static member Tanh(x: HyperDual) =
        let t = tanh x.Value
        HyperDual.Apply(x, t, 1.0 - t * t, -2.0 * t * (1.0 - t * t))
    /// ln(1 + eˣ)
    static member Softplus(x: HyperDual) =
        let s = 1.0 / (1.0 + exp -x.Value)
        HyperDual.Apply(x, max x.Value 0.0 + Math.Log(1.0 + exp -(abs x.Value)), s, s * (1.0 - s))
    /// x Φ(x)
    static member Gelu(x: HyperDual) =
        let v = x.Value
        let cumulative = 0.5 * (1.0 + MathNet.Numerics.SpecialFunctions.Erf(v / sqrt 2.0))
        let density = exp (-0.5 * v * v) / sqrt (2.0 * Math.PI)
        HyperDual.Apply(x, v * cumulative, cumulative + v * density, density * (2.0 - v * v))
