using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Nn;

/// <summary>Depthwise and pointwise convolutions of our own against libtorch's in float64, at every size, type and instruction set.</summary>
public class ConvolutionTests
{
    private static readonly Device Host = Device.Cpu;

    /// <summary>Instruction sets: any processor's, AVX2, AVX-512. One that this processor lacks falls back to the next lower.</summary>
    public static TheoryData<int, bool, bool> Paths()
    {
        var rows = new TheoryData<int, bool, bool>();
        foreach (var level in (int[])[0, 1, 2])
        {
            rows.Add(level, false, false);
            rows.Add(level, true, false); // as under autocast
            rows.Add(level, true, true);
        }
        return rows;
    }

    [Theory, MemberData(nameof(Paths))]
    public void DepthwiseEqualsLibtorchInFloat64(int level, bool bf16Images, bool bf16Weights)
    {
        using var limit = new Limit(level);
        var random = new Random(level);
        (int H, int W)[] sizes = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 9), (9, 1), (3, 5), (5, 4), (7, 7), (8, 9), (9, 8), (4, 4)];
        foreach (var stride in (int[])[1, 2])
            foreach (var channels in (int[])[2, 3, 8, 16, 24, 31, 40])
                foreach (var (h, w) in sizes)
                {
                    using var scope = new TensorScope();
                    var images = (h + w + channels) % 3 == 0 ? 1 : 5;
                    var x = Images(random, images, channels, h, w, bf16Images ? DType.BFloat16 : DType.Float32);
                    var weight = Make(random, [channels, 1, 3, 3], bf16Weights ? DType.BFloat16 : DType.Float32);
                    var seed = Images(random, images, channels, (h - 1) / stride + 1, (w - 1) / stride + 1, x.DType);
                    var own = Both(x, weight, seed, (a, b) => a.DepthwiseConv2d(b, stride));
                    var exact = Both(x.To(DType.Float64), weight.To(DType.Float64), seed.To(DType.Float64), (a, b) => a.Conv2d(b, null, stride, 1, channels));
                    Assert.Equal((x.DType, x.DType, weight.DType), (own[0].DType, own[1].DType, own[2].DType));
                    var where = $"stride {stride}, {channels} channels, {h}x{w}, {images} images";
                    // results are rounded once, to the type they are kept in; sums are taken in float32
                    Close(exact[0], own[0], Rounding(x.DType), where);
                    Close(exact[1], own[1], Rounding(x.DType), where);
                    Close(exact[2], own[2], Rounding(weight.DType), where);
                }
    }

    [Theory, InlineData(false), InlineData(true)]
    public void DepthwiseGivesTheSameBitsForAnyNumberOfThreads(bool bf16)
    {
        var before = TorchRuntime.Threads;
        try
        {
            foreach (var images in (int[])[3, 70])
            {
                using var scope = new TensorScope();
                var random = new Random(5);
                var x = Images(random, images, 48, 12, 11, bf16 ? DType.BFloat16 : DType.Float32);
                var weight = Make(random, [48, 1, 3, 3], DType.Float32);
                var seed = Images(random, images, 48, 12, 11, x.DType);
                double[][] Run(int threads)
                {
                    TorchRuntime.Threads = threads;
                    return [.. Both(x, weight, seed, (a, b) => a.DepthwiseConv2d(b, 1)).Select(t => t.ToDoubles())];
                }
                var one = Run(1);
                foreach (var threads in (int[])[1, 2, 3])
                    Assert.Equal(one, Run(threads));
            }
        }
        finally { TorchRuntime.Threads = before; }
    }

    [Fact]
    public void LayoutsAndTypesWithoutKernelsGoToLibtorch()
    {
        using var scope = new TensorScope();
        var random = new Random(7);
        foreach (var type in (DType[])[DType.Float32, DType.Float64])
        {
            var x = Make(random, [2, 12, 7, 6], type);
            if (type == DType.Float64) x = x.Contiguous(MemoryFormat.ChannelsLast);
            var depthwise = Make(random, [12, 1, 3, 3], type);
            Assert.Equal(x.Conv2d(depthwise, null, 2, 1, 12).ToDoubles(), x.DepthwiseConv2d(depthwise, 2).ToDoubles());
            Assert.Equal(x.Conv2d(depthwise, null, 3, 1, 12).ToDoubles(), x.DepthwiseConv2d(depthwise, 3).ToDoubles());
            var pointwise = Make(random, [5, 12, 1, 1], type);
            Assert.Equal(x.Conv2d(pointwise, null, 1, 0).ToDoubles(), x.PointwiseConv2d(pointwise).ToDoubles());
        }
    }

    [Fact]
    public void ADepthwiseGradientHasAGradient()
    {
        using var scope = new TensorScope();
        var random = new Random(11);
        var x = Images(random, 2, 6, 5, 4, DType.Float32);
        var weight = Make(random, [6, 1, 3, 3], DType.Float32);
        // the derivative of |d(sum y²)/dw|² by x and w: through the second derivative in both
        static Tensor[] Second(Tensor x, Tensor w, Func<Tensor, Tensor, Tensor> convolve)
        {
            (x, w) = (Leaf(x), Leaf(w));
            var y = convolve(x, w);
            var first = Autograd.Gradients((y * y).Sum(), [w], createGraph: true)[0];
            return Autograd.Gradients((first * first).Sum(), [x, w]);
        }
        var own = Second(x, weight, (a, b) => a.DepthwiseConv2d(b, 1));
        var exact = Second(x.To(DType.Float64), weight.To(DType.Float64), (a, b) => a.Conv2d(b, null, 1, 1, 6));
        for (var i = 0; i < 2; i++) Close(exact[i], own[i], 2e-5, $"second derivative {i}"); // float32 through three products
    }

    [Theory, MemberData(nameof(Paths))]
    public void StemEqualsLibtorchInFloat64(int level, bool bf16Images, bool bf16Weights)
    {
        NativeMethods.gmx_instructions_limit(level);
        try
        {
            var random = new Random(level);
            foreach (var stride in (int[])[1, 2])
                foreach (var (colours, outputs) in ((int, int)[])[(1, 16), (2, 32), (3, 16), (3, 48), (3, 64), (4, 32), (3, 24), (5, 16)]) // the last two have no kernel
                    foreach (var (h, w, images) in ((int, int, int)[])[(1, 1, 2), (2, 5, 1), (7, 6, 3), (9, 9, 37)])
                    {
                        using var scope = new TensorScope();
                        var x = Images(random, images, colours, h, w, bf16Images ? DType.BFloat16 : DType.Float32);
                        var weight = Make(random, [outputs, colours, 3, 3], bf16Weights ? DType.BFloat16 : DType.Float32);
                        if (bf16Images && !bf16Weights && (outputs == 24 || colours == 5)) continue; // libtorch's own wants one type
                        var seed = Images(random, images, outputs, (h - 1) / stride + 1, (w - 1) / stride + 1, x.DType);
                        var own = Both(x, weight, seed, (a, b) => a.StemConv2d(b, stride));
                        // libtorch rounds weights to the images' type
                        var exact = Both(x.To(DType.Float64), weight.To(x.DType).To(DType.Float64), seed.To(DType.Float64), (a, b) => a.Conv2d(b, null, stride, 1));
                        Assert.Equal((x.DType, x.DType, weight.DType), (own[0].DType, own[1].DType, own[2].DType));
                        var where = $"stride {stride}, {colours} to {outputs} channels, {h}x{w}, {images} images";
                        Close(exact[0], own[0], Rounding(x.DType), where);
                        Close(exact[1], own[1], x.DType == DType.Float32 ? 2e-5 : Rounding(x.DType), where); // libtorch's
                        Close(exact[2], own[2], weight.DType == DType.Float32 ? 2e-5 : Rounding(weight.DType), where); // float32 sums of up to 2,997 terms
                    }
        }
        finally { NativeMethods.gmx_instructions_limit(9); }
    }

    [Fact]
    public void PointwiseEqualsLibtorchInFloat64()
    {
        foreach (var type in (DType[])[DType.Float32, DType.BFloat16])
            foreach (var (inputs, outputs, side, images) in ((int, int, int, int)[])[(16, 24, 5, 3), (64, 32, 2, 17), (3, 7, 1, 1), (8, 8, 30, 12)])
            {
                using var scope = new TensorScope();
                var random = new Random(13);
                var x = Images(random, images, inputs, side, side, type);
                var weight = Make(random, [outputs, inputs, 1, 1], type);
                var seed = Images(random, images, outputs, side, side, type);
                var own = Both(x, weight, seed, (a, b) => a.PointwiseConv2d(b));
                var exact = Both(x.To(DType.Float64), weight.To(DType.Float64), seed.To(DType.Float64), (a, b) => a.Conv2d(b, null, 1, 0));
                // float32 sums of up to 10,800 terms
                for (var i = 0; i < 3; i++) Close(exact[i], own[i], type == DType.Float32 ? 1e-5 : Rounding(type), $"{type}, {inputs} to {outputs} at {side}x{side}, result {i}");
            }
    }

    [Fact]
    public void AutocastTakesBf16ImagesAndKeepsFloat32Gradients()
    {
        using var scope = new TensorScope();
        var random = new Random(17);
        var x = Images(random, 4, 32, 6, 6, DType.Float32);
        var depthwise = Make(random, [32, 1, 3, 3], DType.Float32);
        var pointwise = Make(random, [16, 32, 1, 1], DType.Float32);
        var colours = Images(random, 4, 3, 6, 6, DType.Float32);
        var stem = Make(random, [32, 3, 3, 3], DType.Float32);
        foreach (var (images, weight, convolve) in ((Tensor, Tensor, Func<Tensor, Tensor, Tensor>)[])[(x, depthwise, (a, b) => a.DepthwiseConv2d(b, 2)), (x, pointwise, (a, b) => a.PointwiseConv2d(b)), (colours, stem, (a, b) => a.StemConv2d(b, 1))])
        {
            var (a, b) = (Leaf(images), Leaf(weight));
            Tensor y;
            using (new Autocast(true, Host)) y = convolve(a, b);
            Assert.Equal(DType.BFloat16, y.DType);
            var gradients = Autograd.Gradients(y.To(DType.Float32).Sum(), [a, b]);
            Assert.All(gradients, g => Assert.Equal(DType.Float32, g.DType));
            Assert.Equal(DType.Float32, convolve(images, weight).DType);
        }
    }

    [Theory, InlineData("mobilenet"), InlineData("mobilenet-0.25"), InlineData("mobilenet-0.3")]
    public void MobileNetHasTheSameGradientInChannelsLastAsInRows(string name)
    {
        using var scope = new TensorScope();
        var random = new Random(19);
        var images = Make(random, [4, 3, 32, 32], DType.Float32);
        double[] Gradient(bool channelsLast)
        {
            using var network = new Network(ModelCatalog.Create(name, new ImageShape(10, 3, 32, 32)), Precision.Float32, seed: 3, channelsLast: channelsLast);
            var logits = network.Logits(images, ForwardPass.Eval); // a batch's own statistics would blow rounding up
            var parts = network.Parameters.Parts.Select(p => p.Parameter.Value).ToArray();
            return [.. Autograd.Gradients(logits.Mean(), parts).SelectMany(g => g.Contiguous().ToDoubles())];
        }
        var (own, aten) = (Gradient(true), Gradient(false));
        var scale = Math.Sqrt(aten.Sum(v => v * v));
        Assert.True(scale > 0);
        Assert.InRange(Math.Sqrt(own.Zip(aten, (a, b) => (a - b) * (a - b)).Sum()) / scale, 0, 1e-5);
    }

    // half a unit in the last place of bfloat16's 8 bits, or a few of float32's 24
    private static double Rounding(DType type) => type == DType.BFloat16 ? 1 / 256.0 : 2e-6;

    private static Tensor Make(Random random, long[] shape, DType type)
    {
        var values = new double[shape.Aggregate(1L, (a, b) => a * b)];
        for (var i = 0; i < values.Length; i++) values[i] = 2 * random.NextDouble() - 1;
        return Tensor.From(values, shape).To(type);
    }

    private static Tensor Images(Random random, int n, int c, int h, int w, DType type) => Make(random, [n, c, h, w], type).Contiguous(MemoryFormat.ChannelsLast);

    private static Tensor Leaf(Tensor t)
    {
        var leaf = t.Detach();
        leaf.RequiresGrad = true;
        return leaf;
    }

    private static Tensor[] Both(Tensor x, Tensor weight, Tensor seed, Func<Tensor, Tensor, Tensor> convolve)
    {
        (x, weight) = (Leaf(x), Leaf(weight));
        var y = convolve(x, weight);
        return [y, .. Autograd.Gradients(y, [x, weight], seed)];
    }

    private static void Close(Tensor expected, Tensor actual, double tolerance, string where)
    {
        Assert.Equal(expected.Shape, actual.Shape);
        var (e, a) = (expected.Contiguous().ToDoubles(), actual.Contiguous().ToDoubles());
        var scale = e.Max(Math.Abs);
        for (var i = 0; i < e.Length; i++)
            if (!(Math.Abs(e[i] - a[i]) <= tolerance * (Math.Abs(e[i]) + 0.1 * scale + 0.01))) Assert.Fail($"{where}: element {i} is {a[i]}, expected {e[i]}");
    }

    private readonly struct Limit : IDisposable
    {
        public Limit(int level) => NativeMethods.gmx_instructions_limit(level);
        public void Dispose() => NativeMethods.gmx_instructions_limit(9);
    }
}
