using GMix.Core.Tests.Methods;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;

namespace GMix.Core.Tests.Diagnostics;

/// <summary>A fixed loss of a small float64 network on normal random images; <c>softmax</c> is a network without hidden layers. Frees what was made while it lived.</summary>
internal sealed class SmallLoss : IDisposable
{
    private const int Classes = 4, Side = 4;
    private readonly TensorScope _scope = new();

    public SmallLoss(string model = "mlp-8", int count = 12, int each = 5, bool mixed = false, long seed = 1)
    {
        var shape = new ImageShape(Classes, 3, Side, Side);
        Network = new Network(model == "softmax" ? new Mlp(3 * Side * Side, [], Classes) : ModelCatalog.Create(model, shape), Precision.Float64, seed: seed);
        var random = new CounterRandom(seed, DrawStream.Diagnostics);
        Images = Tensor.From(Enumerable.Range(0, count * 3 * Side * Side).Select(_ => random.NextNormal()).ToArray(), count, 3, Side, Side);
        var labels = Tensor.From(Enumerable.Range(0, count).Select(_ => (long)random.NextInt(Classes)).ToArray(), count);
        Loss = new FixedLoss(Network, [.. Enumerable.Range(0, (count + each - 1) / each).Select(i =>
        {
            var n = Math.Min(each, count - i * each);
            var own = labels.Narrow(0, i * each, n);
            return new VicinalBatch(Images.Narrow(0, i * each, n), mixed ? new Targets(own, own.Flip(0), Tensor.Full([n], 0.3, DType.Float64)) : new Targets(own));
        })]);
    }

    public Network Network { get; }
    public Tensor Images { get; }
    public FixedLoss Loss { get; }

    /// <summary>All weights and buffers as bits.</summary>
    public byte[] StateBits() => [.. Network.State().SelectMany(s => Lab.Bits(s.Value))];

    public void Dispose()
    {
        Network.Dispose();
        _scope.Dispose();
    }
}
