using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Settings of <see cref="Sgd"/>; defaults as the original Mixup script has them.</summary>
/// <param name="Momentum">μ in [0, 1).</param>
/// <param name="WeightDecay">λ ≥ 0, added as λ w to the final gradient at the unperturbed weights.</param>
/// <param name="Nesterov">Nesterov's variant.</param>
/// <param name="ClipNorm">Largest norm of the final gradient, before weight decay; 0 for none.</param>
public sealed record SgdOptions(double Momentum = 0.9, double WeightDecay = 1e-4, bool Nesterov = false, double ClipNorm = 0);

/// <summary>
/// Stochastic gradient descent with momentum in PyTorch's convention: d' = d + λ w; v ← μ v + d' (first v = d'); w ← w − η v, or with Nesterov
/// w ← w − η (d' + μ v). On the flat vector, in one pass over memory.
/// </summary>
public sealed class Sgd : IDisposable
{
    private readonly ParameterVector _weights;
    private readonly SgdOptions _options;

    /// <param name="weights">What is trained.</param>
    /// <param name="options">See <see cref="SgdOptions"/>.</param>
    public Sgd(ParameterVector weights, SgdOptions options)
    {
        (_weights, _options) = (weights, options);
        Velocity = TensorScope.Detach(weights.Value.ZerosLike());
    }

    /// <summary>v, (d); all zeros before the first step, so that the first v is d'.</summary>
    public Tensor Velocity { get; }

    /// <summary>One update with direction d (d) and learning rate η.</summary>
    public void Update(Tensor direction, double learningRate)
    {
        using var span = Profiler.Span("update");
        using var noGrad = Autograd.NoGrad();
        Vectors.Descend(_weights.Value, Velocity, Clipped(direction), learningRate, _options.Momentum, _options.WeightDecay, _options.Nesterov);
    }

    /// <summary>One update whose learning rate is a float64 scalar where the weights are, so that a recorded step does not need it from the host.</summary>
    public void Update(Tensor direction, Tensor learningRate)
    {
        using var span = Profiler.Span("update");
        using var noGrad = Autograd.NoGrad();
        Vectors.Descend(_weights.Value, Velocity, Clipped(direction), learningRate, _options.Momentum, _options.WeightDecay, _options.Nesterov);
    }

    private Tensor Clipped(Tensor d) => _options.ClipNorm > 0 ? d * (_options.ClipNorm / (Vectors.Norm(d) + 1e-12)).Clamp(0, 1).To(d.DType) : d;

    /// <summary>Frees the velocity.</summary>
    public void Dispose() => Velocity.Dispose();
}
