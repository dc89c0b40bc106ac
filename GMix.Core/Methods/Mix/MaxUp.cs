using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// MaxUp (Gong, Ren, Ye, Liu: MaxUp: Lightweight adversarial training with data augmentation improves neural network training, 2020)
//
//   for j = 1 … m: V_j = an augmented copy of the batch; L_j = its per-example losses, without a graph, running statistics at rest
//   for each example i: j*(i) = the copy with the largest loss; the first on ties
//   V = { example i of copy j*(i) }; everything after this trains on V, forward and backward once
//
//   defaults m = 4, CutMix copies (reimplementations that cite the paper); Gaussian, Mixup and crop-flip copies as options
//   cost: m F + F + R; backward through all copies would cost m (F + R) and differ only in BatchNorm's statistics
//   not for: copies as strong as the class boundary is wide: the worst of many is then often another class

/// <summary>The worst of several augmented copies of each example.</summary>
/// <param name="Copies">m ≥ 1.</param>
/// <param name="Copy">Makes one copy: any Mix whose rows are independent; CutMix of every batch when not given.</param>
public sealed record MaxUp(int Copies = 4, Mix? Copy = null) : Mix
{
    /// <summary>What makes a copy.</summary>
    public Mix Maker => Copy ?? new CutMix(Probability: 1);

    /// <inheritdoc/>
    public override bool MixesLabels => Maker.MixesLabels;

    /// <inheritdoc/>
    public override double Forwards => Copies * (1 + Maker.Forwards);

    /// <inheritdoc/>
    public override string? Problem =>
        Copies < 1 ? $"--copies {Copies}: must be at least 1"
        : !Maker.RowsAreIndependent ? $"copies by {Maker} cannot compete example by example, since a row's hidden activations need its partner's; use cutmix, mixup, gaussian or crop-flip copies"
        : Maker.Problem;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width)
    {
        var draws = new Draw[Copies];
        for (var j = 0; j < Copies; j++)
        {
            var one = Maker.Draw(random, count, height, width);
            draws[j] = one with { Seed = random.NextUInt64() };
        }
        return new Draw { More = draws, Seed = draws[0].Seed };
    }

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        var copies = CopiesOf(batch, draw, scorer);
        var losses = Tensor.Stack([.. copies.Select(scorer.Score)]);
        // a stable sort, and not a maximum, so that the first copy wins ties on every device
        var worst = losses.SortStable(descending: true).Indices.Select(0, 0);
        var each = Tensor.Range(0, batch.Count, batch.Labels.Device);
        var inputs = Tensor.Stack([.. copies.Select(c => c.Inputs)]).Index(worst, each);
        var targets = new Targets(batch.Labels);
        if (copies.Any(c => c.Targets.Mixed))
            targets = new Targets(batch.Labels, Chosen(c => c.Targets.B ?? batch.Labels), Chosen(c => c.Targets.Lambda ?? Tensor.Ones([batch.Count], batch.Images.DType, batch.Images.Device)));
        return new(inputs, targets) { Found = new Dictionary<string, Tensor> { ["loss_copies"] = losses, ["worst"] = worst } };

        Tensor Chosen(Func<VicinalBatch, Tensor> part) => Tensor.Stack([.. copies.Select(part)]).Index(worst, each);
    }

    private VicinalBatch[] CopiesOf(Batch batch, Draw draw, IScorer scorer)
    {
        if (draw.More.Count == 0 && draw.Copies is { } given) return [.. Enumerable.Range(0, (int)given.Size(0)).Select(j => new VicinalBatch(given.Select(0, j), new Targets(batch.Labels)))];
        if (draw.More.Count == 0) throw new ArgumentException("MaxUp's draw has neither copies nor the draws to make them", nameof(draw));
        return [.. draw.More.Select(d => Maker.Apply(batch, d, scorer))];
    }

    /// <inheritdoc/>
    public override string ToString() => $"MaxUp(copies={Copies}, copy={Maker})";
}
