using GMix.Core.Tests.Methods;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Diagnostics;

public class LandscapeTests
{
    [Theory]
    [InlineData("mlp-8")]
    [InlineData("wrn-10-1")]
    [InlineData("mobilenet-0.25")]
    public void EachFilterOfTheDirectionHasTheNetworksNorm(string model)
    {
        using var small = new SmallLoss(model, 4, 4);
        var weights = small.Network.Parameters;
        var direction = Landscape.FilterNormalizedDirection(weights, 7);
        var filters = 0;
        foreach (var part in weights.Parts)
        {
            var w = part.Parameter.Value;
            var d = direction.AsStrided(w.Shape, w.Strides, part.Offset);
            if (w.Rank < 2)
            {
                // biases and BatchNorm stay
                Assert.Equal(0, d.Norm().Item());
                continue;
            }
            for (var f = 0; f < w.Size(0); f++, filters++)
            {
                var (ours, expected) = (d.Select(0, f).Norm().Item(), w.Select(0, f).Norm().Item());
                Assert.InRange(ours / expected, 1 - 1e-12, 1 + 1e-12);
            }
        }
        Assert.True(filters > 10);
    }

    [Theory]
    [InlineData("mlp-8")]
    [InlineData("wrn-10-1")]
    public void TheMiddleIsThePlainLossAndTheWeightsStay(string model)
    {
        using var small = new SmallLoss(model, 6, 4, mixed: true);
        var before = small.StateBits();
        var (loss, accuracy) = small.Loss.Measure();
        Assert.Equal(loss, small.Loss.Value());
        var plane = Landscape.Measure(small.Loss, 5, 0.7, 3);
        Assert.Equal([-0.7, -0.35, 0, 0.35, 0.7], plane.Steps);
        Assert.Equal((loss, accuracy), (plane.Loss[2][2], plane.Accuracy[2][2]));
        Assert.True(before.AsSpan().SequenceEqual(small.StateBits()));
        Assert.All(plane.Loss, row => Assert.Equal(5, row.Distinct().Count()));
        Assert.InRange(plane.Cosine, -0.5, 0.5);

        var again = Landscape.Measure(small.Loss, 5, 0.7, 3);
        Assert.Equal(plane.Loss.SelectMany(r => r), again.Loss.SelectMany(r => r));
        Assert.NotEqual(plane.Loss[0], Landscape.Measure(small.Loss, 5, 0.7, 4).Loss[0]);
    }

    /// <summary>A point of the plane by hand: both directions added to the weights.</summary>
    [Fact]
    public void RowsGoAlongTheSecondDirection()
    {
        using var small = new SmallLoss();
        var plane = Landscape.Measure(small.Loss, 3, 1, 5);
        var weights = small.Network.Parameters;
        Tensor Direction(int which) => Landscape.FilterNormalizedDirection(weights, new GMix.Draws.CounterRandom(5, GMix.Draws.DrawStream.Diagnostics, 2, which).NextUInt64());
        // the bottom right corner of the arrays: row 0 is −1 along the second, column 2 is +1 along the first
        using (weights.Perturbed(Direction(0) - Direction(1))) Assert.Equal(small.Loss.Value(), plane.Loss[0][2], 1e-12);
    }

    [Theory]
    [InlineData(14, 1, "--grid 14")]
    [InlineData(1, 1, "--grid 1")]
    [InlineData(5, 0, "--range 0")]
    public void GridsWithoutAMiddleAreRefused(int grid, double range, string named)
    {
        using var small = new SmallLoss();
        Assert.StartsWith(named, Assert.Throws<GMixInputException>(() => Landscape.Measure(small.Loss, grid, range)).Message);
    }
}
