using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// AMP, adversarial model perturbation (Zheng, Zhang, Mao: Regularizing neural networks via adversarial model perturbation, CVPR 2021)
//
//   ε = 0
//   N times: ε ← ε + ζ ∇L(w + ε), then scaled back to |ε| = ρ where it is longer
//   the training gradient is taken at w + ε
//
//   defaults ρ = 0.5, ζ = 1, N = 1 (hiyouga/AMP-Regularizer, where ρ is called epsilon). One ball over all weights, as in the paper; that code
//   has a ball per tensor (PerTensor)
//   cost: N forwards and backwards more
//   not for: a step shorter than the ball, ζ |∇L| < ρ, if a fixed length is wanted: unlike SAM, AMP only ever shortens

/// <summary>Several plain ascent steps within a ball.</summary>
/// <param name="Rho">ρ ≥ 0, the ball's radius.</param>
/// <param name="StepSize">ζ > 0.</param>
/// <param name="Steps">N ≥ 0; 0 perturbs nothing.</param>
/// <param name="PerTensor">A ball for each parameter tensor instead of one for all.</param>
public sealed record Amp(double Rho = 0.5, double StepSize = 1, int Steps = 1, bool PerTensor = false) : Perturb
{
    /// <inheritdoc/>
    public override bool Active => Steps > 0;

    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override int Ascents => Steps;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at) => Project(weights, gradient * StepSize);

    /// <inheritdoc/>
    public override Tensor Further(ParameterVector weights, Tensor epsilon, Tensor gradient, StepContext at) => Project(weights, epsilon.Add(gradient, StepSize));

    private Tensor Project(ParameterVector weights, Tensor epsilon)
    {
        if (!PerTensor) return epsilon.MultiplyInPlace(Shrink(epsilon));
        foreach (var part in weights.Parts)
        {
            var stretch = epsilon.Narrow(0, part.Offset, part.Parameter.Count);
            stretch.MultiplyInPlace(Shrink(stretch));
        }
        return epsilon;
    }

    /// <summary>ρ / max(|v|, ρ): exactly 1 within the ball.</summary>
    private Tensor Shrink(Tensor v) =>
        (Tensor.Scalar(Rho, DType.Float64, v.Device) / v.Norm().Clamp(Math.Max(Rho, double.Epsilon), double.PositiveInfinity)).To(v.DType);

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"AMP(rho={Rho:R}, step={StepSize:R}, steps={Steps}{(PerTensor ? ", per tensor" : "")}{Details})");
}
