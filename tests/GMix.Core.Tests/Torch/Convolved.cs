using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>A 3×3 layer's input, weights and the gradient of its result, and what comes out of them: for the tests of Winograd's algorithm.</summary>
internal static class Convolved
{
    internal readonly record struct Layer(Tensor X, Tensor W, Tensor G);
    internal readonly record struct Results(Tensor Y, Tensor Dx, Tensor Dw);

    /// <summary>Activations as a network has them: not negative, neighbours alike. They and the gradient in <paramref name="type"/>, the weights in float32.</summary>
    internal static Layer Draw(DType type, int n, int inputs, int outputs, int h, int w, bool channelsLast)
    {
        using var generator = new Generator(Device.Cpu).Seed(7);
        var smooth = Tensor.Normal([n, inputs, 1, 1], generator) + Tensor.Normal([n, inputs, h, w], generator);
        var weight = Tensor.Normal([outputs, inputs, 3, 3], generator, 0, Math.Sqrt(2.0 / (9 * inputs)));
        var g = Tensor.Normal([n, outputs, h, w], generator, 0, 1e-3);
        return new(smooth.Relu().To(type).Contiguous(MemoryFormat.ChannelsLast), weight.Contiguous(channelsLast ? MemoryFormat.ChannelsLast : MemoryFormat.Contiguous),
            g.To(type).Contiguous(MemoryFormat.ChannelsLast));
    }

    /// <summary>Result and gradients, with the layer as it is or all of it in one type; by gmix::conv3x3 or by libtorch's convolution.</summary>
    internal static Results Run(Layer layer, DType? all = null, bool conv3x3 = true)
    {
        var (x, w) = all is { } type ? (layer.X.To(type).Detach(), layer.W.To(type).Detach()) : (layer.X.Detach(), layer.W.Detach());
        x.RequiresGrad = w.RequiresGrad = true;
        var y = conv3x3 ? x.Conv3x3(w) : x.Conv2d(w, null, 1, 1);
        var g = Autograd.Gradients(y, [x, w], all is { } t ? layer.G.To(t) : layer.G);
        return new(y.Detach(), g[0], g[1]);
    }

    internal static void Same(Results a, Results b)
    {
        Assert.Equal(a.Y.ToDoubles(), b.Y.ToDoubles());
        Assert.Equal(a.Dx.ToDoubles(), b.Dx.ToDoubles());
        Assert.Equal(a.Dw.ToDoubles(), b.Dw.ToDoubles());
    }

    internal static double Distance(Tensor a, Tensor reference) => (a.To(DType.Float64) - reference).Norm().Item() / reference.Norm().Item();
}
