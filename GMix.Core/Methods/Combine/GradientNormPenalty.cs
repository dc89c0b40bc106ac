using GMix.Torch;

namespace GMix.Methods;

// Gradient-norm penalty (Zhao, Zhang, Hu: Penalizing gradient norm for efficiently improving generalization in deep learning, ICML 2022)
//
//   minimises L + λ |∇L|, its gradient by a finite difference along g:
//   g at w, g' at w + r g/|g|              r is SAM's ρ
//   d = (1 − a) g + a g'                   a = λ / r
//
//   defaults r = 0.1, a = 0.8 (zhaoyang-0204/gnp). Its flag norm_perturbations is on by default and then takes g/|g| for g; the README's
//   formula, taken here, does not (NormalizeBase does)
//   cost: as SAM, one forward and one backward more
//   not for: a = 1, which is SAM and needs no g

/// <summary>A mean of the gradients at w and at w + ε, which penalises the gradient's norm.</summary>
/// <param name="Balance">a, weight of the perturbed gradient, in [0, 1]; 1 is <see cref="All"/>.</param>
/// <param name="NormalizeBase">Takes g / |g| in place of g, as the published code does unless told otherwise.</param>
public sealed record GradientNormPenalty(double Balance = 0.8, bool NormalizeBase = false) : Combine
{
    /// <inheritdoc/>
    public override bool NeedsGradient => true;

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        var perturbed = pass.Gradient(pass.Losses());
        using var noGrad = Autograd.NoGrad();
        var at = NormalizeBase ? Sam.Ascent(pass.GradientAtW!, 1) : pass.GradientAtW!;
        return (at * (1 - Balance)).Add(perturbed, Balance);
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"GradientNormPenalty(balance={Balance:R}{(NormalizeBase ? ", normalised" : "")})");
}
