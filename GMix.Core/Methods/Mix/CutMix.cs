using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// CutMix (Yun et al.: CutMix: Regularization strategy to train strong classifiers with localizable features, ICCV 2019)
//
//   with probability q:
//     λ ~ Beta(α, α), π a random permutation; one of each per batch
//     a box of sides ⌊h √(1−λ)⌋ and ⌊w √(1−λ)⌋, its centre uniform over the pixels, clipped to the image
//     x̃_i = x_i with the box's pixels of x_π(i)
//     ỹ_i = λ' y_i + (1−λ') y_π(i),  λ' = the share of pixels that were kept
//
//   defaults α = 1, q = 0.5 (clovaai/CutMix-PyTorch on CIFAR; q = 1 on ImageNet)
//   cost: one forward, one backward
//   not for: images whose class sits in a few pixels that the box may cover or miss

/// <summary>A rectangle of a partner's pixels, and its share of the label.</summary>
/// <param name="Alpha">α ≥ 0 of Beta(α, α); 0 means no mixing.</param>
/// <param name="Probability">q in [0, 1]: how often a batch is mixed.</param>
public sealed record CutMix(double Alpha = 1, double Probability = 0.5) : Mix
{
    /// <inheritdoc/>
    public override bool MixesLabels => Alpha > 0 && Probability > 0;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width)
    {
        if (!MixesLabels || random.NextDouble() >= Probability) return Methods.Draw.None;
        var ratio = Math.Sqrt(1 - random.NextBeta(Alpha, Alpha));
        var box = Around(random.NextInt(height), random.NextInt(width), (int)(height * ratio), (int)(width * ratio), height, width);
        return new Draw { Lambda = Kept(box, height, width), Box = box, Permutation = random.Permutation(count) };
    }

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        if (!draw.HasPartners || !draw.HasBox) return new(batch.Images, new Targets(batch.Labels));
        var (images, count, type) = (batch.Images, batch.Count, batch.Images.DType);
        var (height, width) = ((int)images.Size(2), (int)images.Size(3));
        // the box as a mask: shapes that do not depend on it
        var pasted = draw.OnDevice("box", images.Device, d => Mask(Checked(d.Box!.Value, height, width), height, width));
        var lambda = draw.OnDevice("lambda", images.Device, d => Tensor.Full([count], Kept(d.Box!.Value, height, width), type));
        var partner = Mixup.Partners(draw, batch);
        return new(pasted.Where(images.Rows(partner), images), new Targets(batch.Labels, batch.Labels.Rows(partner), lambda));
    }

    private static Rectangle Checked(Rectangle box, int height, int width) =>
        box.Top < 0 || box.Left < 0 || box.Bottom > height || box.Right > width || box.Top > box.Bottom || box.Left > box.Right
            ? throw new ArgumentException($"the box {box} is not within an image of {height} x {width} pixels", nameof(box))
            : box;

    /// <summary>(h, w), true in the box.</summary>
    private static Tensor Mask(Rectangle box, int height, int width)
    {
        var mask = new bool[height * width];
        for (var y = box.Top; y < box.Bottom; y++) mask.AsSpan(y * width + box.Left, box.Right - box.Left).Fill(true);
        return Tensor.From(mask, height, width);
    }

    private static double Kept(Rectangle box, int height, int width) => 1 - box.Area / ((double)height * width);

    private static Rectangle Around(int y, int x, int high, int wide, int height, int width) =>
        new(Math.Clamp(y - high / 2, 0, height), Math.Clamp(y + high / 2, 0, height), Math.Clamp(x - wide / 2, 0, width), Math.Clamp(x + wide / 2, 0, width));

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"CutMix(alpha={Alpha:R}, probability={Probability:R})");
}
