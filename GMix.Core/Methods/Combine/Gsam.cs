using GMix.Torch;

namespace GMix.Methods;

// GSAM, surrogate gap guided sharpness-aware minimisation (Zhuang et al., ICLR 2022)
//
//   g at w, g' at w + ε
//   g⊥ = g − (<g, g'> / |g'|²) g'          what of the clean gradient is orthogonal to the perturbed one
//   d  = g' − α_g g⊥                       lowers the gap between the two losses without raising the perturbed one
//
//   defaults α_g = 0.4 (juntang-zhuang/GSAM's example), ρ from 0.1 at the peak learning rate to 0.01 (no CIFAR recipe published with the port:
//   a reading); the radius is Sam's RhoMin
//   cost: as SAM, one forward and one backward more
//   not for: a reading as DG-Mix's decomposition: that one adds an orthogonal part of another set of examples

/// <summary>The perturbed gradient, less the clean gradient's part that is orthogonal to it.</summary>
/// <param name="Alpha">α_g; 0 is <see cref="All"/>.</param>
public sealed record Gsam(double Alpha = 0.4) : Combine
{
    /// <inheritdoc/>
    public override bool NeedsGradient => true;

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        var perturbed = pass.Gradient(pass.Losses());
        using var noGrad = Autograd.NoGrad();
        var orthogonal = pass.GradientAtW!.OrthogonalTo(perturbed);
        pass.Found["orthogonal_norm"] = orthogonal.Norm();
        return perturbed.Add(orthogonal, -Alpha);
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"GSAM(alpha={Alpha:R})");
}
