using GMix.Draws;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>The counter-based generator: published vectors, and distributions.</summary>
public class DrawsTests
{
    /// <summary>The known answers that Random123 ships for philox4x32-10.</summary>
    [Theory]
    [InlineData(new uint[] { 0, 0, 0, 0 }, 0u, 0u, new uint[] { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 })]
    [InlineData(new uint[] { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, 0xffffffffu, 0xffffffffu, new uint[] { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd })]
    [InlineData(new uint[] { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, 0xa4093822u, 0x299f31d0u, new uint[] { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 })]
    public void PhiloxGivesThePublishedAnswers(uint[] counter, uint key0, uint key1, uint[] expected)
    {
        CounterRandom.Philox(counter, key0, key1);
        Assert.Equal(expected, counter);
    }

    [Fact]
    public void StreamsEpochsAndStepsAreIndependentOfEachOther()
    {
        var all = new HashSet<ulong>();
        foreach (var stream in Enum.GetValues<DrawStream>())
            for (var epoch = 0; epoch < 5; epoch++)
                for (var step = 0; step < 5; step++)
                    for (var seed = 0; seed < 3; seed++)
                        Assert.True(all.Add(new CounterRandom(seed, stream, epoch, step).NextUInt64()));
        Assert.Equal(new CounterRandom(1, DrawStream.Mix, 2, 3).NextUInt64(), new CounterRandom(1, DrawStream.Mix, 2, 3).NextUInt64());
    }

    /// <summary>Statistical, with a fixed seed: 200,000 draws put the sample mean within 4.5 standard errors.</summary>
    [Theory]
    [InlineData(0.2)]
    [InlineData(0.5)]
    [InlineData(1)]
    [InlineData(2)]
    public void BetaHasItsMoments(double a)
    {
        var random = new CounterRandom(7, DrawStream.Mix);
        const int n = 200_000;
        var draws = Enumerable.Range(0, n).Select(_ => random.NextBeta(a, a)).ToArray();
        Assert.All(draws, x => Assert.InRange(x, 0, 1));
        var variance = 1 / (4 * (2 * a + 1));
        Assert.Equal(0.5, draws.Average(), 4.5 * Math.Sqrt(variance / n));
        Assert.Equal(variance, draws.Average(x => (x - 0.5) * (x - 0.5)), 0.01 * variance);
        var folded = new Dictionary<double, double> { [0.2] = 0.8988, [0.5] = 0.8183, [1] = 0.75, [2] = 0.6875 }[a];
        Assert.Equal(folded, draws.Average(x => Math.Max(x, 1 - x)), 0.002);
    }

    [Fact]
    public void AVerySmallAlphaGivesNumbersNotNaN() =>
        Assert.All(Enumerable.Range(0, 1000).Select(i => new CounterRandom(i, DrawStream.Mix).NextBeta(1e-4, 1e-4)), x => Assert.InRange(x, 0, 1));

    [Fact]
    public void PermutationsArePermutationsAndUniform()
    {
        var counts = new Dictionary<string, int>();
        for (var i = 0; i < 24_000; i++)
        {
            var p = new CounterRandom(i, DrawStream.Shuffle).Permutation(4);
            Assert.Equal([0L, 1, 2, 3], p.Order());
            var key = string.Join("", p);
            counts[key] = counts.GetValueOrDefault(key) + 1;
        }
        Assert.Equal(24, counts.Count);
        // each of the 24 is expected 1,000 times; 5 standard deviations are 155
        Assert.All(counts.Values, c => Assert.InRange(c, 845, 1155));
    }
}
