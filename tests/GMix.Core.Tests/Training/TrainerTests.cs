using GMix.Data;
using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>The loop: exact resume at any step, determinism, no leak, errors that stop it.</summary>
public sealed class TrainerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-trainer").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    public static TheoryData<string> Methods() => [.. MethodCatalog.Entries.Select(e => e.Name)];

    private static TrainConfig Config(string method) => new()
    {
        Model = "wrn-10-1", Method = method, Epochs = 2, Batch = 30, Limit = 100, Threads = 2, Seed = 11, Augmentation = new Augmentation(4, true), Sgd = new SgdOptions(0.9, 5e-4),
    };

    // small images keep these tests quick: the loop does not care about their size
    private static DatasetSplits Data(TrainConfig config)
    {
        var data = Trainer.Open(config);
        return data with { Train = Shrink(data.Train), Test = Shrink(data.Test.Limit(60, 1)) };
    }

    private static ImageSet Shrink(ImageSet set)
    {
        var pixels = new byte[set.Count * 3 * 8 * 8];
        for (var i = 0; i < set.Count; i++)
            for (var c = 0; c < 3; c++)
                for (var y = 0; y < 8; y++)
                    for (var x = 0; x < 8; x++)
                        pixels[((i * 3 + c) * 8 + y) * 8 + x] = set.Image(i)[(c * 32 + 4 * y) * 32 + 4 * x];
        return new ImageSet(set.Name, pixels, set.Count, 3, 8, 8, set.Labels, set.ClassNames);
    }

    private static double[] Everything(Trainer t)
    {
        using var scope = new TensorScope();
        return [.. t.Network.State().SelectMany(s => s.Value.ToDoubles()), .. t.Optimizer.Velocity.ToDoubles()];
    }

    /// <summary>The algorithm of convolutions is the run's own, in whichever thread its epochs run.</summary>
    [Fact]
    public void ConvolutionsRunAsTheConfigurationSays()
    {
        double[] Train(Winograd? configured, Winograd ofThread)
        {
            var weights = Array.Empty<double>();
            var thread = new Thread(() =>
            {
                TorchRuntime.Winograd = ofThread;
                var config = Config("vanilla") with { Model = "wrn-10-2", Limit = 60, Epochs = 1, Winograd = configured };
                using var trainer = new Trainer(config, Trainer.Open(config)); // images of 32x32: Winograd's algorithm pays
                while (!trainer.Done) trainer.RunEpoch();
                weights = Everything(trainer);
            });
            thread.Start();
            thread.Join();
            return weights;
        }
        var (on, off) = (Train(null, Winograd.On), Train(null, Winograd.Off));
        Assert.Equal(on, Train(Winograd.On, Winograd.Off));
        Assert.Equal(off, Train(Winograd.Off, Winograd.On));
        if (System.Runtime.Intrinsics.X86.Avx2.IsSupported && Environment.GetEnvironmentVariable("GMIX_INSTRUCTIONS") is null) Assert.NotEqual(on, off);
    }

    /// <summary>EXACT: stopped within an epoch, saved, restored in a new trainer, the end is the same bit for bit, and so are the epoch's figures.</summary>
    [Theory]
    [MemberData(nameof(Methods))]
    public void ResumeIsBitwiseExact(string method)
    {
        var config = Config(method);
        var data = Data(config);
        using var whole = new Trainer(config, data);
        var expected = new List<EpochResult>();
        while (!whole.Done) expected.Add(whole.RunEpoch()!);

        var path = Path.Combine(_folder, "checkpoint.safetensors");
        using (var first = new Trainer(config, data))
        {
            first.RunEpoch();
            using var stop = new CancellationTokenSource();
            Assert.Null(first.RunEpoch(p => { if (p.Step == 2) stop.Cancel(); }, stop.Token));
            first.Save(path);
        }
        using var second = new Trainer(config, data);
        second.Restore(path);
        var last = second.RunEpoch()!;
        Assert.Equal(Everything(whole), Everything(second));
        // times differ, all else is the same
        Assert.Equal(expected[^1] with { Seconds = 0, ImagesPerSecond = 0 }, last with { Seconds = 0, ImagesPerSecond = 0 });
    }

    [Fact]
    public void TwoRunsOfOneConfigurationAreBitwiseEqualAndSeedsDiffer()
    {
        double[] Run(long seed)
        {
            var config = Config("dgmix") with { Seed = seed, Epochs = 1 };
            using var t = new Trainer(config, Data(config));
            t.RunEpoch();
            return Everything(t);
        }
        Assert.Equal(Run(1), Run(1));
        Assert.NotEqual(Run(1), Run(2));
    }

    /// <summary>Mixup and G-Mix with one seed see the same vicinal batches: the first epoch's first loss is the same number.</summary>
    [Fact]
    public void MethodsWithOneSeedSeeTheSameBatches()
    {
        double First(string method)
        {
            var config = Config(method);
            using var t = new Trainer(config, Data(config));
            var loss = double.NaN;
            t.RunEpoch(p => { if (p.Step == 1) loss = p.Loss; });
            return loss;
        }
        Assert.Equal(First("mixup"), First("gmix"));
        Assert.Equal(First("mixup"), First("dgmix"));
        Assert.Equal(First("vanilla"), First("sam"));
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void NoTensorOutlivesItsStep(string method)
    {
        var config = Config(method) with { Model = "mlp", Epochs = 25 };
        using var t = new Trainer(config, Data(config));
        t.RunEpoch();
        var counts = new HashSet<long>();
        while (!t.Done) t.RunEpoch(p => { if (p.Step == 1) counts.Add(TorchRuntime.LiveTensors); });
        Assert.Single(counts);
    }

    [Fact]
    public void ADivergingLossStopsWithItsPlace()
    {
        var config = Config("vanilla") with { LearningRate = 1e30, Epochs = 5 };
        using var t = new Trainer(config, Data(config));
        var e = Assert.Throws<DivergedException>(() => { while (!t.Done) t.RunEpoch(); });
        Assert.Matches("epoch [0-9]+, step [0-9]+, at learning rate", e.Message);
    }

    [Fact]
    public void GapIsTestMinusVicinalAccuracy()
    {
        var config = Config("mixup") with { Epochs = 1 };
        using var t = new Trainer(config, Data(config));
        var r = t.RunEpoch()!;
        Assert.Equal(r.TestAccuracy - r.VicinalAccuracy, r.Gap);
        Assert.Equal(r.TrainAccuracy, r.VicinalAccuracy);
        Assert.InRange(r.VicinalAccuracy, 0, 100);
        Assert.NotNull(r.CleanTrainAccuracy);
        Assert.NotNull(r.IntrusionMiss);
    }

    [Fact]
    public void PassesAreCountedAsTheoryHasThem()
    {
        (double F, double R) Passes(string method)
        {
            var config = Config(method) with { Epochs = 1, Batch = 20, MethodOptions = new MethodOptions { Gamma = 0.5 } };
            using var t = new Trainer(config, Data(config));
            var r = t.RunEpoch()!;
            return (r.Forwards / 5, r.Backwards / 5);
        }
        Assert.Equal((1, 1), Passes("vanilla"));
        Assert.Equal((2, 2), Passes("gmix"));
        Assert.Equal((2.5, 1.5), Passes("bgmix"));
        Assert.Equal((3, 2), Passes("dgmix"));
    }

    [Fact]
    public void ABatchLargerThanTheSetIsRefused()
    {
        var config = Config("vanilla") with { Batch = 101 };
        Assert.Contains("--batch 101", Assert.Throws<GMixInputException>(() => new Trainer(config, Data(config))).Message);
    }

    [Fact]
    public void ACheckpointOfAnotherRunIsRefused()
    {
        var path = Path.Combine(_folder, "other.safetensors");
        var config = Config("vanilla");
        var data = Data(config);
        using (var t = new Trainer(config, data)) t.Save(path);
        using var other = new Trainer(config with { Method = "sam" }, data);
        Assert.Contains(path, Assert.Throws<GMixInputException>(() => other.Restore(path)).Message);
    }
}
