using GMix.Data;
using GMix.Draws;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Pipelines;

/// <summary>Training on a stream of images.</summary>
public sealed class StreamingTrainerTests
{
    internal static ImageSet Images(int count, long seed)
    {
        var pixels = new byte[count * 3 * 8 * 8];
        var random = new CounterRandom(seed, DrawStream.Diagnostics);
        for (var i = 0; i < pixels.Length; i++) pixels[i] = (byte)random.NextUInt32();
        return new ImageSet("random", pixels, count, 3, 8, 8, [.. Enumerable.Range(0, count).Select(i => i % 3)], ["a", "b", "c"]);
    }

    /// <summary>EXACT: weights and figures after a stop in the first epoch and a second epoch are those of images on the device.</summary>
    [Fact]
    public void TrainingIsBitwiseTheSame()
    {
        double[] Train(bool stream)
        {
            var config = new TrainConfig { Model = "mlp", Method = "mixup", Epochs = 2, Batch = 12, Threads = 1, Seed = 3, Augmentation = new Augmentation(2, true), Stream = stream };
            var data = new DatasetSplits(Images(50, 1), Images(20, 2), new Normalization([0.5, 0.5, 0.5], [0.3, 0.3, 0.3]), new DataSource("synthetic", "", "random pixels"));
            using var trainer = new Trainer(config, data);
            using var stop = new CancellationTokenSource();
            Assert.Null(trainer.RunEpoch(p => { if (p.Step == 2) stop.Cancel(); }, stop.Token));
            var figures = new List<double>();
            while (!trainer.Done)
            {
                var r = trainer.RunEpoch()!;
                figures.AddRange([r.TrainLoss, r.TestLoss, r.TestAccuracy, r.VicinalAccuracy]);
            }
            using var scope = new TensorScope();
            return [.. figures, .. trainer.Network.State().SelectMany(s => s.Value.ToDoubles())];
        }
        Assert.Equal(Train(false), Train(true));
    }
}

/// <summary>Not beside other tests: the counter of live tensors is the process's.</summary>
[Collection(nameof(Methods.LeakTests))]
public sealed class StreamingLeakTests
{
    /// <summary>Passes that end and passes that are left early leave no tensor behind.</summary>
    [Fact]
    public void NoTensorIsLeft()
    {
        var set = StreamingTrainerTests.Images(64, 4);
        var order = new PipelineOrder(0, 64, 4);
        using var pipeline = new StreamingPipeline(set, new Normalization([0, 0, 0], [1, 1, 1]), DType.Float32, Device.Cpu, true, 3);
        void Pass(int steps)
        {
            using var pass = pipeline.Pass(order.Batches(order.Epoch(0)));
            for (var i = 0; i < steps; i++)
            {
                using var scope = new TensorScope();
                pass.Next(new Augmentation(2, true, Cutout: 2), new CounterRandom(0, DrawStream.Augment, 0, i));
            }
        }
        Pass(2);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = TorchRuntime.LiveTensors;
        for (var i = 0; i < 50; i++)
        {
            Pass(i % 17);
            Assert.Equal(before, TorchRuntime.LiveTensors);
        }
    }
}
