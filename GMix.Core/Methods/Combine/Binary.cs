using GMix.Torch;

namespace GMix.Methods;

// Binary selection: BG-Mix (Li & Tang 2023, eq. 15), and ESAM's data selection when nothing is mixed
//
//   s_i = l_i(w+ε) − l_i(w)
//   B₊  = the max(1, ⌊γ n⌋) examples with the largest s_i; ties to the lower index
//   d   = ∇ mean_{i ∈ B₊} l_i(w+ε)
//
//   default γ = 0.8 in the preset `fair`, 0.5 in `paper` (ESAM's setting; the paper's value is lost)
//   cost: recompute 2F + R + γ(F + R) — cheaper than G-Mix below γ = 2/3; reuse 2F + 2R
//   not for: γ near ½ with little data or few epochs: selection by sensitivity is a biased sample and converges about three times slower there

/// <summary>Only the examples whose loss reacts most to the perturbation count.</summary>
/// <param name="Gamma">γ in (0, 1]; 1 is <see cref="All"/>.</param>
/// <param name="Score">What ranks examples.</param>
/// <param name="Rounding">How γ n is rounded.</param>
/// <param name="Subset">How B₊ is run.</param>
/// <param name="Precision">How sensitivities are computed where training is in bfloat16.</param>
public sealed record Binary(double Gamma = 0.8, SelectionScore Score = SelectionScore.Sharpness, SelectionRounding Rounding = SelectionRounding.Floor, SubsetForward Subset = SubsetForward.Recompute,
    ScorePrecision Precision = ScorePrecision.Training) : Combine
{
    private Selection Selection => new(Gamma, Score, Rounding, Subset, Precision);

    /// <inheritdoc/>
    public override bool RunsParts => Subset == SubsetForward.Recompute;

    /// <inheritdoc/>
    public override Cost Cost => RunsParts && Gamma < 1 ? new(1 + Gamma, Gamma) : new(1, 1);

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        using var parts = pass.Select(Selection);
        return parts.GradientOfPlus();
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"Binary(gamma={Gamma:R}{Selection.Details})");
}
