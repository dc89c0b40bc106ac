using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using System.Runtime.Intrinsics.X86;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Forward and backward passes of the models.</summary>
public sealed class PassTests : IDisposable
{
    private readonly TensorScope _scope = new();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Families => ["mobilenet", "resnet18", "preact-resnet18-stembn", "wrn-10-2", "mlp"];

    // bfloat16 has 8 bits: the gradient points the same way, not more; weights, statistics and logits stay float32. MobileNet has 27 layers and no
    // shortcuts: noise of 2^-9 on the images alone turns its float32 gradient to a cosine of 0.7, so less can be asked of it
    [Theory]
    [MemberData(nameof(Families))]
    public void Gradients_reach_every_tensor_and_bfloat16_follows_float32(string name)
    {
        using var network = Make(name);
        var exact = Gradient(network);
        Assert.Equal(1, exact.AllFinite().Item());
        foreach (var part in network.Parameters.Parts)
            Assert.True(exact.Narrow(0, part.Offset, part.Parameter.Count).Norm().Item() > 0, $"{part.Name} has no gradient");

        using var half = Make(name, Precision.BFloat16);
        var g = Gradient(half);
        Assert.Equal(1, g.AllFinite().Item());
        Assert.All(half.State(), s => Assert.NotEqual(DType.BFloat16, s.Value.DType));
        var cosine = g.Dot(exact).Item() / (g.Norm().Item() * exact.Norm().Item());
        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: cosine {cosine:F4}");
        Assert.InRange(cosine, name == "mobilenet" ? 0.3 : 0.9, 1.0001);
        foreach (var ((key, a), (_, b)) in network.State().Zip(half.State()).Where(s => s.First.Name.EndsWith("running_var")))
            Assert.True((a - b).Norm().Item() <= 0.05 * a.Norm().Item(), key);
    }

    /// <summary>Winograd's algorithm rounds more often than a direct convolution; a network's gradient must not feel it.</summary>
    [Fact]
    public void Gradients_in_float32_are_float64s_up_to_rounding_by_either_algorithm()
    {
        using var network = Make("wrn-10-1");
        using var exact = Make("wrn-10-1", Precision.Float64);
        exact.Load(network.State().ToDictionary(s => s.Name, s => s.Value.DType == DType.Float32 ? s.Value.To(DType.Float64) : s.Value), "float32");
        var reference = Gradient(exact);
        double Distance(int mode)
        {
            var before = NativeMethods.gmx_winograd(mode);
            try { return (Gradient(network).To(DType.Float64) - reference).Norm().Item() / reference.Norm().Item(); }
            finally { NativeMethods.gmx_winograd(before); }
        }
        var (direct, winograd) = (Distance(0), Distance(1));
        TestContext.Current.TestOutputHelper?.WriteLine($"direct {direct:E2}, Winograd's {winograd:E2}");
        if (Avx2.IsSupported && Fma.IsSupported) Assert.NotEqual(direct, winograd);
        Assert.InRange(winograd, 0, Math.Min(1e-4, 4 * direct));
    }

    public static TheoryData<string, string> Stages => new()
    {
        { "mobilenet", "0:3x32 1:64x32 2:128x16 3:256x8 4:512x4 5:1024x2" },
        { "mobilenet-0.5", "0:3x32 1:32x32 2:64x16 3:128x8 4:256x4 5:512x2" },
        { "resnet18", "0:3x32 1:64x32 2:128x16 3:256x8 4:512x4" },
        { "preact-resnet18", "0:3x32 1:64x32 2:128x16 3:256x8 4:512x4" },
        { "wrn-10-2", "0:3x32 1:32x32 2:64x16 3:128x8" },
    };

    [Theory]
    [MemberData(nameof(Stages))]
    public void Stages_have_the_published_channels_and_sizes(string name, string expected)
    {
        using var network = Make(name);
        Assert.Equal(expected, Visited(network, 32));
    }

