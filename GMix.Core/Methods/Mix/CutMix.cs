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
        if (draw.Permutation is null || draw.Box is not { } box) return new(batch.Images, new Targets(batch.Labels));
        var (height, width) = ((int)batch.Images.Size(2), (int)batch.Images.Size(3));
        if (box.Top < 0 || box.Left < 0 || box.Bottom > height || box.Right > width || box.Top > box.Bottom || box.Left > box.Right)
            throw new ArgumentException($"the box {box} is not within an image of {height} x {width} pixels", nameof(draw));
        var partner = Tensor.From(draw.Permutation, [draw.Permutation.Length], batch.Labels.Device);
        var mixed = batch.Images.Clone();
        Pixels(mixed, box).CopyFrom(Pixels(batch.Images, box).Rows(partner));
        var lambda = Tensor.Full([batch.Count], Kept(box, height, width), batch.Images.DType, batch.Images.Device);
        return new(mixed, new Targets(batch.Labels, batch.Labels.Rows(partner), lambda));
    }

    private static Tensor Pixels(Tensor images, Rectangle box) => images.Narrow(2, box.Top, box.Bottom - box.Top).Narrow(3, box.Left, box.Right - box.Left);

    private static double Kept(Rectangle box, int height, int width) => 1 - box.Area / ((double)height * width);

    private static Rectangle Around(int y, int x, int high, int wide, int height, int width) =>
        new(Math.Clamp(y - high / 2, 0, height), Math.Clamp(y + high / 2, 0, height), Math.Clamp(x - wide / 2, 0, width), Math.Clamp(x + wide / 2, 0, width));

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"CutMix(alpha={Alpha:R}, probability={Probability:R})");
}
