using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Hyper-parameters: what is given arrives, what is wrong is refused in one line.</summary>
public class OptionTests
{
    [Theory]
    [InlineData("rho", "-0.1", "--rho -0.1: must be at least 0")]
    [InlineData("rho", "much", "--rho much: must be at least 0")]
    [InlineData("rho", "NaN", "--rho NaN: must be at least 0")]
    [InlineData("gamma", "0", "--gamma 0: must be above 0 and at most 1")]
    [InlineData("gamma", "1.5", "--gamma 1.5: must be above 0 and at most 1")]
    [InlineData("alpha", "-1", "--alpha -1: must be at least 0 (0 means no mixing)")]
    [InlineData("copies", "0", "--copies 0: must be a whole number, at least 1")]
    [InlineData("copies", "2.5", "--copies 2.5: must be a whole number, at least 1")]
    [InlineData("copy", "cutout", "--copy cutout: must be one of cutmix mixup gaussian crop-flip")]
    [InlineData("beta", "0", "--beta 0: must be above 0 and at most 1")]
    [InlineData("balance", "2", "--balance 2: must be from 0 to 1")]
    [InlineData("every", "0", "--every 0: must be a whole number, at least 1")]
    [InlineData("layers", "0,-1", "--layers 0,-1: must be stages separated by commas, each 0 (the image) or more, such as 0,1,2")]
    [InlineData("layers", "", "--layers : must be stages separated by commas, each 0 (the image) or more, such as 0,1,2")]
    [InlineData("label-smoothing", "1", "--label-smoothing 1: must be at least 0 and below 1")]
    [InlineData("score", "loss", "--score loss: must be one of sharpness abs-sharpness perturbed-loss clean-loss random least-sharpness")]
    [InlineData("normalize", "perhaps", "--normalize perhaps: must be true or false")]
    public void Bad_text_is_one_line_that_names_the_flag(string flag, string text, string message) =>
        Assert.Equal(message, Assert.Throws<GMixInputException>(() => Parameter(flag).Read(new MethodOptions(), text)).Message);

    [Fact]
    public void Bad_values_are_refused_by_the_catalog_too()
    {
        foreach (var (options, flag) in new (MethodOptions, string)[]
        {
            (new() { Rho = -1 }, "--rho -1"), (new() { Gamma = 0 }, "--gamma 0"), (new() { Alpha = double.NaN }, "--alpha NaN"), (new() { Kappa = double.PositiveInfinity }, "--kappa"), (new() { Every = 0 }, "--every 0"),
            (new() { FromEpoch = -1 }, "--from-epoch -1"), (new() { Copies = 0 }, "--copies 0"), (new() { Beta = 1.1 }, "--beta 1.1"), (new() { LabelSmoothing = 1 }, "--label-smoothing 1"), (new() { Layers = [] }, "--layers"),
            (new() { MixProbability = 2 }, "--mix-probability 2"), (new() { StepSize = 0 }, "--step-size 0"), (new() { AscentSteps = -1 }, "--ascent-steps -1"), (new() { Eta = -1 }, "--eta -1"), (new() { AaceThreshold = 2 }, "--aace-threshold 2"),
        })
        {
            var error = Assert.Throws<GMixInputException>(() => MethodCatalog.Get("vanilla", options));
            Assert.StartsWith(flag, error.Message);
            Assert.Contains(": must be ", error.Message);
            Assert.DoesNotContain('\n', error.Message);
        }
    }

    [Fact]
    public void An_unknown_method_is_refused_with_the_known_ones() =>
        Assert.Equal("--method gmx: no such method; choose from vanilla mixup sam gmix bgmix dgmix maxup cutmix manifold asam aace gsam esam gnp looksam amp", Assert.Throws<GMixInputException>(() => MethodCatalog.Get("gmx")).Message);

