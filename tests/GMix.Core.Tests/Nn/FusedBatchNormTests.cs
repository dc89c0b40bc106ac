using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Nn;

/// <summary>
/// BatchNorm fused with its addition and ReLU, against the same network of libtorch's operators in float64. Shapes: channel counts that fill
/// no vector or several, one image, sizes that fill no block of rows; every set of instructions that the processor has.
/// </summary>
public sealed class FusedBatchNormTests : IDisposable
{
    private const double Momentum = 0.1, Eps = 1e-5;
    private static readonly Operator Act = Operator.Find("gmix::batch_norm_act"), BatchNorm = Operator.Find("aten::batch_norm");
    private readonly TensorScope _scope = new();
    private readonly Generator _random = new(Device.Cpu);

    public FusedBatchNormTests() => _random.Seed(7);

    public void Dispose()
    {
        NativeMethods.gmx_instructions_limit(9);
        _random.Dispose();
        _scope.Dispose();
    }

    /// <summary>What is normalised, and what of the operator's parts take part.</summary>
    public sealed record Case(long[] Shape, bool Running, bool Added, bool Residual, bool Relu, bool Twice)
    {
        public override string ToString() => $"[{string.Join(", ", Shape)}]{(Running ? " running" : "")}{(Added ? " added" : "")}{(Residual ? " residual" : "")}{(Relu ? " relu" : "")}{(Twice ? " twice" : "")}";
    }

    private static IEnumerable<Case> Cases()
    {
        long[][] shapes = [[2, 3, 5, 7], [1, 16, 4, 4], [3, 17, 9, 1], [16, 64, 8, 8], [4, 512, 2, 2], [1, 1, 3, 3], [7, 40, 6, 6], [9, 16, 1, 1], [33, 130, 3, 3]];
        foreach (var shape in shapes)
            for (var parts = 0; parts < 32; parts++)
                yield return new Case(shape, (parts & 1) != 0, (parts & 2) != 0, (parts & 4) != 0, (parts & 8) != 0, (parts & 16) != 0);
    }

    // Relative to the largest element. bfloat16 keeps 8 bits, and results and gradients are rounded once each (2^-9 = 0.002), sums of both gradients
    // once more; the channel of [1, 1, 3, 3] has nine values, so that its weight's gradient is a difference that cancels.
    [Theory]
    [InlineData(DType.Float32, 0, 1e-5)]
    [InlineData(DType.Float32, 1, 1e-5)]
    [InlineData(DType.Float32, 2, 1e-5)]
    [InlineData(DType.Float32, 3, 1e-5)]
    [InlineData(DType.BFloat16, 0, 0.01)]
    [InlineData(DType.BFloat16, 1, 0.01)]
    [InlineData(DType.BFloat16, 2, 0.01)]
    [InlineData(DType.BFloat16, 3, 0.01)]
    public void Results_statistics_and_gradients_equal_the_operators_in_float64(DType type, int instructions, double tolerance)
    {
        NativeMethods.gmx_instructions_limit(instructions);
        foreach (var c in Cases())
        {
            using var scope = new TensorScope();
            var inputs = Inputs(c, type);
            var running = Running(c, DType.Float32);
            var results = Act.CallMany(3, Arguments(c, inputs, running));
            Tensor[] seeds;

            var wide = inputs.Select(t => Leaf(t.Detach().To(DType.Float64))).ToArray();
            var runningWide = Running(c, DType.Float64);
            var (z, v) = Reference(c, wide, inputs, runningWide);
            var outputs = Outputs(c, c.Relu ? z.Relu() : z, v);
            Assert.Equal(outputs.Length, results.Length);
            for (var i = 0; i < results.Length; i++) Near(outputs[i], results[i]!, tolerance, $"{c}: result {i}");
            for (var i = 0; i < running.Length; i++) Near(runningWide[i], running[i], 1e-5, $"{c}: running statistic {i}");

            // where rounding may move a value across 0, ReLU's gradient is not asked for
            using (Autograd.NoGrad())
            {
                var clear = z.Abs().Gt(1e-4).To(type);
                seeds = [.. results.Select(r => (Draw(c.Shape, type) * clear).Contiguous(MemoryFormat.ChannelsLast))];
            }
            var got = Autograd.Gradients(Weighted(results!, seeds), inputs);
            var want = Autograd.Gradients(Weighted(outputs, seeds), wide);
            for (var i = 0; i < inputs.Length; i++) Near(want[i], got[i], i < inputs.Length - 2 ? tolerance : 8 * tolerance, $"{c}: gradient of input {i} of {inputs.Length}");
        }
    }

