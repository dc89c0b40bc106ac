using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// Mixup (Zhang, Cissé, Dauphin, Lopez-Paz: mixup: Beyond empirical risk minimization, ICLR 2018)
//
//   λ ~ Beta(α, α), π a random permutation            one of each per batch
//   x̃_i = λ x_i + (1−λ) x_π(i)
//   ỹ_i = λ y_i + (1−λ) y_π(i)
//
//   default α = 1 (facebookresearch/mixup-cifar10); α = 0 means no mixing
//   cost: one forward, one backward
//   not for: labels that do not interpolate (regression to angles, say); very short training

/// <summary>Convex combinations of pairs of examples.</summary>
/// <param name="Alpha">α ≥ 0 of Beta(α, α); 0 means no mixing.</param>
/// <param name="PerSample">One λ per example instead of one per batch.</param>
/// <param name="Fold">Replaces λ by max(λ, 1−λ).</param>
public sealed record Mixup(double Alpha = 1, bool PerSample = false, bool Fold = false) : Mix
{
    /// <inheritdoc/>
    public override bool MixesLabels => Alpha > 0;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width)
    {
        if (Alpha <= 0) return Methods.Draw.None;
        var lambdas = new double[PerSample ? count : 1];
        for (var i = 0; i < lambdas.Length; i++)
        {
            var lambda = random.NextBeta(Alpha, Alpha);
            lambdas[i] = Fold ? Math.Max(lambda, 1 - lambda) : lambda;
        }
        return new Draw { Lambda = lambdas[0], Lambdas = PerSample ? lambdas : null, Permutation = random.Permutation(count) };
    }

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        if (!draw.HasPartners) return new(batch.Images, new Targets(batch.Labels));
        var partner = Partners(draw, batch);
        var lambda = Weights(draw, batch);
        return new(Vectors.MixRows(batch.Images, partner, lambda), new Targets(batch.Labels, batch.Labels.Rows(partner), lambda));
    }

    /// <summary>λ per example (n), in the images' element type.</summary>
    internal static Tensor Weights(Draw draw, Batch batch)
    {
        var (count, type) = (batch.Count, batch.Images.DType);
        return draw.OnDevice("lambda", batch.Images.Device, d => d.Lambdas is { } each ? Tensor.From(each).To(type) : Tensor.Full([count], d.Lambda, type));
    }

    /// <summary>π, (n).</summary>
    internal static Tensor Partners(Draw draw, Batch batch) => draw.OnDevice("permutation", batch.Labels.Device, d => Tensor.From(d.Permutation!));

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"Mixup(alpha={Alpha:R}{(PerSample ? ", per sample" : "")}{(Fold ? ", folded" : "")})");
}
