using GMix.Draws;
using GMix.Models;
using GMix.Nn;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Names and knobs of the models, and how their weights start.</summary>
public class CatalogTests
{
    private static readonly ImageShape Images = new(10, 3, 32, 32);

    [Theory]
    [InlineData("lenet", "no such model; choose from mobilenet")]
    [InlineData("", "no such model")]
    [InlineData("wrn-16", "no such model")]
    [InlineData("wrn-15-4", "the depth must be 6N + 4")]
    [InlineData("wrn-16-0", "the width factor must be at least 1")]
    [InlineData("wrn-16-999", "the width factor must be at most 64")]
    [InlineData("mobilenet-0", "the width multiplier must be above 0")]
    [InlineData("mobilenet-9", "and at most 8")]
    [InlineData("mlp-0", "a hidden layer of 0 units")]
    [InlineData("mlp-64-9999999", "a hidden layer of 9999999 units")]
    [InlineData("resnet34", "no such model")]
    public void A_name_that_cannot_be_is_refused_in_one_line(string name, string expected)
    {
        var error = Assert.Throws<GMixInputException>(() => ModelCatalog.Create(name, Images));
        Assert.Contains(expected, error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    public static TheoryData<string, ModelOptions, string> Misfits => new()
    {
        { "resnet18", new ModelOptions { Dropout = 0.3 }, "--dropout 0.3: resnet18 has no dropout" },
        { "mobilenet", new ModelOptions { Dropout = 0.3 }, "--dropout 0.3: mobilenet has no dropout" },
        { "wrn-16-4", new ModelOptions { Dropout = 1 }, "--dropout 1: must be at least 0 and below 1" },
        { "wrn-16-4", new ModelOptions { Dropout = double.NaN }, "must be at least 0 and below 1" },
        { "wrn-16-4", new ModelOptions { Stem = Stem.ImageNet }, "--stem imagenet: wrn-16-4 has one stem only" },
        { "mlp", new ModelOptions { Stem = Stem.ImageNet }, "--stem imagenet: mlp has one stem only" },
        { "mlp", new ModelOptions { StemStride = 2 }, "--stem-stride 2: mlp has no convolution" },
        { "wrn-16-4", new ModelOptions { StemStride = 3 }, "--stem-stride 3: must be 1 or 2" },
        { "wrn-16-4", new ModelOptions { StemStride = 0 }, "--stem-stride 0: must be 1 or 2" },
        { "mlp", new ModelOptions { Hidden = [8, -1] }, "a hidden layer of -1 units" },
    };

    [Theory]
    [MemberData(nameof(Misfits))]
    public void An_option_that_does_not_fit_is_refused(string name, ModelOptions options, string expected) =>
        Assert.Contains(expected, Assert.Throws<GMixInputException>(() => ModelCatalog.Create(name, Images, options)).Message);

    [Fact]
    public void Words_of_the_command_line_are_read_and_others_refused()
    {
        Assert.Equal([Stem.Cifar, Stem.ImageNet], new[] { "cifar", "imagenet" }.Select(ModelOptions.ParseStem));
        Assert.Equal([WeightInit.FanIn, WeightInit.FanOut, WeightInit.PyTorch], new[] { "fan-in", "fan-out", "pytorch" }.Select(ModelOptions.ParseInit));
        Assert.Contains("--stem wide", Assert.Throws<GMixInputException>(() => ModelOptions.ParseStem("wide")).Message);
        Assert.Contains("--init he", Assert.Throws<GMixInputException>(() => ModelOptions.ParseInit("he")).Message);
    }

    [Theory]
    [InlineData("mlp", new[] { 64, 64 })]
    [InlineData("mlp-16", new[] { 16 })]
    [InlineData("mlp-128-64-32", new[] { 128, 64, 32 })]
    public void An_mlps_name_tells_its_hidden_layers(string name, int[] hidden)
    {
        var weights = ModelCatalog.Create(name, Images).NamedParameters().Where(p => p.Parameter.Shape.Length == 2).Select(p => p.Parameter.Shape);
        long[][] expected = [.. hidden.Append(10).Zip(hidden.Prepend(3072), (o, i) => new long[] { o, i })];
        Assert.Equal(expected, weights);
    }

    [Theory]
    [InlineData("wrn-10-2", null, WeightInit.FanIn)]
    [InlineData("resnet18", null, WeightInit.FanOut)]
    [InlineData("mobilenet", null, WeightInit.PyTorch)]
    [InlineData("preact-resnet18", null, WeightInit.PyTorch)]
    [InlineData("wrn-10-2", WeightInit.FanOut, WeightInit.FanOut)]
    [InlineData("mobilenet", WeightInit.FanIn, WeightInit.FanIn)]
    public void Convolutions_start_with_their_sources_spread(string name, WeightInit? asked, WeightInit expected)
    {
        // the widest 3x3 convolution of at most half a million weights has a known spread to 2 %
        var model = ModelCatalog.Create(name, Images, new ModelOptions { Init = asked });
        var (_, p) = model.NamedParameters().Where(p => p.Parameter.Shape.Length == 4 && p.Parameter.Count < 500_000 && p.Parameter.Shape[0] != p.Parameter.Shape[1]).MaxBy(p => p.Parameter.Count);
        var values = Start(p);
        var (fanIn, fanOut) = (p.Count / p.Shape[0], p.Count / p.Shape[1]);
        var std = expected switch
        {
            WeightInit.FanIn => Math.Sqrt(2.0 / fanIn),
            WeightInit.FanOut => Math.Sqrt(2.0 / fanOut),
            _ => 1 / Math.Sqrt(3.0 * fanIn),
        };
        Assert.Equal(1, Math.Sqrt(values.Average(v => v * v)) / std, 0.02);
        if (expected == WeightInit.PyTorch) Assert.True(values.Max(Math.Abs) <= 1 / Math.Sqrt(fanIn));
    }

    [Fact]
    public void BatchNorm_scale_starts_at_one_or_uniform()
    {
        Assert.All(Start(Scale(ScaleInit.One)), v => Assert.Equal(1, v));
        var uniform = Start(Scale(ScaleInit.Uniform));
        Assert.All(uniform, v => Assert.InRange(v, 0, 1));
        Assert.Equal(0.5, uniform.Average(), 0.1);

        static Parameter Scale(ScaleInit init) => ModelCatalog.Create("wrn-10-8", Images, new ModelOptions { Scale = init }).NamedParameters().Single(p => p.Name == "bn1.weight").Parameter;
    }

    [Theory]
    [InlineData("wrn-10-1", "fc", false)]
    [InlineData("resnet18", "fc", true)]
    [InlineData("mobilenet", "linear", true)]
    [InlineData("preact-resnet18", "linear", true)]
    public void Linear_bias_starts_as_in_the_source(string name, string layer, bool drawn)
    {
        var named = ModelCatalog.Create(name, Images).NamedParameters().ToDictionary(p => p.Name, p => p.Parameter);
        var bias = Start(named[layer + ".bias"]);
        if (!drawn) Assert.All(bias, v => Assert.Equal(0, v));
        else
        {
            Assert.All(bias, v => Assert.InRange(Math.Abs(v), 0, 1 / Math.Sqrt(named[layer + ".weight"].Shape[1])));
            Assert.Equal(bias.Length, bias.Distinct().Count());
        }
    }

    private static double[] Start(Parameter p)
    {
        var values = new double[p.Count];
        p.Initializer(values, p.Shape, new CounterRandom(1, DrawStream.Init));
        return values;
    }
}
