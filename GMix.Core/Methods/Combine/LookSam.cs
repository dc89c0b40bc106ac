using GMix.Torch;

namespace GMix.Methods;

// LookSAM (Liu, Mai, Chen, Hsieh, You: Towards efficient and scalable sharpness-aware minimization, CVPR 2022)
//
//   every k-th step (When):  g at w, g' at w + ε;  keep g_v = g' − (<g', g> / |g|²) g;  d = g'
//   in between:              d = g + a (|g| / |g_v|) g_v;  d = g where |g_v| < 1e-12, or where nothing was kept yet
//
//   defaults k = 5, a = 0.7, ρ = 0.1 (one reimplementation's usage; two others take k = 10)
//   Inner products over all weights together. Two public ports project tensor by tensor, and restore on every step the weights saved at the
//   last refresh, which throws the steps in between away
//   cost: per step F + R + (F + R)/k
//   not for: k so large that the sharp direction has turned away before it is used

/// <summary>Reuses the sharp direction of the last perturbed step in the steps between.</summary>
/// <param name="Alpha">a ≥ 0, length of the reused part relative to the gradient.</param>
public sealed record LookSam(double Alpha = 0.7) : Combine
{
    private const string Kept = "looksam.direction";

    /// <inheritdoc/>
    public override bool NeedsGradient => true;

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        var perturbed = pass.Gradient(pass.Losses());
        using var noGrad = Autograd.NoGrad();
        pass.State.Set(Kept, perturbed.OrthogonalTo(pass.GradientAtW!));
        return perturbed;
    }

    /// <inheritdoc/>
    public override Tensor Between(Tensor gradient, MethodState state)
    {
        if (state[Kept] is not { } kept) return gradient;
        var norm = kept.Norm();
        var tiny = norm.Lt(1e-12);
        var factor = (gradient.Norm() * Alpha / norm.MaskedFill(tiny, 1)).MaskedFill(tiny, 0);
        return gradient + kept * factor.To(gradient.DType);
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"LookSAM(alpha={Alpha:R})");
}
