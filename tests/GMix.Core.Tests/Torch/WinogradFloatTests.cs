using GMix.Nn;
using GMix.Torch;
using System.Runtime.Intrinsics.X86;
using Xunit;
using static GMix.Core.Tests.Torch.Convolved;

namespace GMix.Core.Tests.Torch;

/// <summary>
/// gmix::conv3x3 in float32 by Winograd's algorithm, with each set of instructions, against libtorch's convolution in float64. Its transforms add up to
/// four values and round each sum; the distance from the exact result is one to four times the direct convolution's, 1e-6 at most.
/// </summary>
public sealed class WinogradFloatTests : IDisposable
{
    private const int Off = 0, WherePays = 1, Everywhere = 2, Everything = 3;
    private readonly int _before = NativeMethods.gmx_winograd(Everywhere);
    private readonly TensorScope _scope = new();

    public void Dispose()
    {
        _scope.Dispose();
        NativeMethods.gmx_winograd(_before);
        NativeMethods.gmx_instructions_limit(Everything);
    }

    private static Layer Draw(int n, int inputs, int outputs, int h, int w, bool channelsLast = true) => Convolved.Draw(DType.Float32, n, inputs, outputs, h, w, channelsLast);

    private static void Differ(Results a, Results b)
    {
        Assert.NotEqual(a.Y.ToDoubles(), b.Y.ToDoubles());
        Assert.NotEqual(a.Dx.ToDoubles(), b.Dx.ToDoubles());
        Assert.NotEqual(a.Dw.ToDoubles(), b.Dw.ToDoubles());
    }

    public static TheoryData<int, int, int, int, int, int> Layers()
    {
        var data = new TheoryData<int, int, int, int, int, int>();
        foreach (var level in new[] { 0, 1, 2 })
            foreach (var (n, inputs, outputs, h, w) in new[] { (2, 64, 64, 8, 8), (1, 16, 64, 7, 5), (3, 32, 16, 5, 9), (2, 160, 96, 9, 6), (1, 208, 80, 4, 4), (4, 48, 48, 1, 3), (6, 64, 128, 16, 16), (1, 512, 512, 4, 4), (40, 16, 32, 32, 32) })
                data.Add(level, n, inputs, outputs, h, w);
        return data;
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void ItEqualsTheDefinitionUpToRounding(int level, int n, int inputs, int outputs, int h, int w)
    {
        var layer = Draw(n, inputs, outputs, h, w);
        var (exact, direct) = (Run(layer, DType.Float64, false), Run(layer, DType.Float32, false));
        NativeMethods.gmx_instructions_limit(level);
        var ours = Run(layer);
        Differ(direct, ours);
        void Near(Tensor a, Tensor b, Tensor reference)
        {
            Assert.Equal(DType.Float32, a.DType);
            Assert.Equal(reference.Shape, a.Shape);
            Assert.InRange(Distance(a, reference), 0, Math.Min(1e-6, 4 * Distance(b, reference)));
        }
        Near(ours.Y, direct.Y, exact.Y);
        Near(ours.Dx, direct.Dx, exact.Dx);
        Near(ours.Dw, direct.Dw, exact.Dw);
    }

    /// <summary>Small whole numbers leave nothing to round: every tap, border and channel must be exact.</summary>
    [Theory]
    [InlineData(2, 32, 48, 5, 7)]
    [InlineData(1, 64, 64, 4, 4)]
    [InlineData(3, 16, 112, 3, 2)]
    [InlineData(3, 24, 8, 6, 1)]
    [InlineData(2, 12, 20, 6, 5)]
    public void WholeNumbersComeOutExactly(int n, int inputs, int outputs, int h, int w)
    {
        using var generator = new Generator(Device.Cpu).Seed(3);
        Tensor Whole(long[] shape) => (Tensor.Normal(shape, generator, 0, 3) * 4).To(DType.Int64).To(DType.Float32).Contiguous(MemoryFormat.ChannelsLast);
        // weights in multiples of 4, so that the halves of the transform stay whole
        var layer = new Layer(Whole([n, inputs, h, w]), Whole([outputs, inputs, 3, 3]) * 4, Whole([n, outputs, h, w]));
        var exact = Run(layer, DType.Float64, false);
        foreach (var level in new[] { 0, 1, 2 })
        {
            NativeMethods.gmx_instructions_limit(level);
            Same(exact, Run(layer));
        }
    }

    [Fact]
    public void TheOrderOfTheWeightsInMemoryDoesNotMatter() =>
        Same(Run(Draw(2, 48, 80, 6, 6)), Run(Draw(2, 48, 80, 6, 6, channelsLast: false)));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void TheSameBitsEveryTimeOnAnyNumberOfThreads(int level)
    {
        NativeMethods.gmx_instructions_limit(level);
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
            var y = x.Conv3x3(w);
            var g = Autograd.Gradients((y * y).Sum(), [w], createGraph: true)[0];
            return Autograd.Gradients((g * g).Sum(), [w])[0].ToDoubles();
        }
        var (ours, theirs) = (Second(Everywhere), Second(Off));
        Assert.NotEqual(ours, theirs); // the forward passes differ
        Assert.InRange(Math.Sqrt(ours.Zip(theirs, (a, b) => (a - b) * (a - b)).Sum() / theirs.Sum(b => b * b)), 0, 3e-6);
    }

    [Fact]
    public void OtherwiseItIsLibtorchsConvolution()
    {
        var layer = Draw(2, 32, 32, 6, 6);
        Same(Run(layer, DType.Float64, false), Run(layer, DType.Float64));
        var odd = Draw(2, 33, 32, 6, 6);
        Same(Run(odd, conv3x3: false), Run(odd)); // channels that fill no register
        NativeMethods.gmx_winograd(WherePays);
        Same(Run(layer, conv3x3: false), Run(layer)); // 18 tiles are too few
        NativeMethods.gmx_winograd(Off);
        var large = Draw(8, 64, 64, 16, 16);
        Same(Run(large, conv3x3: false), Run(large));
        Assert.Throws<TorchException>(() => layer.X.Conv3x3(Tensor.Zeros([4, 5, 3, 3])));
    }

    [Fact]
    public void ALayerOfANetworkTakesItWhereItPays()
    {
        if (!(Avx2.IsSupported && Fma.IsSupported)) Assert.Skip("this processor has no AVX2: convolutions in float32 are libtorch's");
        var layer = Draw(4, 64, 64, 16, 16);
        var conv = new Conv2d(64, 64, 3, 1, 1);
        conv.NamedParameters().Single().Parameter.Value = layer.W;
        var expected = Run(layer).Y.ToDoubles();
        NativeMethods.gmx_winograd(WherePays);
        Assert.Equal(expected, conv.Forward(layer.X).ToDoubles());
        NativeMethods.gmx_instructions_limit(0); // any processor's instructions do not pay
        Assert.Equal(Run(layer, conv3x3: false).Y.ToDoubles(), conv.Forward(layer.X).ToDoubles());
        NativeMethods.gmx_instructions_limit(Everything);
        NativeMethods.gmx_winograd(Off);
        Assert.Equal(Run(layer, conv3x3: false).Y.ToDoubles(), conv.Forward(layer.X).ToDoubles());
    }
}
