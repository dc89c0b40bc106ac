using GMix.Torch;

namespace GMix.Methods;

/// <summary>Everything a step found out. Tensors live in the scope the step ran in.</summary>
/// <param name="Direction">d, (d): what the optimizer is given.</param>
/// <param name="Logits">(n, classes) of the first pass.</param>
/// <param name="Batch">The vicinal batch.</param>
/// <param name="LossesAtW">l_i(w), (n).</param>
/// <param name="GradientNorm">Norm of the first ascent gradient: |g| of the first pass in most methods; a float64 scalar.</param>
public sealed record StepResult(Tensor Direction, Tensor Logits, VicinalBatch Batch, Tensor LossesAtW, Tensor GradientNorm)
{
    /// <summary>l_i(w+ε), (n); null for a step without perturbation.</summary>
    public Tensor? LossesAtPerturbed { get; init; }

    /// <summary>Indices of B₊, ascending; null where nothing was selected.</summary>
    public Tensor? Selected { get; init; }

    /// <summary>|ε|, a float64 scalar, found when asked for; null for a step without perturbation.</summary>
    public Tensor? EpsilonNorm => _epsilonNorm?.Value;

    private readonly Lazy<Tensor>? _epsilonNorm;

    /// <summary>How to find |ε|: it takes a pass over the weights, which training need not pay for.</summary>
    internal Func<Tensor>? FindEpsilonNorm { init => _epsilonNorm = value is null ? null : new Lazy<Tensor>(value); }

    /// <summary>Forward passes the step ran, in passes of the whole batch: half a batch counts ½. Compare <see cref="Method.Cost"/>.</summary>
    public double Forwards { get; init; }

    /// <summary>Backward passes the step ran, in passes of the whole batch.</summary>
    public double Backwards { get; init; }

    /// <summary>What else the method found (<c>projection</c>: DG-Mix's c), by name.</summary>
    public IReadOnlyDictionary<string, Tensor> Found { get; init; } = new Dictionary<string, Tensor>();
}