    [Theory]
    [InlineData("wrn-10-1", null, 96, "0:3x96 1:16x48 2:32x24 3:64x12")]
    [InlineData("wrn-10-1", 1, 96, "0:3x96 1:16x96 2:32x48 3:64x24")]
    [InlineData("mobilenet-0.25", 2, 32, "0:3x32 1:16x16 2:32x8 3:64x4 4:128x2 5:256x1")]
    [InlineData("preact-resnet18", 2, 32, "0:3x32 1:64x16 2:128x8 3:256x4 4:512x2")]
    public void The_stems_stride_divides_every_size(string name, int? stride, int size, string expected)
    {
        using var network = new Network(ModelCatalog.Create(name, new ImageShape(10, 3, size, size), new ModelOptions { StemStride = stride }));
        Assert.Equal(expected, Visited(network, size));
    }

    [Fact]
    public void The_imagenet_stem_divides_the_size_by_four()
    {
        using var network = new Network(ModelCatalog.Create("resnet18", new ImageShape(10, 3, 96, 96), new ModelOptions { Stem = Stem.ImageNet }));
        Assert.Equal("0:3x96 1:64x24 2:128x12 3:256x6 4:512x3", Visited(network, 96));
    }

    [Theory]
    [MemberData(nameof(Families))]
    public void What_happens_at_a_stage_reaches_the_logits(string name)
    {
        // He's spread keeps the images visible through all layers while the running statistics are at their start
        using var network = new Network(ModelCatalog.Create(name, new ImageShape(10, 3, 32, 32), new ModelOptions { Init = WeightInit.FanIn }), seed: 3);
        using var noGrad = Autograd.NoGrad();
        var images = Images(2, 32);
        var plain = network.Logits(images, ForwardPass.Eval);
        foreach (var stage in new[] { 0, 1, 2 })
        {
            var swapped = network.Logits(images, ForwardPass.Eval with { AtStage = (k, h) => k == stage ? h.Flip(0) : h });
            // rows swapped at any stage come out swapped, since running statistics treat rows alike
            Assert.True((swapped.Flip(0) - plain).Norm().Item() <= 1e-5 * plain.Norm().Item(), $"stage {stage}");
            Assert.True((swapped - plain).Norm().Item() > 1e-5 * plain.Norm().Item(), $"stage {stage} is not there");
        }
    }

    [Theory]
    [InlineData("mobilenet-0.25")]
    [InlineData("resnet18")]
    [InlineData("wrn-10-1")]
    public void Both_memory_layouts_give_the_same_logits(string name)
    {
        using var a = Make(name, channelsLast: true);
        using var b = Make(name, channelsLast: false);
        using var noGrad = Autograd.NoGrad();
        var images = Images(2, 32);
        var (x, y) = (a.Logits(images, ForwardPass.Eval), b.Logits(images, ForwardPass.Eval));
        Assert.True((x - y).Norm().Item() <= 1e-5 * y.Norm().Item());
    }

    private static Network Make(string name, Precision precision = Precision.Float32, bool? channelsLast = null) =>
        new(ModelCatalog.Create(name, new ImageShape(10, 3, 32, 32)), precision, seed: 3, channelsLast: channelsLast);

    private static Tensor Images(int count, int size)
    {
        using var generator = new Generator(Device.Cpu);
        return Tensor.Normal([count, 3, size, size], generator.Seed(7));
    }

    /// <summary>The gradient of the cross-entropy of classes 0, 1, 2, … on a batch of 8.</summary>
    private static Tensor Gradient(Network network)
    {
        var logits = network.Logits(Images(8, 32).To(network.Type), new ForwardPass(BatchNormMode.Train));
        Assert.Equal(network.Type, logits.DType);
        var labels = Tensor.Range(0, 8).OneHot(10).To(network.Type);
        return network.Parameters.Gradient(-(logits.LogSoftmax() * labels).Sum() / 8);
    }

    private static string Visited(Network network, int size)
    {
        var seen = new List<string>();
        using var noGrad = Autograd.NoGrad();
        network.Logits(Images(1, size), ForwardPass.Eval with
        {
            AtStage = (k, h) =>
            {
                Assert.Equal(h.Size(2), h.Size(3));
                seen.Add($"{k}:{h.Size(1)}x{h.Size(2)}");
                return h;
            },
        });
        return string.Join(' ', seen);
    }
}
