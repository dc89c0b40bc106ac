using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// ASAM (Kwon, Kim, Park, Choi: ASAM: Adaptive sharpness-aware minimization for scale-invariant learning, ICML 2021)
//
//   T = |w| + η, element by element
//   ε = ρ T² g / (|T g| + 1e-12)
//   the training gradient is taken at w + ε
//
//   defaults ρ = 0.5, η = 0.01 (SamsungLabs/ASAM on CIFAR-10; ρ = 1 on CIFAR-100; its script has η = 0)
//   (that code has 1e-16 in the denominator; 1e-12 here as for SAM)
//   T on every tensor here: with η = 0 that is invariant under rescalings that leave a ReLU network's function as it is, biases included.
//   The official code has T = 1 on tensors that are not named "weight"; WeightsOnly does the same
//   cost: as SAM, one forward and one backward more
//   not for: a comparison with SAM at one ρ: ASAM's is about ten times larger

/// <summary>An ascent step measured relative to each weight's size.</summary>
/// <param name="Rho">ρ ≥ 0.</param>
/// <param name="Eta">η ≥ 0, keeps weights near 0 movable.</param>
/// <param name="WeightsOnly">T = 1 for biases, as the official code.</param>
public sealed record Asam(double Rho = 0.5, double Eta = 0.01, bool WeightsOnly = false) : Perturb
{
    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at)
    {
        var scale = weights.Value.Abs() + Eta;
        if (WeightsOnly)
        {
            var named = weights.PerPart(p => p.Name.Contains("weight", StringComparison.Ordinal) ? 1 : 0);
            scale = scale * named + (1 - named);
        }
        var scaled = scale * gradient;
        return scale * scaled * (Rho / (scaled.Norm() + Sam.Delta)).To(gradient.DType);
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"ASAM(rho={Rho:R}, eta={Eta:R}{(WeightsOnly ? ", weights only" : "")}{Details})");
}
