using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// The gradient at w itself.
//   cost: nothing

/// <summary>Takes the gradient at w.</summary>
public sealed record NoPerturb : Perturb
{
    /// <inheritdoc/>
    public override bool Active => false;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at) => throw new InvalidOperationException("there is no perturbation");

    /// <inheritdoc/>
    public override string ToString() => "none";
}
