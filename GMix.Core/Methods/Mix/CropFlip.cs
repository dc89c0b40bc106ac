using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

// Random crop and mirror, on the batch as it comes
//
//   x̃ = an h × w window at a random place of the image padded with zeros, mirrored left to right with probability ½; one draw per image
//
//   defaults padding 4 (the usual one for 32 × 32; mixup-cifar10), mirroring on
//   cost: one forward, one backward
//   not for: the ordinary augmentation, which the data pipeline does before normalising; this one makes further copies for MaxUp.
//   Zero is the mean colour here, since images are normalised already. No mirroring for digits.

/// <summary>A random window of the zero-padded image, mirrored half the time.</summary>
/// <param name="Padding">Pixels of zeros around the image, at least 0.</param>
/// <param name="Flip">Whether to mirror.</param>
public sealed record CropFlip(int Padding = 4, bool Flip = true) : Mix
{
    /// <inheritdoc/>
    public override bool MixesLabels => false;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width) => new() { Seed = random.NextUInt64() };

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer)
    {
        var images = batch.Images;
        var (n, h, w) = (batch.Count, (int)images.Size(2), (int)images.Size(3));
        var device = images.Device;
        var padded = images.Pad([Padding, Padding, Padding, Padding]).Permute(0, 2, 3, 1);
        var places = draw.OnDevice("windows", device, d => Tensor.From(Places(d, n, h, w), [n, h + w]));
        var windows = padded.Index(Tensor.Range(0, n, device).View(n, 1, 1), places.Narrow(1, 0, h).Unsqueeze(2), places.Narrow(1, h, w).Unsqueeze(1));
        return new(windows.Permute(0, 3, 1, 2), new Targets(batch.Labels));
    }

    /// <summary>For each image the h rows, then the w columns of the padded image that it takes.</summary>
    private long[] Places(Draw draw, int n, int h, int w)
    {
        var random = new CounterRandom((long)draw.Seed, DrawStream.Augment);
        var places = new long[n * (h + w)];
        for (var i = 0; i < n; i++)
        {
            var (top, left, mirror) = (random.NextInt(2 * Padding + 1), random.NextInt(2 * Padding + 1), Flip && random.NextDouble() < 0.5);
            var start = i * (h + w);
            for (var y = 0; y < h; y++) places[start + y] = top + y;
            for (var x = 0; x < w; x++) places[start + h + x] = left + (mirror ? w - 1 - x : x);
        }
        return places;
    }

    /// <inheritdoc/>
    public override string ToString() => $"CropFlip(padding={Padding}{(Flip ? "" : ", no flip")})";
}