    // BatchNorm alone of x sees a gradient that goes through all of its parts: compared with finite float64 operators again
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Second_derivatives_are_the_operators(bool added)
    {
        var c = new Case([3, 5, 4, 4], false, added, true, true, true);
        var inputs = Inputs(c, DType.Float32);
        var wide = inputs.Select(t => Leaf(t.Detach().To(DType.Float64))).ToArray();
        var (z, v) = Reference(c, wide, null, []);
        var got = OfGradients(Act.CallMany(3, Arguments(c, inputs, []))!, inputs);
        var want = OfGradients(Outputs(c, z.Relu(), v), wide);
        for (var i = 0; i < inputs.Length; i++) Near(want[i], got[i], 1e-4, $"input {i}");

        static Tensor[] OfGradients(Tensor?[] results, Tensor[] inputs)
        {
            var loss = results.Select(r => r!.Pow(3).Sum()).Aggregate((a, b) => a + b);
            var gradients = Autograd.Gradients(loss, inputs, createGraph: true);
            return Autograd.Gradients(gradients.Select(g => (g * g).Sum()).Aggregate((a, b) => a + b), inputs);
        }
    }

    [Theory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    public void The_number_of_threads_changes_no_bit(DType type)
    {
        var c = new Case([37, 72, 16, 16], true, true, false, true, true);
        var inputs = Inputs(c, type);
        var seed = Draw(c.Shape, type);
        var threads = TorchRuntime.Threads;
        try
        {
            var runs = new[] { 1, 2, 3, 2 }.Select(n =>
            {
                TorchRuntime.Threads = n;
                var running = Running(c, DType.Float32);
                var results = Act.CallMany(3, Arguments(c, inputs, running))!;
                Tensor[] all = [.. results!, .. running, .. Autograd.Gradients(Weighted(results!, [seed, seed, seed]), inputs)];
                return all.Select(t => t.Detach()).ToArray();
            }).ToArray();
            foreach (var run in runs.Skip(1))
                for (var i = 0; i < run.Length; i++) Assert.Equal(1, run[i].Eq(runs[0][i]).To(DType.Float32).Min().Item());
        }
        finally { TorchRuntime.Threads = threads; }
    }

    [Fact]
    public void A_large_mean_costs_the_variance_nothing()
    {
        var x = Draw([16, 24, 8, 8], DType.Float32, 1000, 0.1);
        var y = Act.CallMany(3, x, Tensor.Ones([24]), Tensor.Zeros([24]), Array.Empty<Tensor>(), Array.Empty<Tensor>(), Array.Empty<Tensor>(), true, Momentum, 0.0, false, false)[0]!.To(DType.Float64);
        Near(Tensor.Ones([24], DType.Float64), (y * y).Mean([0, 2, 3]), 1e-4, "variance");
        Near(Tensor.Ones([24], DType.Float64), y.Mean([0, 2, 3]) + 1, 1e-3, "mean");
    }

    [Fact]
    public void NaN_stays_and_stays_in_its_channel()
    {
        var x = Draw([2, 20, 3, 3], DType.Float32);
        x.Select(0, 1).Select(0, 18).FillInPlace(double.NaN);
        var y = Act.CallMany(3, x, Tensor.Ones([20]), Tensor.Zeros([20]), Array.Empty<Tensor>(), Array.Empty<Tensor>(), Array.Empty<Tensor>(), true, Momentum, Eps, true, false)[0]!;
        for (var channel = 0; channel < 20; channel++) Assert.Equal(channel == 18 ? 0 : 1, y.Narrow(1, channel, 1).AllFinite().Item());
        Assert.True(double.IsNaN(y.Narrow(1, 18, 1).Max().Item()));
    }

    // float32: the fused operators compute what the composed ones compute, to rounding; channels-last is fused, channels-first is composed
    [Theory]
    [InlineData("wrn-10-2", BatchNormMode.Train)]
    [InlineData("wrn-10-2", BatchNormMode.TrainFrozen)]
    [InlineData("wrn-10-2", BatchNormMode.Eval)]
    [InlineData("resnet18", BatchNormMode.Train)]
    [InlineData("resnet18", BatchNormMode.Eval)]
    [InlineData("preact-resnet18", BatchNormMode.Train)]
    [InlineData("mobilenet-0.25", BatchNormMode.Train)]
    public void Models_compute_the_same_fused_and_composed(string name, BatchNormMode mode)
    {
        var x = Tensor.Normal([8, 3, 32, 32], _random);
        var (logits, gradient, state) = Pass(true);
        var (logits2, gradient2, state2) = Pass(false);
        Near(logits2, logits, 1e-4, "logits");
        // tens of layers of float32 in another order of summation; values that ReLU decides otherwise are among them
        Near(gradient2, gradient, 0.02, "gradient");
        Assert.Equal(state.Keys, state2.Keys);
        foreach (var (key, value) in state)
        {
            Near(state2[key], value, 1e-4, key);
            if (mode == BatchNormMode.Train && key.EndsWith("num_batches_tracked")) Assert.Equal(1, value.Item());
            if (mode == BatchNormMode.TrainFrozen && key.EndsWith("running_mean")) Assert.Equal(0, value.Norm().Item());
        }

        (Tensor, Tensor, Dictionary<string, Tensor>) Pass(bool channelsLast)
        {
            using var network = new Network(ModelCatalog.Create(name, new ImageShape(10, 3, 32, 32)), seed: 3, channelsLast: channelsLast);
            var logits = network.Logits(x, new ForwardPass(mode));
            var g = network.Parameters.Gradient((logits * logits).Sum());
            return (logits.Detach(), Tensor.Cat([.. network.Parameters.Parts.Select(p => g.AsStrided(p.Parameter.Shape, p.Parameter.Value.Strides, p.Offset).Contiguous().Flatten())]),
                network.State().ToDictionary(s => s.Name, s => s.Value.Clone()));
        }
    }

    private static void Near(Tensor expected, Tensor actual, double tolerance, string what)
    {
        using var noGrad = Autograd.NoGrad();
        var wide = expected.Detach().To(DType.Float64);
        var (error, size) = ((wide - actual.Detach().To(DType.Float64)).Abs().Max().Item(), wide.Abs().Max().Item());
        Assert.True(error <= tolerance * (size + 1e-2), $"{what}: off by {error:E2}, the largest is {size:E2}");
    }

    private static Tensor Weighted(Tensor[] results, Tensor[] seeds) => results.Zip(seeds, (r, s) => (r.To(DType.Float64) * s.To(DType.Float64)).Sum()).Aggregate((a, b) => a + b);

    private static Tensor Leaf(Tensor t)
    {
        t.RequiresGrad = true;
        return t;
    }

    private Tensor Draw(long[] shape, DType type, double mean = 0, double std = 1)
    {
        var t = Tensor.Normal(shape, _random, mean, std).To(type);
        return shape.Length == 4 ? t.Contiguous(MemoryFormat.ChannelsLast) : t;
    }

    // x, then what is added before and after, weight and bias
    private Tensor[] Inputs(Case c, DType type)
    {
        var channels = c.Shape[1];
        List<Tensor> all = [Leaf(Draw(c.Shape, type, 3, 2))];
        if (c.Added) all.Add(Leaf(Draw(c.Shape, type)));
        if (c.Residual) all.Add(Leaf(Draw(c.Shape, type)));
        all.Add(Leaf(Draw([channels], DType.Float32, 1, 0.3)));
        all.Add(Leaf(Draw([channels], DType.Float32)));
        return [.. all];
    }

    private static Tensor[] Running(Case c, DType type) => c.Running ? [Tensor.Full([c.Shape[1]], 0.25, type), Tensor.Full([c.Shape[1]], 2, type)] : [];

    private static Arg[] Arguments(Case c, Tensor[] inputs, Tensor[] running)
    {
        Tensor[] added = c.Added ? [inputs[1]] : [], residual = c.Residual ? [inputs[c.Added ? 2 : 1]] : [];
        return [inputs[0], inputs[^2], inputs[^1], running, added, residual, true, Momentum, Eps, c.Relu, c.Twice];
    }

    // the value before ReLU, and what is normalised; sums are kept in the activations' type, so that rounding is no error
    private static (Tensor Z, Tensor V) Reference(Case c, Tensor[] wide, Tensor[]? narrow, Tensor[] running)
    {
        var v = wide[0];
        if (c.Added)
        {
            v = wide[0] + wide[1];
            if (narrow is not null) v = v + ((narrow[0].Detach() + narrow[1].Detach()).To(DType.Float64) - v.Detach());
        }
        var y = BatchNorm.Call(v, wide[^2], wide[^1], c.Running ? running[0] : null, c.Running ? running[1] : null, true, Momentum, Eps, false);
        return (c.Residual ? y + wide[c.Added ? 2 : 1] : y, v);
    }

    private static Tensor[] Outputs(Case c, Tensor y, Tensor v) => [y, .. c.Twice ? [y] : Array.Empty<Tensor>(), .. c.Added ? [v] : Array.Empty<Tensor>()];
}
