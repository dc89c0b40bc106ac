using GMix.Torch;

namespace GMix.Methods;

// All examples count: the gradient of the mean loss of the whole vicinal batch.
//
//   d = ∇ mean_i l_i(w + ε)        or at w, where nothing is perturbed
//
//   cost: one forward, one backward (none more without a perturbation)

/// <summary>The gradient of the mean over the whole batch.</summary>
public sealed record All : Combine
{
    /// <inheritdoc/>
    public override bool NeedsPerturb => false;

    /// <inheritdoc/>
    public override Tensor Direction(SecondPass pass)
    {
        var losses = pass.Losses();
        return pass.Gradient(losses);
    }

    /// <inheritdoc/>
    public override string ToString() => "all";
}
