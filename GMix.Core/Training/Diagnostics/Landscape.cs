using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Loss and accuracy on a plane through the solution.</summary>
/// <param name="Steps">Coordinates along both directions, ascending; the middle one is 0, the solution.</param>
/// <param name="Loss">Loss[i][j] = L(w + Steps[j] d₁ + Steps[i] d₂); infinite or NaN where the network's numbers overflow.</param>
/// <param name="Accuracy">Percent, in the same places.</param>
/// <param name="Images">Examples.</param>
/// <param name="Cosine">Of the angle between d₁ and d₂: near 0, since random directions in many dimensions are nearly at right angles.</param>
public sealed record LandscapeResult(IReadOnlyList<double> Steps, IReadOnlyList<double[]> Loss, IReadOnlyList<double[]> Accuracy, int Images, double Cosine);

/// <summary>
/// The loss on a plane of two random, filter-normalised directions (Li, Xu, Taylor, Studer, Goldstein: Visualizing the loss landscape of neural nets,
/// NeurIPS 2018). The weights end bit for bit as they were.
/// </summary>
public static class Landscape
{
    /// <summary>
    /// A normal random direction, shape (d), in which each filter has the norm of the network's: d_f ← d_f |w_f| / |d_f|. A filter is what makes one
    /// output: a convolution's output channel, a linear layer's row. Biases and BatchNorm's parameters are left where they are, as in the paper.
    /// </summary>
    public static Tensor FilterNormalizedDirection(ParameterVector weights, ulong seed)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        using var generator = new Generator(weights.Value.Device);
        generator.Seed(seed);
        var direction = weights.Value.ZerosLike();
        foreach (var part in weights.Parts)
        {
            var w = part.Parameter.Value;
            if (w.Rank < 2) continue;
            var random = Tensor.Normal(w.Shape, generator, type: w.DType, device: w.Device);
            var inner = Enumerable.Range(1, w.Rank - 1).Select(i => (long)i).ToArray();
            Tensor Norms(Tensor t) => t.Pow(2).Sum(inner, keep: true, DType.Float64).Sqrt();
            // the smallest normal number keeps 0 / 0 away; a filter of zeros gets no direction
            var factor = Norms(w) / (Norms(random) + 2.3e-308);
            direction.AsStrided(w.Shape, w.Strides, part.Offset).CopyFrom(random * factor.To(w.DType));
        }
        return scope.Keep(direction);
    }

    /// <summary>Measures a grid.</summary>
    /// <param name="loss">The loss.</param>
    /// <param name="grid">Points along each direction: odd, so that the solution is among them, and at least 3.</param>
    /// <param name="range">The plane reaches from −range to range.</param>
    /// <param name="seed">Of the directions.</param>
    /// <param name="tell">Told after each row.</param>
    /// <exception cref="GMixInputException">Grid or range are out of their ranges.</exception>
    public static LandscapeResult Measure(FixedLoss loss, int grid = 15, double range = 1, long seed = 0, Action<string>? tell = null)
    {
        if (grid < 3 || grid % 2 == 0) throw new GMixInputException($"--grid {grid}: must be an odd number from 3 on, so that the solution is the middle");
        if (!(double.IsFinite(range) && range > 0)) throw new GMixInputException(FormattableString.Invariant($"--range {range:R}: must be above 0"));
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var weights = loss.Network.Parameters;
        Tensor Direction(int which) => FilterNormalizedDirection(weights, new CounterRandom(seed, DrawStream.Diagnostics, 2, which).NextUInt64());
        var (first, second) = (Direction(0), Direction(1));
        var half = grid / 2;
        // the middle is exactly 0
        var steps = Enumerable.Range(-half, grid).Select(i => range * i / half).ToArray();
        var (losses, accuracies) = (new double[grid][], new double[grid][]);
        for (var i = 0; i < grid; i++)
        {
            tell?.Invoke($"row {i + 1} of {grid} of the plane");
            (losses[i], accuracies[i]) = (new double[grid], new double[grid]);
            for (var j = 0; j < grid; j++)
            {
                using var point = new TensorScope();
                using (weights.Perturbed((first * steps[j]).Add(second, steps[i]))) (losses[i][j], accuracies[i][j]) = loss.Measure();
            }
        }
        var cosine = first.Dot(second).Item() / (first.Norm().Item() * second.Norm().Item());
        return new LandscapeResult(steps, losses, accuracies, loss.Count, cosine);
    }
}
