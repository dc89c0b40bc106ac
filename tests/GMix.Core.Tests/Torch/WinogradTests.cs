using GMix.Nn;
using GMix.Torch;
using Xunit;
using static GMix.Core.Tests.Torch.Convolved;

namespace GMix.Core.Tests.Torch;

/// <summary>
/// gmix::conv3x3 by Winograd's algorithm against libtorch's convolution in float64. Transformed values are sums of up to four, so rounding them to bfloat16
/// instead of the operands weighs (5/3)² as much in variance for independent operands. Of one rounding's variance r²: libtorch's result has 2 r² (weights,
/// result), this one 2 (5/3)² r² + r², a distance 1.8 times as large; libtorch's gradient of the weights has r² (its result alone), this one
/// 2 (5/3)² r², 2.4 times as large. r is 1.7e-3. The bounds leave room for the few numbers of the smallest layers.
/// </summary>
public sealed class WinogradTests : IDisposable
{
    private const int Off = 0, WherePays = 1, Everywhere = 2;
    private readonly int _before = NativeMethods.gmx_winograd(Everywhere);
    private readonly TensorScope _scope = new();

    public WinogradTests()
    {
        if (NativeMethods.gmx_winograd_has_bf16() == 0) Assert.Skip("this processor has no AVX512-BF16: convolutions in bfloat16 are libtorch's");
    }

    public void Dispose()
    {
        _scope.Dispose();
        NativeMethods.gmx_winograd(_before);
    }

    private static Layer Draw(int n, int inputs, int outputs, int h, int w, bool channelsLast = true) => Convolved.Draw(DType.BFloat16, n, inputs, outputs, h, w, channelsLast);

    [Theory]
    [InlineData(2, 64, 64, 8, 8)]
    [InlineData(1, 16, 64, 7, 5)]
    [InlineData(3, 33, 17, 5, 9)]
    [InlineData(1, 3, 16, 6, 6)]
    [InlineData(2, 160, 96, 9, 6)]
    [InlineData(1, 200, 72, 4, 4)]
    [InlineData(5, 32, 48, 2, 2)]
    [InlineData(4, 40, 40, 1, 3)]
    [InlineData(6, 64, 128, 16, 16)]
    [InlineData(1, 512, 512, 4, 4)]
    public void ItEqualsTheDefinitionUpToRounding(int n, int inputs, int outputs, int h, int w)
    {
        var layer = Draw(n, inputs, outputs, h, w);
        var (exact, direct, ours) = (Run(layer, DType.Float64, false), Run(layer, DType.BFloat16, false), Run(layer));
        Assert.Equal(DType.BFloat16, ours.Y.DType);
        Assert.Equal(DType.BFloat16, ours.Dx.DType);
        Assert.Equal(DType.Float32, ours.Dw.DType); // never rounded to bfloat16
        void Near(Tensor a, Tensor b, Tensor reference, double times)
        {
            Assert.Equal(reference.Shape, a.Shape);
            Assert.InRange(Distance(a, reference), 0, Math.Min(6e-3, times * Distance(b, reference)));
        }
        Near(ours.Y, direct.Y, exact.Y, 2.2);
        Near(ours.Dx, direct.Dx, exact.Dx, 2.2);
        Near(ours.Dw, direct.Dw, exact.Dw, 3);
    }

    /// <summary>Small whole numbers leave nothing to round: every tap, border and channel must be exact.</summary>
    [Theory]
    [InlineData(2, 34, 50, 5, 7)]
    [InlineData(1, 64, 64, 4, 4)]
    [InlineData(3, 16, 100, 3, 2)]
    public void WholeNumbersComeOutExactly(int n, int inputs, int outputs, int h, int w)
    {
        using var generator = new Generator(Device.Cpu).Seed(3);
        Tensor Whole(long[] shape, double density) => ((Tensor.Bernoulli(shape, 0.5, generator) * 2 - 1) * Tensor.Bernoulli(shape, density, generator)).Contiguous(MemoryFormat.ChannelsLast);
        // weights in multiples of 4, so that the halves of the transform stay whole; sums below 256, where bfloat16 counts
        var layer = new Layer(Whole([n, inputs, h, w], 0.3).To(DType.BFloat16), Whole([outputs, inputs, 3, 3], 0.1) * 4, Whole([n, outputs, h, w], 0.3).To(DType.BFloat16));
        var (exact, ours) = (Run(layer, DType.Float64, false), Run(layer));
        Assert.True(exact.Y.Abs().Max().Item() <= 256 && exact.Dx.Abs().Max().Item() <= 256);
        Assert.Equal(exact.Y.ToDoubles(), ours.Y.ToDoubles());
        Assert.Equal(exact.Dx.ToDoubles(), ours.Dx.ToDoubles());
        Assert.Equal(exact.Dw.ToDoubles(), ours.Dw.ToDoubles());
    }