    [Fact]
    public void Every_flag_changes_every_method_that_has_it_and_no_other()
    {
        var other = new Dictionary<string, string>
        {
            ["alpha"] = "0.7", ["lambda-per-sample"] = "true", ["fold-lambda"] = "true", ["mix-probability"] = "0.25", ["layers"] = "0,1", ["copies"] = "7", ["copy"] = "mixup", ["rho"] = "0.123", ["rho-min"] = "0.02", ["every"] = "3", ["from-epoch"] = "2",
            ["perturb"] = "weights", ["ascent-on"] = "clean", ["eta"] = "0.5", ["asam-weights-only"] = "true", ["normalize"] = "true", ["aace-target"] = "uniform", ["aace-threshold"] = "0.2", ["beta"] = "0.3", ["mask-per-element"] = "true",
            ["step-size"] = "0.4", ["ascent-steps"] = "3", ["ball-per-tensor"] = "true", ["gamma"] = "0.35", ["kappa"] = "-1", ["subset"] = "reuse", ["score"] = "random", ["score-precision"] = "float32", ["rounding"] = "ceil", ["minus-at-base"] = "true", ["minus-by-batch"] = "true",
            ["alpha-g"] = "0.9", ["balance"] = "0.3", ["normalize-base"] = "true", ["look-alpha"] = "0.1", ["label-smoothing"] = "0.1", ["later-statistics"] = "update",
            ["sigma"] = "0.9", ["loss"] = "binary-on-softmax",
        };
        Assert.Equal(HyperParameters.All.Select(p => p.Flag).Order(), other.Keys.Order());
        foreach (var (flag, text) in other)
        {
            var options = Parameter(flag).Read(new MethodOptions(), text);
            Assert.Equal(text, Parameter(flag).GivenText(options));
            foreach (var entry in MethodCatalog.Entries)
            {
                // Gaussian copies are the only ones with a deviation
                var start = flag == "sigma" ? new MethodOptions { Copy = CopyKind.Gaussian } : new MethodOptions();
                var has = entry.Parameters.Concat(MethodCatalog.Common).Any(p => p.Flag == flag);
                var (before, after) = (Shown(entry.Make(start)), Shown(entry.Make(Parameter(flag).Read(start, text))));
                Assert.True(has == (before != after), $"--{flag} {text} on {entry.Name}: {before} became {after}");
            }
        }

        static string Shown(Method m) => $"{m.Mix} {m.Perturb} {m.Perturb.When} {m.Combine} {m.Loss} {m.LaterStatistics}";
    }

    [Fact]
    public void Defaults_are_the_published_ones_per_preset()
    {
        Assert.Equal(0.8, ((Binary)MethodCatalog.Get("bgmix").Combine).Gamma);
        Assert.Equal(0.5, ((Binary)MethodCatalog.Get("bgmix", new MethodOptions { Preset = Preset.Paper }).Combine).Gamma);
        Assert.Equal(0.9, ((Binary)MethodCatalog.Get("bgmix", new MethodOptions { Preset = Preset.Paper, Gamma = 0.9 }).Combine).Gamma);
        Assert.Equal(0.5, ((Decomposed)MethodCatalog.Get("dgmix").Combine).Gamma);
        // a radius below its own minimum does not rise again
        Assert.Equal(0, ((Sam)MethodCatalog.Get("gsam", new MethodOptions { Rho = 0 }).Perturb).RhoMin);
    }

    [Fact]
    public void Every_hyper_parameter_says_what_it_is()
    {
        foreach (var parameter in HyperParameters.All.Concat(MethodCatalog.Entries.SelectMany(e => e.Parameters)))
        {
            Assert.NotEmpty(parameter.Meaning);
            Assert.NotEmpty(parameter.Range);
            Assert.NotEmpty(parameter.Source);
            Assert.NotEmpty(parameter.DefaultText);
            // the default is itself a good value, as typed
            parameter.Read(new MethodOptions(), parameter.DefaultText);
        }
    }

