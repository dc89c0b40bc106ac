namespace GMix.Torch;

/// <summary>Algebra on long vectors, and mixing, in one pass over memory each (native/training/update.cpp). On a GPU the operators that they stand for run.</summary>
internal static class Vectors
{
    private static readonly Operator OpNorm = Operator.Find("gmix::norm"), OpDot = Operator.Find("gmix::dot"), OpMove = Operator.Find("gmix::move_"), OpSgd = Operator.Find("gmix::sgd_"), OpSgdRate = Operator.Find("gmix::sgd_", "rate"),
        OpDecompose = Operator.Find("gmix::decompose"), OpMixRows = Operator.Find("gmix::mix_rows");

    /// <summary>|x|, accumulated in float64 in an order that does not depend on the number of threads; a float64 scalar.</summary>
    public static Tensor Norm(Tensor x) => OpNorm.Call(x);

    /// <summary>⟨x, y⟩ likewise.</summary>
    public static Tensor Dot(Tensor x, Tensor y) => OpDot.Call(x, y);

    /// <summary>x + factor · y as a new vector; the factor, a float64 scalar, is rounded to the vectors' type first.</summary>
    public static Tensor Moved(Tensor x, Tensor y, Tensor factor)
    {
        var result = x.EmptyLike();
        OpMove.Run(result, x, y, factor);
        return result;
    }

    /// <summary>d' = d + decay · w; v ← momentum · v + d'; w ← w − rate · v, or with Nesterov w − rate (d' + momentum · v).</summary>
    public static void Descend(Tensor w, Tensor v, Tensor d, double rate, double momentum, double decay, bool nesterov) => OpSgd.Run(w, v, d, rate, momentum, decay, nesterov);

    /// <summary>The same with the rate a float64 scalar tensor.</summary>
    public static void Descend(Tensor w, Tensor v, Tensor d, Tensor rate, double momentum, double decay, bool nesterov) => OpSgdRate.Run(w, v, d, rate, momentum, decay, nesterov);

    /// <summary>With c = ⟨minus, plus⟩ / |plus|², 0 where |plus|² is below <paramref name="tiny"/>, and o = minus − c plus: plus + kappa o, c, |o| and |minus|.</summary>
    public static (Tensor Direction, Tensor Projection, Tensor OrthogonalNorm, Tensor MinusNorm) Decompose(Tensor plus, Tensor minus, double kappa, double tiny)
    {
        var r = OpDecompose.CallMany(4, plus, minus, kappa, tiny);
        return (r[0]!, r[1]!, r[2]!, r[3]!);
    }

    /// <summary>Row i becomes weight_i x_i + (1 − weight_i) x_partner(i).</summary>
    public static Tensor MixRows(Tensor x, Tensor partner, Tensor weight) => OpMixRows.Call(x, partner, weight);
}
