using GMix.Data;
using GMix.Draws;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>Batches made on the device against a loop over pixels.</summary>
public class PipelineTests
{
    private const int Side = 10;
    private static readonly ImageSet Images = Make();
    private static readonly Normalization Norm = new([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);

    private static ImageSet Make()
    {
        var pixels = new byte[12 * 3 * Side * Side];
        var random = new CounterRandom(1, DrawStream.Diagnostics);
        for (var i = 0; i < pixels.Length; i++) pixels[i] = (byte)random.NextUInt32();
        return new ImageSet("random", pixels, 12, 3, Side, Side, [.. Enumerable.Range(0, 12).Select(i => i % 3)], ["a", "b", "c"]);
    }

    private static double Normalized(int image, int channel, int row, int column) =>
        (Images.Image(image)[(channel * Side + row) * Side + column] / 255.0 - Norm.Mean[channel]) / Norm.Std[channel];

    private static double Black(int channel) => -Norm.Mean[channel] / Norm.Std[channel];

    private static Pipeline New() => new(Images, Norm, DType.Float64, Device.Cpu, channelsLast: true);

    [Fact]
    public void WithoutAugmentationPixelsAreNormalised()
    {
        using var scope = new TensorScope();
        using var pipeline = New();
        var (x, y) = pipeline.Take([5, 2]);
        Assert.Equal([2L, 2], y.ToArray<long>());
        var values = x.ToDoubles();
        Assert.Equal([2L, 3, Side, Side], x.Shape);
        var at = 0;
        foreach (var image in new[] { 5, 2 })
            for (var c = 0; c < 3; c++)
                for (var r = 0; r < Side; r++)
                    for (var k = 0; k < Side; k++) Assert.Equal(Normalized(image, c, r, k), values[at++], 1e-12);
    }

    /// <summary>Every augmented image is exactly one of the (2p + 1)² crops, mirrored or not, of its padded source; over many draws all appear.</summary>
    [Theory]
    [InlineData(PadMode.Zero)]
    [InlineData(PadMode.Reflect)]
    public void ACropIsAPieceOfThePaddedImage(PadMode mode)
    {
        using var pipeline = New();
        const int pad = 2;
        var seen = new HashSet<(int, int, bool)>();
        for (var step = 0; step < 60; step++)
        {
            using var scope = new TensorScope();
            var (x, _) = pipeline.Take([0, 7, 11], new Augmentation(pad, true, mode), new CounterRandom(3, DrawStream.Augment, 0, step));
            var values = x.ToDoubles();
            for (var i = 0; i < 3; i++)
            {
                var image = new[] { 0, 7, 11 }[i];
                var found = (from top in Enumerable.Range(0, 2 * pad + 1)
                             from left in Enumerable.Range(0, 2 * pad + 1)
                             from flip in new[] { false, true }
                             where Matches(values.AsSpan(i * 3 * Side * Side, 3 * Side * Side), image, top - pad, left - pad, flip, mode)
                             select (top, left, flip)).ToArray();
                Assert.Single(found);
                seen.Add(found[0]);
            }
        }
        // 180 draws of 50 equally likely crops: fewer than 40 different ones has probability below 1e-6
        Assert.InRange(seen.Count, 40, 50);
    }

    private static bool Matches(ReadOnlySpan<double> values, int image, int top, int left, bool flip, PadMode mode)
    {
        static int Reflect(int i) => i < 0 ? -i : i >= Side ? 2 * Side - 2 - i : i;
        for (var c = 0; c < 3; c++)
            for (var r = 0; r < Side; r++)
                for (var k = 0; k < Side; k++)
                {
                    var (row, column) = (top + r, left + (flip ? Side - 1 - k : k));
                    var inside = row is >= 0 and < Side && column is >= 0 and < Side;
                    var expected = inside ? Normalized(image, c, row, column) : mode == PadMode.Zero ? Black(c) : Normalized(image, c, Reflect(row), Reflect(column));
                    if (Math.Abs(values[(c * Side + r) * Side + k] - expected) > 1e-9) return false;
                }
        return true;
    }

    [Fact]
    public void CutoutBlanksASquareThatMayHangOverTheEdge()
    {
        using var scope = new TensorScope();
        using var pipeline = New();
        var (x, _) = pipeline.Take([0, 1, 2, 3, 4, 5], new Augmentation(Cutout: 4), new CounterRandom(9, DrawStream.Augment));
        var (plain, _) = pipeline.Take([0, 1, 2, 3, 4, 5]);
        var blank = x.Eq(plain).Not().To(DType.Float64).Sum([1, 2, 3]).ToDoubles();
        // between a corner of 2×2 and the whole 4×4, in all three channels
        Assert.All(blank, b => Assert.InRange(b, 3 * 4, 3 * 16));
        Assert.Equal(0, (x * x.Eq(plain).Not().To(DType.Float64)).Abs().Max().Item());
    }

    [Fact]
    public void ErasingHappensWithItsProbability()
    {
        using var pipeline = New();
        var erased = 0.0;
        for (var step = 0; step < 100; step++)
        {
            using var scope = new TensorScope();
            var (x, _) = pipeline.Take([0, 1, 2, 3], new Augmentation(Erasing: 0.5), new CounterRandom(4, DrawStream.Augment, 0, step));
            erased += x.Eq(pipeline.Take([0, 1, 2, 3]).Images).Not().To(DType.Float64).Sum([1, 2, 3]).Gt(0).Sum(DType.Float64).Item();
        }
        // 400 draws at ½: 5 standard deviations are 50
        Assert.InRange(erased, 150, 250);
    }

    [Fact]
    public void AnEpochVisitsEveryExampleOnce()
    {
        var order = new PipelineOrder(5, 23, 6);
        Assert.Equal(4, order.Steps);
        var epoch = order.Epoch(2);
        var seen = Enumerable.Range(0, order.Steps).SelectMany(s => order.Step(epoch, s).ToArray()).ToArray();
        Assert.Equal(Enumerable.Range(0, 23).Select(i => (long)i), seen.Order());
        Assert.NotEqual(epoch, order.Epoch(3));
        Assert.Equal(epoch, order.Epoch(2));
        Assert.Equal(3, new PipelineOrder(5, 23, 6, DropLast: true).Steps);
    }
}
