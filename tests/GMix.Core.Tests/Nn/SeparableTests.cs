using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Nn;

/// <summary>
/// ReLU(BN₂(depthwise(ReLU(BN₁(z))))) as one operator against libtorch's operators in float64: sizes that fill no block, one image, both strides, every
/// set of instructions that the processor has.
/// </summary>
public sealed class SeparableTests : IDisposable
{
    private const double Momentum = 0.1, Eps = 1e-5;
    private static readonly Operator Separable = Operator.Find("gmix::separable"), BatchNorm = Operator.Find("aten::batch_norm");
    private readonly TensorScope _scope = new();
    private readonly Random _random = new(3);

    public void Dispose()
    {
        NativeMethods.gmx_instructions_limit(9);
        _scope.Dispose();
    }

    // z, then scale and shift before, filter, scale and shift after
    private Tensor[] Inputs(long[] shape, DType type, DType filterType)
    {
        var c = shape[1];
        return [.. ((Tensor[])[Draw(shape, 1.5, 0.3).To(type).Contiguous(MemoryFormat.ChannelsLast), Draw([c], 0.4, 1), Draw([c], 0.5, 0.1), Draw([c, 1, 3, 3], 1, 0.1).To(filterType), Draw([c], 0.4, 1), Draw([c], 0.5, 0.1)]).Select(Leaf)];
    }

