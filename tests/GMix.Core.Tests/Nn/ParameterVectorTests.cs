using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Nn;

/// <summary>All weights as one vector.</summary>
public class ParameterVectorTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ParametersAreViewsOfTheVector(bool channelsLast)
    {
        using var scope = new TensorScope();
        using var network = new Network(new WideResNet(10, 1, 5), Precision.Float64, channelsLast: channelsLast);
        Assert.Equal(network.Parameters.Parts.Sum(p => p.Parameter.Count), network.Parameters.Length);
        using (Autograd.NoGrad()) network.Parameters.Value.FillInPlace(3);
        foreach (var part in network.Parameters.Parts) Assert.All(part.Parameter.Value.ToDoubles(), v => Assert.Equal(3, v));
    }

    [Fact]
    public void TheLayoutInMemoryChangesNoNumber()
    {
        using var scope = new TensorScope();
        using var plain = new Network(new WideResNet(10, 2, 5), Precision.Float64, seed: 4, channelsLast: false);
        using var last = new Network(new WideResNet(10, 2, 5), Precision.Float64, seed: 4, channelsLast: true);
        using var generator = new Generator(Device.Cpu);
        var x = Tensor.Normal([3, 3, 16, 16], generator.Seed(1), type: DType.Float64);
        foreach (var ((name, a), (_, b)) in plain.State().Zip(last.State())) Assert.Equal(a.ToDoubles(), b.ToDoubles());
        var (p, q) = (plain.Logits(x, ForwardPass.Eval).ToDoubles(), last.Logits(x, ForwardPass.Eval).ToDoubles());
        Assert.All(p.Zip(q), pair => Assert.Equal(pair.First, pair.Second, 1e-10));
    }

    [Fact]
    public void TheGradientVectorHoldsEachParametersGradient()
    {
        using var scope = new TensorScope();
        using var network = new Network(new WideResNet(10, 1, 5), Precision.Float64);
        using var generator = new Generator(Device.Cpu);
        var x = Tensor.Normal([4, 3, 8, 8], generator.Seed(2), type: DType.Float64);
        var loss = network.Logits(x, new ForwardPass(BatchNormMode.TrainFrozen)).Pow(2).Sum();
        var each = Autograd.Gradients(loss, [.. network.Parameters.Parts.Select(p => p.Parameter.Value)], retainGraph: true);
        var flat = network.Parameters.Gradient(loss);
        // written to the weights, the vector appears in every parameter's own shape
        using (Autograd.NoGrad()) network.Parameters.Value.CopyFrom(flat);
        foreach (var (part, expected) in network.Parameters.Parts.Zip(each)) Assert.Equal(expected.ToDoubles(), part.Parameter.Value.ToDoubles());
    }

    [Fact]
    public void ADisplacementComesBackBitForBit()
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(12, [7], 3), Precision.Float32, seed: 1);
        var before = network.Parameters.Value.ToArray<float>();
        using (network.Parameters.Perturbed(Tensor.Full([network.Parameters.Length], 0.1)))
            Assert.NotEqual(before, network.Parameters.Value.ToArray<float>());
        Assert.Equal(before, network.Parameters.Value.ToArray<float>());
    }

    [Fact]
    public void InitialWeightsDependOnTheSeedOnly()
    {
        double[] Start(long seed)
        {
            using var network = new Network(new WideResNet(10, 1, 5), seed: seed);
            return network.Parameters.Value.ToDoubles();
        }
        Assert.Equal(Start(5), Start(5));
        Assert.NotEqual(Start(5), Start(6));
    }

    [Fact]
    public void HeInitialisationHasItsDeviation()
    {
        using var network = new Network(new WideResNet(16, 4, 10));
        var conv = network.Parameters.Parts.Single(p => p.Name == "block3.layer.1.conv2.weight").Parameter;
        var values = conv.Value.ToDoubles();
        // 589,824 normal numbers: the sample deviation is within 0.5 % with overwhelming probability, and the seed is fixed
        Assert.Equal(Math.Sqrt(2.0 / (256 * 9)), Math.Sqrt(values.Average(v => v * v)), 0.005 * Math.Sqrt(2.0 / (256 * 9)));
    }
}
