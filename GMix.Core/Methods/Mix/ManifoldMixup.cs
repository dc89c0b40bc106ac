using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// Manifold Mixup (Verma et al.: Manifold Mixup: Better representations by interpolating hidden states, ICML 2019)
//
//   λ ~ Beta(α, α), π a random permutation, s a random stage; one of each per batch
//   h = the activations after stage s (0: the image itself)
//   h̃_i = λ h_i + (1−λ) h_π(i), and the forward goes on from h̃
//   ỹ_i = λ y_i + (1−λ) y_π(i)
//
//   defaults α = 2 and stages {0, 1, 2} (vikasverma1077/manifold_mixup on CIFAR and SVHN; α = 0.2 on Tiny-ImageNet); cross-entropy, where
//   that code has binary cross-entropy on softmax outputs for all its methods
//   cost: one forward, one backward
//   not for: Combines that run a part of the batch by itself (--subset reuse instead): a row's activations need its partner's

/// <summary>Mixup of hidden activations.</summary>
/// <param name="Alpha">α ≥ 0 of Beta(α, α); 0 means no mixing.</param>
/// <param name="Layers">Stages to choose from, each at least 0; 0, 1 and 2 when not given.</param>
public sealed record ManifoldMixup(double Alpha = 2, IReadOnlyList<int>? Layers = null) : Mix
{
    /// <summary>The stages of the published code.</summary>
    public static IReadOnlyList<int> DefaultLayers { get; } = [0, 1, 2];

    private IReadOnlyList<int> Stages => Layers ?? DefaultLayers;

    /// <inheritdoc/>
    public override bool MixesLabels => Alpha > 0;

    /// <inheritdoc/>
    public override bool RowsAreIndependent => Alpha <= 0 || Stages.All(s => s == 0);

    /// <inheritdoc/>
    public override string? Problem => Stages.Count == 0 || Stages.Any(s => s < 0) ? "--layers must name at least one stage, each 0 or more" : null;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width) =>
        Alpha <= 0 ? Methods.Draw.None : new Mixup(Alpha).Draw(random, count, height, width) with { Stage = Stages[random.NextInt(Stages.Count)] };

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        if (!draw.HasPartners || draw.Stage == 0) return new Mixup(Alpha).Apply(batch, draw, scorer);
        var partner = Mixup.Partners(draw, batch);
        var lambda = Mixup.Weights(draw, batch);
        return new(batch.Images, new Targets(batch.Labels, batch.Labels.Rows(partner), lambda)) { Stage = draw.Stage, AtStage = (stage, h) => stage == draw.Stage ? Mixed(h) : h };

        Tensor Mixed(Tensor h)
        {
            // activations may be bfloat16 where images are float32
            var w = lambda.View([batch.Count, .. Enumerable.Repeat(1L, h.Rank - 1)]).To(h.DType);
            return h * w + h.Rows(partner) * (1 - w);
        }
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"ManifoldMixup(alpha={Alpha:R}, layers={string.Join(",", Stages)})");
}
