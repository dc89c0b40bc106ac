using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>Where large tensors lie, and how much of them a training step holds at once. Not beside other tests: the counters are the process's.</summary>
[CollectionDefinition(nameof(HostMemoryTests), DisableParallelization = true)]
[Collection(nameof(HostMemoryTests))]
public sealed class HostMemoryTests : IDisposable
{
    private const int Images = 32, Side = 32;
    // activations of 16 channels at full resolution: the unit of the formulas below
    private const long Unit = sizeof(float) * Images * 16 * Side * Side;

    private readonly int _winograd;

    public HostMemoryTests()
    {
        TorchRuntime.TuneAllocator();
        if (TorchRuntime.LargeTensors(restart: false) is null) Assert.Skip("GMIX_ARENA=0: large tensors are the system's");
        // what tests before this one left to the finalizers must not go down while we count
        GC.Collect();
        GC.WaitForPendingFinalizers();
        // the scratch memory of Winograd's algorithm depends on the processor; the formulas are about activations
        _winograd = NativeMethods.gmx_winograd(0);
    }

    public void Dispose() => NativeMethods.gmx_winograd(_winograd);

    [Fact]
    public void Blocks_keep_their_contents_and_holes_are_merged()
    {
        var random = new CounterRandom(7, DrawStream.Diagnostics);
        var before = TorchRuntime.LargeTensors(restart: true)!.Value;
        var held = new List<(Tensor Tensor, int Value)>();
        for (var i = 0; i < 2000; i++)
        {
            if (held.Count > 0 && (held.Count == 40 || random.NextInt(2) == 0))
            {
                var at = random.NextInt(held.Count);
                var (tensor, value) = held[at];
                Assert.Equal((double)value * tensor.Count, tensor.Sum().Item());
                tensor.Dispose();
                held.RemoveAt(at);
            }
            // at and around the size from which on tensors are large, up to a few pages
            else held.Add((Tensor.Full([16_384 - 8 + random.NextInt(8_192)], i % 100, DType.Float32), i % 100));
        }
        var during = TorchRuntime.LargeTensors(restart: false)!.Value;
        Assert.InRange(during.Live - before.Live, 1, during.Most - before.Live);
        foreach (var (tensor, _) in held) tensor.Dispose();
        var after = TorchRuntime.LargeTensors(restart: true)!.Value;
        Assert.InRange(after.Live, 0, before.Live);
        // one tensor as large as everything that was alive at once fits where those small ones were, but for what lay there before
        using (var large = Tensor.Full([(during.Most - before.Live) / sizeof(float)], 1, DType.Float32))
            Assert.InRange(TorchRuntime.LargeTensors(restart: false)!.Value.Reach, 0, Math.Max(after.Reach, before.Live + 2 * (during.Most - before.Live)));
    }

    // wrn-10-1 has one block a stage, with results of 1, 1/2 and 1/4 unit. Its graph keeps, of each block, what the two BatchNorms and the two
    // convolutions read: 4, 3 and 1 1/2 units (input and activated input have the size of the stage before), then twice 1/4 at the end: 9 units.
    // When the backward pass begins all of it is alive, beside little else.
    [Theory]
    [InlineData("vanilla")]
    [InlineData("bgmix")]
    [InlineData("dgmix")]
    public void A_step_holds_what_its_graph_needs_and_little_more(string name)
    {
        using var network = Wrn();
        using var scope = new TensorScope();
        var batch = Batch();
        var method = MethodCatalog.Get(name);
        using var step = new MethodStep(network, method);
        using var sgd = new Sgd(network.Parameters, new SgdOptions());
        for (var t = 0; t < 2; t++)
        {
            var before = TorchRuntime.LargeTensors(restart: true)!.Value;
            using (new TensorScope())
            {
                var draw = method.Mix.Draw(new CounterRandom(1, DrawStream.Mix, 0, t), Images, Side, Side);
                sgd.Update(step.Run(batch, new StepContext(0, t, 0.1, 0.1, draw)).Direction, 0.05);
            }
            var most = TorchRuntime.LargeTensors(restart: false)!.Value.Most - before.Live;
            // vectors of the size of w: momentum, ε's direction, w + ε, gradients in parts and as one
            var weights = 6 * sizeof(float) * network.Parameters.Length;
            var images = 2 * sizeof(float) * 3 * Images * Side * Side;
            TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {(most - weights - images) / (double)Unit:F2} units beside weights and images");
            Assert.InRange(most, 8 * Unit, 10 * Unit + weights + images);
        }
    }

    // two summands, their sum, the same activated: 4 units when the second block begins, and 2 of results of half and a quarter of a unit
    [Fact]
    public void A_pass_without_a_graph_holds_the_activations_of_a_block()
    {
        using var network = Wrn();
        using var scope = new TensorScope();
        var batch = Batch();
        using var noGrad = Autograd.NoGrad();
        var before = TorchRuntime.LargeTensors(restart: true)!.Value;
        network.Logits(batch.Images, new ForwardPass(BatchNormMode.TrainFrozen)).Dispose();
        var most = TorchRuntime.LargeTensors(restart: false)!.Value.Most - before.Live;
        TestContext.Current.TestOutputHelper?.WriteLine($"{most / (double)Unit:F2} units");
        Assert.InRange(most, 4 * Unit, 7 * Unit);
    }

    private static Network Wrn() => new(ModelCatalog.Create("wrn-10-1", new ImageShape(10, 3, Side, Side), new ModelOptions()), seed: 1);

    private static Batch Batch()
    {
        var random = new CounterRandom(2, DrawStream.Diagnostics);
        var images = new float[Images * 3 * Side * Side];
        for (var i = 0; i < images.Length; i++) images[i] = (float)random.NextNormal();
        var labels = new long[Images];
        for (var i = 0; i < Images; i++) labels[i] = random.NextInt(10);
        return new Batch(Tensor.From(images, Images, 3, Side, Side).Contiguous(MemoryFormat.ChannelsLast), Tensor.From(labels, Images));
    }
}
