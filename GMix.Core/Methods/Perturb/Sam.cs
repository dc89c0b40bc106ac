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
//   with RhoMin (GSAM's schedule) the radius follows the learning rate: ρ_t = ρ_min + (ρ − ρ_min) lr_t / lr_peak
//   cost: one forward and one backward more
//   not for: a budget of one pass per step (see When), or ρ so large that w + ε leaves the region where training works

/// <summary>One normalised ascent step of length ρ.</summary>
/// <param name="Rho">ρ ≥ 0; at 0 the gradient is the one at w.</param>
/// <param name="RhoMin">ρ at learning rate 0, where ρ follows the learning rate; null for a constant ρ.</param>
public sealed record Sam(double Rho = 0.05, double? RhoMin = null) : Perturb
{
    internal const double Delta = 1e-12;

    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at) =>
        gradient * Factor(Vectors.Norm(gradient), at)!.To(gradient.DType);

    /// <inheritdoc/>
    public override Tensor? Factor(Tensor gradientNorm, StepContext at) => RhoMin is null ? Rho / (gradientNorm + Delta)
        : at.OnDevice("rho", gradientNorm.Device, a => Tensor.Scalar(RadiusAt(a), DType.Float64)) / (gradientNorm + Delta);

    /// <summary>ρ of a step.</summary>
    public double RadiusAt(StepContext at) => RhoMin is { } low && at.PeakLearningRate > 0 ? low + (Rho - low) * Math.Clamp(at.LearningRate / at.PeakLearningRate, 0, 1) : Rho;

    /// <summary>ρ g / (|g| + δ).</summary>
    internal static Tensor Ascent(Tensor gradient, double rho) => gradient * (rho / (Vectors.Norm(gradient) + Delta)).To(gradient.DType);

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"SAM(rho={(RhoMin is null ? "" : $"{RhoMin:R}..")}{Rho:R}{Details})");
}
