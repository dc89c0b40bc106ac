using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>The update rule against a scalar reference, and the schedules' values.</summary>
public class SgdTests
{
    [Theory]
    [InlineData(0.9, 5e-4, false, 0)]
    [InlineData(0.9, 5e-4, true, 0)]
    [InlineData(0.0, 1e-2, false, 0)]
    [InlineData(0.8, 0.0, false, 0.5)]
    public void EqualsTheFormula(double mu, double decay, bool nesterov, double clip)
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(3, [], 2), Precision.Float64, seed: 3);
        using var sgd = new Sgd(network.Parameters, new SgdOptions(mu, decay, nesterov, clip));
        var w = network.Parameters.Value.ToDoubles();
        var v = new double[w.Length];
        for (var step = 0; step < 4; step++)
        {
            var g = w.Select((_, i) => Math.Sin(i + step)).ToArray();
            sgd.Update(Tensor.From(g), 0.1);
            var norm = Math.Sqrt(g.Sum(x => x * x));
            var scale = clip > 0 ? Math.Min(1, clip / (norm + 1e-12)) : 1;
            for (var i = 0; i < w.Length; i++)
            {
                var d = scale * g[i] + decay * w[i];
                v[i] = step == 0 ? d : mu * v[i] + d;
                w[i] -= 0.1 * (mu == 0 ? d : nesterov ? d + mu * v[i] : v[i]);
            }
        }
        Assert.All(w.Zip(network.Parameters.Value.ToDoubles()), p => Assert.Equal(p.First, p.Second, 1e-14));
    }

    [Fact]
    public void SchedulesTakeTheirValues()
    {
        var cosine = new Schedule(0.1, ScheduleKind.Cosine, 10, 5);
        Assert.Equal(0.1, cosine.At(0), 1e-15);
        Assert.Equal(0.05, cosine.At(25), 1e-15);
        Assert.True(cosine.At(49) is > 0 and < 2e-4);
        var step = new Schedule(0.1, ScheduleKind.Step, 200, 5);
        Assert.Equal([0.1, 0.1, 0.01, 0.01, 0.001], new long[] { 0, 499, 500, 749, 750 }.Select(s => Math.Round(step.At(s), 12)));
        var warm = new Schedule(1, ScheduleKind.Constant, 10, 4, WarmupEpochs: 2);
        Assert.Equal([0.125, 0.25, 1, 1], new long[] { 0, 1, 7, 8 }.Select(warm.At));
    }
}
