using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// Stochastic weight perturbation: the first half of ESAM (Du et al.: Efficient sharpness-aware minimization for improved training of neural
// networks, ICLR 2022); Binary is the other half
//
//   ε = (1/β) m ∘ ρ g / |g|,  m = 1 with probability β, else 0; drawn per parameter tensor, or per element
//   the training gradient is taken at w + ε
//
//   defaults ρ = 0.05, β = 0.6 (dydjw9/Efficient_SAM; 0.1 and 0.5 for its WideResNet), masks per tensor as in that code
//   The mean of ε over masks is SAM's; |ε| ≤ ρ/β. That code instead switches a tensor's gradient off for the next first pass, which saves
//   time but leaves the tensor out of the norm too
//   cost: as SAM; the saving comes from Binary
//   not for: networks of very few tensors, where a mask per tensor often leaves nothing (use per element)

/// <summary>SAM on a random part of the weights.</summary>
/// <param name="Rho">ρ ≥ 0.</param>
/// <param name="Beta">β in (0, 1]: the probability that a weight is perturbed; 1 is <see cref="Sam"/>.</param>
/// <param name="PerElement">Draws the mask per element instead of per tensor.</param>
public sealed record MaskedSam(double Rho = 0.05, double Beta = 0.6, bool PerElement = false) : Perturb
{
    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at)
    {
        var epsilon = Sam.Ascent(gradient, Rho);
        return Beta == 1 ? epsilon : epsilon * Mask(weights, at.Draw) * (1 / Beta);
    }

    private Tensor Mask(ParameterVector weights, Draw draw)
    {
        var (length, type, device) = (weights.Length, weights.Value.DType, weights.Value.Device);
        if (!PerElement) return draw.OnDevice("weight mask", device, d =>
        {
            var random = new CounterRandom((long)d.Seed, DrawStream.WeightMask);
            return weights.PerPart(_ => random.NextDouble() < Beta ? 1 : 0);
        });
        return draw.OnDevice("weight mask", device, d =>
        {
            using var generator = new Generator(device);
            return Tensor.Bernoulli([length], Beta, generator.Seed(d.SeedFor(DrawStream.WeightMask)), type, device);
        });
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"MaskedSAM(rho={Rho:R}, beta={Beta:R}{(PerElement ? ", per element" : "")}{Details})");
}
