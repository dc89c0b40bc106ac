using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// SAM (Foret, Kleiner, Mobahi, Neyshabur: Sharpness-aware minimization, ICLR 2021)
//
//   g = ∇L(w)                      first pass
//   ε = ρ g / (|g| + 1e-12)        |·| over all weights together; ε = 0 where g = 0
//   the training gradient is taken at w + ε
//
//   default ρ = 0.05 (davda54/sam; SamsungLabs/ASAM uses 0.05 on CIFAR-10, 0.1 on CIFAR-100)
//   cost: one forward and one backward more
//   not for: a budget of one pass per step (see When), or ρ so large that w + ε leaves the region where training works

/// <summary>One normalised ascent step of length ρ.</summary>
/// <param name="Rho">ρ ≥ 0; at 0 the gradient is the one at w.</param>
public sealed record Sam(double Rho = 0.05) : Perturb
{
    internal const double Delta = 1e-12;

    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at) => Ascent(gradient, Rho);

    /// <summary>ρ g / (|g| + δ).</summary>
    internal static Tensor Ascent(Tensor gradient, double rho) => gradient * (rho / (gradient.Norm() + Delta)).To(gradient.DType);

    /// <inheritdoc/>
    public override string ToString() => $"SAM(rho={Rho:R}{Details})";
}