    [Fact]
    public void TheOrderOfTheWeightsInMemoryDoesNotMatter()
    {
        var (last, first) = (Run(Draw(2, 48, 80, 6, 6)), Run(Draw(2, 48, 80, 6, 6, channelsLast: false)));
        Assert.Equal(last.Y.ToDoubles(), first.Y.ToDoubles());
        Assert.Equal(last.Dx.ToDoubles(), first.Dx.ToDoubles());
        Assert.Equal(last.Dw.ToDoubles(), first.Dw.ToDoubles());
    }

    [Fact]
    public void TheSameBitsEveryTimeOnAnyNumberOfThreads()
    {
        var layer = Draw(9, 72, 64, 15, 16);
        var first = Run(layer);
        var threads = TorchRuntime.Threads;
        try
        {
            foreach (var n in new[] { threads, 1, 2, 3 })
            {
                TorchRuntime.Threads = n;
                Same(first, Run(layer));
            }
        }
        finally { TorchRuntime.Threads = threads; }
    }

    [Fact]
    public void SecondDerivativesTakeTheComposite()
    {
        var layer = Draw(2, 32, 32, 6, 6);
        double[] Second(int mode)
        {
            NativeMethods.gmx_winograd(mode);
            var (x, w) = (layer.X.Detach(), layer.W.Detach());
            w.RequiresGrad = true;
            using var autocast = new Autocast(true, Device.Cpu);
            var y = x.Conv3x3(w).To(DType.Float32);
            var g = Autograd.Gradients((y * y).Sum(), [w], createGraph: true)[0];
            return Autograd.Gradients((g * g).Sum(), [w])[0].ToDoubles();
        }
        var (ours, theirs) = (Second(Everywhere), Second(Off));
        var distance = Math.Sqrt(ours.Zip(theirs, (a, b) => (a - b) * (a - b)).Sum() / theirs.Sum(b => b * b));
        Assert.InRange(distance, 0, 0.02); // a forward pass and three gradients in bfloat16 between the two
    }

    [Fact]
    public void AutocastRoundsTheInputAndLeavesTheWeights()
    {
        var layer = Draw(2, 64, 64, 8, 8);
        var (x, w) = (layer.X.To(DType.Float32).Detach(), layer.W.Detach());
        x.RequiresGrad = w.RequiresGrad = true;
        using var autocast = new Autocast(true, Device.Cpu);
        var y = x.Conv3x3(w);
        // the gradient of a sum is one element seen everywhere
        var g = Autograd.Gradients(y.Sum(), [x, w]);
        Assert.Equal((DType.BFloat16, DType.Float32, DType.Float32), (y.DType, g[0].DType, g[1].DType));
        Assert.Equal(Run(layer).Y.ToDoubles(), y.ToDoubles());
        var ones = layer with { G = layer.G * 0 + 1 };
        Assert.Equal(Run(ones).Dw.ToDoubles(), g[1].ToDoubles());
    }

    [Fact]
    public void OtherwiseItIsLibtorchsConvolution()
    {
        var layer = Draw(2, 32, 32, 6, 6);
        Same(Run(layer, DType.Float64, false), Run(layer, DType.Float64));
        NativeMethods.gmx_winograd(WherePays); // 18 tiles are too few
        Same(Run(layer, DType.BFloat16, false), Run(layer, DType.BFloat16));
        NativeMethods.gmx_winograd(Off);
        var large = Draw(8, 64, 64, 16, 16);
        Same(Run(large, DType.BFloat16, false), Run(large, DType.BFloat16));
        Assert.Throws<TorchException>(() => layer.X.Conv3x3(Tensor.Zeros([4, 5, 3, 3], DType.BFloat16)));
    }

    [Fact]
    public void ALayerOfANetworkTakesItWhereItPays()
    {
        var layer = Draw(4, 64, 64, 16, 16);
        var conv = new Conv2d(64, 64, 3, 1, 1);
        conv.NamedParameters().Single().Parameter.Value = layer.W;
        var expected = Run(layer).Y.ToDoubles();
        NativeMethods.gmx_winograd(WherePays);
        using var autocast = new Autocast(true, Device.Cpu);
        using (Autograd.NoGrad())
        {
            var ours = conv.Forward(layer.X);
            Assert.Equal(expected, ours.ToDoubles());
            NativeMethods.gmx_winograd(Off);
            Assert.NotEqual(conv.Forward(layer.X).ToDoubles(), ours.ToDoubles());
        }
    }
}
