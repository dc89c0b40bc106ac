using GMix.Core.Tests.Methods;
using GMix.Data;
using GMix.Methods;
using GMix.Models;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Diagnostics;

public sealed class SensitivityTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-inspect-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private static TrainConfig Config(string method) => new()
    {
        Dataset = "synthetic", Limit = 60, Model = "wrn-10-1", Method = method, Epochs = 1, Batch = 25, Seed = 4, Augmentation = new Augmentation(2, true),
        MethodOptions = new MethodOptions { Gamma = 0.4 },
    };

    /// <summary>A run as training leaves it, opened.</summary>
    private Inspection Open(TrainConfig config)
    {
        var data = Trainer.Open(config);
        var path = Path.Combine(_folder, $"{config.Method}.safetensors");
        using (var trainer = new Trainer(config, data)) Weights.Save(trainer.Network, path);
        return new Inspection(config, MethodCatalog.Get(config.Method, config.MethodOptions), data, path);
    }

    private static byte[] State(Inspection run) => [.. run.Network.State().SelectMany(s => Lab.Bits(s.Value))];

    /// <summary>EXACT: at the initial weights, the mean over the first epoch's first batch is what the first training step saw.</summary>
    [Fact]
    public void TheDrawsAreTheRunsOwn()
    {
        var config = Config("bgmix") with { LearningRate = 1e-300, Sgd = new SgdOptions(0, 0) };
        var data = Trainer.Open(config);
        using var trainer = new Trainer(config, data);
        using var run = Open(config);
        // a learning rate of nothing keeps the weights, so that the epoch's figures are those of fixed weights; running statistics are not used in training
        var epoch = trainer.RunEpoch()!;
        using var sensitivity = run.Sensitivity();
        var measured = sensitivity.Measure(0);
        var means = new[] { (0, 25), (25, 25), (50, 10) }.Select(b => measured.Values.Skip(b.Item1).Take(b.Item2).Average());
        Assert.Equal(epoch.SensitivityMean!.Value, means.Average(), 1e-9);
        Assert.Equal(epoch.TrainLoss, measured.LossAtW.Average(), 1e-6);
        Assert.Equal(epoch.OrderingRate!.Value, 100.0 / 3 * new[] { (0, 25), (25, 25), (50, 10) }.Count(b =>
        {
            var rows = Enumerable.Range(b.Item1, b.Item2).ToArray();
            return rows.Where(i => measured.Selected[i]).Average(i => measured.LossAtPerturbed[i]) >= rows.Average(i => measured.LossAtPerturbed[i]);
        }), 1e-9);
    }

    [Theory]
    [InlineData("bgmix")]
    [InlineData("vanilla")]
    [InlineData("mixup")]
    [InlineData("maxup")]
    [InlineData("manifold")]
    [InlineData("looksam")]
    [InlineData("esam")]
    public void EveryMethodIsMeasuredAndNothingMoves(string method)
    {
        using var scope = new TensorScope();
        using var run = Open(Config(method));
        var before = State(run);
        using var sensitivity = run.Sensitivity();
        var (first, second, again) = (sensitivity.Measure(0), sensitivity.Measure(1), sensitivity.Measure(0));
        Assert.Equal(first.LossAtPerturbed, again.LossAtPerturbed);
        Assert.NotEqual(first.Examples, second.Examples);
        Assert.Equal(Enumerable.Range(0, 60).Select(i => (long)i), first.Examples.Order());
        Assert.True(before.AsSpan().SequenceEqual(State(run)));
        Assert.Equal(method is "vanilla" or "looksam" or "esam", first.Lambda.All(l => l == 1));
        Assert.Equal(method is not ("vanilla" or "mixup" or "maxup" or "manifold"), sensitivity.OwnPerturb);
        // γ = 0.4 of 25, 25, 10 where the method selects; half of them where it does not
        Assert.Equal(method is "bgmix" or "esam" ? 10 + 10 + 4 : 12 + 12 + 5, first.Selected.Count(s => s));
        // the selected are the most sensitive of their batch
        for (var start = 0; start < 60; start += 25)
        {
            var rows = Enumerable.Range(start, Math.Min(25, 60 - start)).ToArray();
            Assert.True(rows.Where(i => first.Selected[i]).Min(i => first.Values[i]) >= rows.Where(i => !first.Selected[i]).Max(i => first.Values[i]));
        }
        var pictures = sensitivity.Pictures(0, [59, 0, 26], run.Data.Normalization);
        Assert.All(pictures, p => Assert.Equal(3 * 32 * 32, p.Length));
        Assert.True(before.AsSpan().SequenceEqual(State(run)));
        if (method == "maxup") return;
        // vicinal losses exist for every method, on the images of the clean one
        var (clean, vicinal) = (run.Clean(30, 1), run.Vicinal(30, 1));
        Assert.Equal((30, 30), (clean.Count, vicinal.Count));
        Assert.NotEqual(clean.Value(), vicinal.Value());
    }

    /// <summary>EXACT: an unmixed, unaugmented picture is the data set's image.</summary>
    [Fact]
    public void PicturesAreThePixels()
    {
        using var run = Open(Config("sam") with { Augmentation = Augmentation.None });
        using var sensitivity = run.Sensitivity();
        var measured = sensitivity.Measure(1);
        var pictures = sensitivity.Pictures(1, [3, 40], run.Data.Normalization);
        Assert.Equal(run.Data.Train.Image((int)measured.Examples[3]).ToArray(), pictures[0]);
        Assert.Equal(run.Data.Train.Image((int)measured.Examples[40]).ToArray(), pictures[1]);
    }

    [Fact]
    public void APartIsMeasuredByItself()
    {
        using var run = Open(Config("gmix"));
        using var sensitivity = run.Sensitivity(20);
        var (first, second) = (sensitivity.Measure(0), sensitivity.Measure(1));
        Assert.Equal(20, first.Examples.Distinct().Count());
        Assert.Equal(first.Examples.Order(), second.Examples.Order());
    }
}
