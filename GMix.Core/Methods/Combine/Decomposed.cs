using GMix.Torch;

namespace GMix.Methods;

// Decomposed selection: DG-Mix (Li & Tang 2023, eq. 16)
//
//   B₊, B₋ as in Binary
//   g₊ = ∇ mean_{B₊} l_i(w+ε),   g₋ = ∇ mean_{B₋} l_i(w+ε)
//   c  = <g₋, g₊> / |g₊|²        the part of g₋ along g₊; 0 where |g₊|² < 1e-24
//   d  = g₊ + κ (g₋ − c g₊)      adds what is orthogonal
//
//   defaults γ = 0.5, κ = 1 (no coefficient among the paper's hyper-parameters)
//   cost: recompute 2F + R + (F + R); reuse 2F + 3R
//   not for: a reading of d as the gradient of a fixed loss: it is not one

/// <summary>The gradient of the sensitive part plus the orthogonal part of the others' gradient.</summary>
/// <param name="Gamma">γ in (0, 1]; 1 is <see cref="All"/>.</param>
/// <param name="Kappa">κ, weight of the orthogonal part; 0 is <see cref="Binary"/>.</param>
/// <param name="Score">What ranks examples.</param>
/// <param name="Rounding">How γ n is rounded.</param>
/// <param name="Subset">How the parts are run.</param>
/// <param name="MinusAtBase">Takes g₋ at w instead of w + ε.</param>
/// <param name="MinusByBatch">Scales g₋ by |B₋| / |B₊|, its share of the batch.</param>
/// <param name="Precision">How sensitivities are computed where training is in bfloat16.</param>
public sealed record Decomposed(double Gamma = 0.5, double Kappa = 1, SelectionScore Score = SelectionScore.Sharpness, SelectionRounding Rounding = SelectionRounding.Floor,
    SubsetForward Subset = SubsetForward.Recompute, bool MinusAtBase = false, bool MinusByBatch = false, ScorePrecision Precision = ScorePrecision.Training) : Combine
{
    private Selection Selection => new(Gamma, Score, Rounding, Subset, Precision);

    /// <inheritdoc/>
    public override bool RunsParts => Subset == SubsetForward.Recompute || MinusAtBase;

    /// <inheritdoc/>
    public override Cost Cost => Gamma == 1 ? new(1, 1)
        : Subset == SubsetForward.Recompute ? new(2, 1)
        : MinusAtBase ? new(1 + (1 - Gamma), 1 + (1 - Gamma))
        : new(1, 2);

    /// <inheritdoc/>
    public override string PartsAdvice => MinusAtBase ? "take g₋ at w + ε, with --subset reuse" : base.PartsAdvice;

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        using var parts = pass.Select(Selection);
        var plus = parts.GradientOfPlus(retainGraph: true);
        if (parts.Minus is null) return plus;
        var minus = MinusAtBase ? parts.GradientOfMinusAtBase() : parts.GradientOfMinus();
        if (MinusByBatch) minus = minus * ((double)parts.Minus.Count / parts.Plus.Count);

        using var noGrad = Autograd.NoGrad();
        var (direction, projection, orthogonalNorm, minusNorm) = Vectors.Decompose(plus, minus, Kappa, Projection.Tiny);
        pass.Found["projection"] = projection;
        pass.Found["orthogonal_norm"] = orthogonalNorm;
        pass.Found["minus_norm"] = minusNorm;
        return direction;
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"Decomposed(gamma={Gamma:R}, kappa={Kappa:R}{Selection.Details}{(MinusAtBase ? ", minusAt=base" : "")}{(MinusByBatch ? ", minusScale=batch" : "")})");
}