    private Tensor Draw(long[] shape, double spread, double mean)
    {
        var values = new double[shape.Aggregate(1L, (a, b) => a * b)];
        for (var i = 0; i < values.Length; i++) values[i] = mean + spread * Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble());
        return Tensor.From(values, shape).To(DType.Float32);
    }

    private static Tensor[] Running(long channels, DType type) => [Tensor.Full([channels], 0.5, type), Tensor.Full([channels], 2, type), Tensor.Full([channels], -0.5, type), Tensor.Full([channels], 3, type)];

    private static Tensor Own(Tensor[] t, Tensor[] running, long stride, bool training = true) =>
        Separable.Call(t[0], (Tensor[])[t[1], t[2]], running.Take(2).ToArray(), t[3], stride, (Tensor[])[t[4], t[5]], running.Skip(2).ToArray(), training, Momentum, Eps);

    private static (Tensor Before, Tensor After) Reference(Tensor[] t, Tensor[] running, long stride, bool training = true)
    {
        Tensor Norm(Tensor x, Tensor scale, Tensor shift, int at) =>
            BatchNorm.Call(x, scale, shift, running.Length == 0 ? null : running[at], running.Length == 0 ? null : running[at + 1], training, Momentum, Eps, true);
        var before = Norm(t[0], t[1], t[2], 0);
        var after = Norm(before.Relu().Conv2d(t[3], null, stride, 1, t[0].Shape[1]), t[4], t[5], 2);
        return (before, after);
    }

    public static TheoryData<DType, int> Paths()
    {
        var rows = new TheoryData<DType, int>();
        foreach (var type in (DType[])[DType.Float32, DType.BFloat16])
            for (var level = 0; level <= 3; level++) rows.Add(type, level);
        return rows;
    }

    // Relative to the largest element. In bfloat16 u, y, the gradient by z, and what leads to it, are rounded once each (2^-9 = 0.002); a value of the activations
    // that rounding moves across 0 turns its gradient on or off, which sums of few values feel.
    [Theory, MemberData(nameof(Paths))]
    public void EqualsTheOperatorsInFloat64(DType type, int level)
    {
        NativeMethods.gmx_instructions_limit(level);
        foreach (var stride in (long[])[1, 2])
            foreach (var shape in (long[][])[[2, 16, 1, 1], [1, 16, 5, 4], [3, 32, 4, 5], [35, 48, 2, 2], [5, 16, 7, 7], [2, 64, 9, 8], [40, 16, 8, 8], [2, 16, 33, 32]])
                foreach (var moves in (bool[])[true, false])
                {
                    using var scope = new TensorScope();
                    var where = $"[{string.Join(", ", shape)}] stride {stride}{(moves ? " running" : "")}";
                    var inputs = Inputs(shape, type, DType.Float32);
                    var running = moves ? Running(shape[1], DType.Float32) : [];
                    var wide = inputs.Select(t => Leaf(t.Detach().To(DType.Float64))).ToArray();
                    var runningWide = moves ? Running(shape[1], DType.Float64) : [];
                    var positions = shape[0] * ((shape[2] - 1) / stride + 1) * ((shape[3] - 1) / stride + 1);
                    var y = Own(inputs, running, stride);
                    var (before, after) = Reference(wide, runningWide, stride);
                    Assert.Equal(type, y.DType);
                    // two values normalise to ±1 whatever they are: rounding is all that is left in their gradient
                    var tolerance = type == DType.Float32 ? 2e-5 : 0.02;
                    if (positions < 4) continue;
                    Near(after.Relu(), y, tolerance, $"{where}: result");
                    for (var i = 0; i < running.Length; i++) Near(runningWide[i], running[i], type == DType.Float32 ? 1e-5 : 1e-3, $"{where}: running statistic {i}");
                    var seed = Draw(y.Shape, 1, 0).To(type).Contiguous(MemoryFormat.ChannelsLast);
                    var got = Autograd.Gradients(y, inputs, seed);
                    // ReLU's masks are those of the reference where nothing is near 0; else compare with masks that are smooth enough on average
                    var want = Autograd.Gradients(after.Relu(), wide, seed.To(DType.Float64));
                    for (var i = 0; i < inputs.Length; i++)
                    {
                        Assert.Equal(inputs[i].DType, got[i].DType);
                        Alike(want[i], got[i], type == DType.Float32 ? 1e-3 : 0.06, $"{where}: gradient of input {i}");
                    }
                }
    }

    [Fact]
    public void EvalFloat64AndOddChannelsAreTheOperators()
    {
        foreach (var (shape, type, training) in ((long[], DType, bool)[])[([3, 16, 6, 6], DType.Float32, false), ([3, 16, 6, 6], DType.Float64, true), ([3, 9, 6, 6], DType.Float32, true)])
        {
            using var scope = new TensorScope();
            var inputs = Inputs(shape, DType.Float32, DType.Float32).Select(t => Leaf(t.Detach().To(type))).ToArray();
            var wide = inputs.Select(t => Leaf(t.Detach().To(DType.Float64))).ToArray();
            var (running, runningWide) = (Running(shape[1], type), Running(shape[1], DType.Float64));
            var y = Own(inputs, running, 2, training);
            var after = Reference(wide, runningWide, 2, training).After.Relu();
            Near(after, y, 1e-5, "result");
            for (var i = 0; i < 4; i++) Near(runningWide[i], running[i], 1e-6, $"running statistic {i}");
            var seed = Draw(y.Shape, 1, 0);
            var (got, want) = (Autograd.Gradients(y, inputs, seed.To(type)), Autograd.Gradients(after, wide, seed.To(DType.Float64)));
            for (var i = 0; i < inputs.Length; i++) Alike(want[i], got[i], 1e-3, $"gradient of input {i}");
        }
    }

    [Fact]
    public void AGradientHasAGradient()
    {
        var inputs = Inputs([3, 16, 4, 5], DType.Float32, DType.Float32);
        var wide = inputs.Select(t => Leaf(t.Detach().To(DType.Float64))).ToArray();
        var got = OfGradients(Own(inputs, [], 2), inputs);
        var want = OfGradients(Reference(wide, [], 2).After.Relu(), wide);
        for (var i = 0; i < inputs.Length; i++) Alike(want[i], got[i], 1e-3, $"input {i}");

        static Tensor[] OfGradients(Tensor y, Tensor[] inputs)
        {
            var gradients = Autograd.Gradients(y.Pow(3).Sum(), inputs, createGraph: true);
            return Autograd.Gradients(gradients.Select(g => (g * g).Sum()).Aggregate((a, b) => a + b), inputs);
        }
    }

    [Theory, InlineData(DType.Float32), InlineData(DType.BFloat16)]
    public void TheNumberOfThreadsChangesNoBit(DType type)
    {
        var inputs = Inputs([37, 32, 12, 12], type, DType.Float32);
        var seed = Draw([37, 32, 12, 12], 1, 0).To(type).Contiguous(MemoryFormat.ChannelsLast);
        var threads = TorchRuntime.Threads;
        try
        {
            var runs = new[] { 1, 2, 3, 2 }.Select(n =>
            {
                TorchRuntime.Threads = n;
                var running = Running(32, DType.Float32);
                var y = Own(inputs, running, 1);
                return ((Tensor[])[y, .. running, .. Autograd.Gradients(y, inputs, seed)]).Select(t => t.Contiguous().ToDoubles()).ToArray();
            }).ToArray();
            foreach (var run in runs.Skip(1)) Assert.Equal(runs[0], run);
        }
        finally { TorchRuntime.Threads = threads; }
    }

    [Fact]
    public void ALargeMeanCostsTheVarianceNothing()
    {
        var t = Inputs([16, 16, 8, 8], DType.Float32, DType.Float32);
        // activations near 1000 by the shift before: sums of squares about 0 would keep no digit of a variance near 1
        t[2] = Tensor.Full([16], 1000);
        t[4] = Tensor.Ones([16]);
        t[5] = Tensor.Zeros([16]);
        t[3] = Tensor.From([0.0, 0, 0, 0, 1, 0, 0, 0, 0], [1, 1, 3, 3]).To(DType.Float32).Expand(16, 1, 3, 3).Contiguous();
        var running = Running(16, DType.Float32);
        using (Autograd.NoGrad()) Own(t, running, 1);
        var variance = t[1].ToDoubles(); // of u: BN₁'s scale, squared
        var moved = running[3].ToDoubles();
        for (var i = 0; i < 16; i++) Assert.InRange((moved[i] - 2.7) / 0.1 / (variance[i] * variance[i] * 1024 / 1023), 0.999, 1.001);
    }

    // the whole network, with the layers' parts and without
    [Theory, InlineData("mobilenet-0.5", Precision.Float32), InlineData("mobilenet-0.5", Precision.BFloat16)]
    public void MobileNetIsTheSameByStages(string name, Precision precision)
    {
        var images = Draw([8, 3, 32, 32], 1, 0);
        (double[] Logits, double[] Gradient, double[] Buffers) Run(Func<int, Tensor, Tensor>? atStage)
        {
            using var network = new Network(ModelCatalog.Create(name, new ImageShape(10, 3, 32, 32)), precision, seed: 3);
            var logits = network.Logits(images, new ForwardPass(BatchNormMode.Train) { AtStage = atStage });
            var gradient = network.Parameters.Gradient((logits * logits).Mean());
            return (logits.ToDoubles(), gradient.ToDoubles(), [.. network.Buffers.SelectMany(b => b.Value.To(DType.Float64).ToDoubles())]);
        }
        var (own, parts) = (Run(null), Run((_, h) => h));
        // deep normalised networks blow rounding up; at 1x1 positions a batch of 8 has little to average
        var tolerance = precision == Precision.Float32 ? 1e-3 : 0.15;
        Assert.InRange(Difference(parts.Logits, own.Logits), 0, tolerance);
        Assert.InRange(Difference(parts.Gradient, own.Gradient), 0, precision == Precision.Float32 ? 2e-3 : 0.5);
        Assert.InRange(Difference(parts.Buffers, own.Buffers), 0, precision == Precision.Float32 ? 1e-4 : 0.02);
    }

    private static Tensor Leaf(Tensor t)
    {
        var leaf = t.Detach();
        leaf.RequiresGrad = true;
        return leaf;
    }

    private static double Difference(double[] want, double[] got) =>
        Math.Sqrt(want.Zip(got, (a, b) => (a - b) * (a - b)).Sum() / Math.Max(want.Sum(v => v * v), 1e-30));

    // in the mean square: single values whose ReLU rounding switches do not count as much as they differ
    private static void Alike(Tensor want, Tensor got, double tolerance, string where)
    {
        var difference = Difference(want.Contiguous().ToDoubles(), got.Contiguous().ToDoubles());
        Assert.True(difference <= tolerance, $"{where}: relative difference {difference}");
    }

    private static void Near(Tensor want, Tensor got, double tolerance, string where)
    {
        Assert.Equal(want.Shape, got.Shape);
        var (w, g) = (want.Contiguous().ToDoubles(), got.Contiguous().ToDoubles());
        var scale = w.Max(Math.Abs);
        for (var i = 0; i < w.Length; i++)
            if (!(Math.Abs(w[i] - g[i]) <= tolerance * scale)) Assert.Fail($"{where}: element {i} is {g[i]}, expected {w[i]} (largest {scale})");
    }
}
