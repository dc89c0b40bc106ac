using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// Gaussian noise on the input
//
//   x̃ = x + σ n,  n ~ N(0, I)
//
//   default σ = 0.1, in units of the normalised image (no published default for CIFAR: a reading); as copies of MaxUp, for small σ,
//   E max over m copies ≈ l + σ κ_m |∇_x l|, κ_m the mean of the largest of m standard normals: a penalty on the input gradient
//   cost: one forward, one backward
//   not for: σ near the size of the image's own contrast

/// <summary>Independent normal noise on every pixel.</summary>
/// <param name="Sigma">σ ≥ 0, in units of the normalised image.</param>
public sealed record GaussianNoise(double Sigma = 0.1) : Mix
{
    /// <inheritdoc/>
    public override bool MixesLabels => false;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width) => new() { Seed = random.NextUInt64() };

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        var images = batch.Images;
        var (shape, type, device) = (images.Shape, images.DType, images.Device);
        var noise = draw.OnDevice("noise", device, d =>
        {
            using var generator = new Generator(device);
            return Tensor.Normal(shape, generator.Seed(d.SeedFor(DrawStream.Noise)), 0, 1, type, device);
        });
        return new(images.Add(noise, Sigma), new Targets(batch.Labels));
    }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"GaussianNoise(sigma={Sigma:R})");
}