    [Theory]
    [InlineData("vanilla", 1, 1)]
    [InlineData("sam", 2, 2)]
    [InlineData("bgmix", 2.8, 1.8)]
    [InlineData("dgmix", 3, 2)]
    [InlineData("maxup", 5, 1)]
    [InlineData("aace", 2, 2)]
    [InlineData("gsam", 2, 2)]
    [InlineData("esam", 2.5, 1.5)]
    [InlineData("looksam", 1.2, 1.2)]
    public void Costs_are_those_of_the_literature(string name, double forwards, double backwards)
    {
        var cost = MethodCatalog.Get(name).Cost;
        Assert.Equal(forwards, cost.Forwards, 1e-12);
        Assert.Equal(backwards, cost.Backwards, 1e-12);
        Assert.Equal((forwards + 2 * backwards) / 3, cost.AgainstSgd, 1e-12);
    }

    [Fact]
    public void Statistics_move_in_every_pass_when_asked()
    {
        foreach (var (name, passes) in ((string, int)[])[("vanilla", 1), ("sam", 2), ("bgmix", 3), ("dgmix", 4), ("amp", 2), ("maxup", 1)])
        {
            using var lab = new Lab("wrn-10-1");
            lab.Step(MethodCatalog.Get(name, new MethodOptions { LaterStatistics = LaterStatistics.Update }));
            Assert.All(lab.Network.Buffers.Where(b => b.Name.EndsWith("num_batches_tracked", StringComparison.Ordinal)), b => Assert.Equal(passes, b.Value.Item()));
        }
    }

    [Fact]
    public void Label_smoothing_reaches_the_loss()
    {
        using var lab = new Lab();
        var (plain, smooth) = (lab.Step(MethodCatalog.Get("vanilla")), lab.Step(MethodCatalog.Get("vanilla", new MethodOptions { LabelSmoothing = 0.1 })));
        // (1 − s) l + s · mean over classes of −ln p
        var expected = plain.LossesAtW * 0.9 - 0.1 * plain.Logits.LogSoftmax(1).Mean([1]);
        Close.Equal(expected, smooth.LossesAtW, 1e-12);
    }

    [Fact]
    public void Binary_loss_is_that_of_each_class()
    {
        using var lab = new Lab(count: 4, classes: 3);
        var mixed = new Targets(Tensor.From([0L, 1, 2, 0], 4), Tensor.From([1L, 1, 0, 2], 4), Tensor.From([0.3, 0.6, 1, 0], 4));
        var logits = Tensor.From([0.1, -2, 1, 3, 0, -1, 0.5, 0.5, 0.5, -1, 2, 0], 4, 3);
        var expected = new double[4];
        foreach (var smoothing in (double[])[0, 0.1])
        {
            for (var i = 0; i < 4; i++)
            {
                var z = logits.ToDoubles().AsSpan(3 * i, 3).ToArray();
                var p = z.Select(v => Math.Exp(v) / z.Sum(Math.Exp)).ToArray();
                var y = new double[3];
                y[mixed.A.ToArray<long>()[i]] += mixed.Lambda!.ToDoubles()[i];
                y[mixed.B!.ToArray<long>()[i]] += 1 - mixed.Lambda.ToDoubles()[i];
                expected[i] = Enumerable.Range(0, 3).Average(k => (1 - smoothing) * y[k] + smoothing / 3 is var t ? -t * Math.Log(p[k]) - (1 - t) * Math.Log(1 - p[k]) : 0);
            }
            Close.Equal(expected, new Loss(smoothing, LossKind.BinaryOnSoftmax).PerExample(logits, mixed).ToDoubles(), 1e-12);
        }
        // a certain and wrong answer costs much, and its gradient is finite
        var certain = Tensor.From([900.0, 0], 1, 2);
        certain.RequiresGrad = true;
        var loss = new Loss(0, LossKind.BinaryOnSoftmax).PerExample(certain, new Targets(Tensor.From([1L], 1)));
        Assert.True(loss.Item() > 400);
        Assert.True(Autograd.Gradients(loss.Sum(), [certain])[0].AllFinite().Item() != 0);
    }

    private static HyperParameter Parameter(string flag) => HyperParameters.All.Single(p => p.Flag == flag);
}
