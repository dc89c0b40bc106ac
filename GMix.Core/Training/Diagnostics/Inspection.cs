using GMix.Data;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>
/// A finished run opened to be measured: its network with the trained weights, its training images, its draws. Measuring changes none of them.
/// What <see cref="Clean"/> and <see cref="Vicinal"/> hold is freed with the <see cref="TensorScope"/> they are made in.
/// </summary>
public sealed class Inspection : IDisposable
{
    private readonly Pipeline _train;

    /// <param name="config">The run's configuration, see <see cref="Elsewhere"/>.</param>
    /// <param name="method">Its method.</param>
    /// <param name="data">Its data, see <see cref="Trainer.Open"/>.</param>
    /// <param name="weights">Its file of trained weights.</param>
    /// <exception cref="GMixInputException">Configuration, data and weights do not fit together.</exception>
    public Inspection(TrainConfig config, Method method, DatasetSplits data, string weights)
    {
        var model = Trainer.CheckFit(config, data);
        (Config, Method, Data) = (config, method, data);
        TorchRuntime.TuneAllocator();
        TorchRuntime.Threads = config.Threads;
        TorchRuntime.SetDeterministic(true);
        // differences of losses drown in bfloat16's rounding
        var precision = config.Precision == Precision.Float64 ? Precision.Float64 : Precision.Float32;
        Network = new Network(model, precision, Device.Parse(config.Device), config.Seed);
        Weights.Load(Network, weights);
        _train = Pipeline.Open(data.Train, data.Normalization, Network.Type, Network.Device, Network.ChannelsLast);
        VicinalMix = method.Mix is NoMix ? new Mixup(config.VicinalAlpha) : method.Mix;
    }

    /// <summary>The run's configuration.</summary>
    public TrainConfig Config { get; }
    /// <summary>Its method.</summary>
    public Method Method { get; }
    /// <summary>Its data.</summary>
    public DatasetSplits Data { get; }
    /// <summary>Its network with the trained weights; in float32 where the run computed in bfloat16.</summary>
    public Network Network { get; }
    /// <summary>What makes vicinal examples: the method's own mix; for a method that mixes nothing Mixup, as for its vicinal accuracy.</summary>
    public Mix VicinalMix { get; }

    /// <summary>The configuration of a run to be measured in another place than it was trained.</summary>
    /// <param name="config">The run's.</param>
    /// <param name="data">Folder of the data; null for the run's.</param>
    /// <param name="device">Null for the run's.</param>
    /// <param name="threads">Null for the run's.</param>
    public static TrainConfig Elsewhere(TrainConfig config, string? data, string? device, int? threads) =>
        config with { Data = data ?? config.Data, Device = device ?? config.Device, Threads = threads ?? config.Threads };

    /// <summary>The loss on training images as they are: not augmented, not mixed.</summary>
    /// <param name="images">A fixed random part of this many, or all where there are fewer.</param>
    /// <param name="seed">Which part.</param>
    public FixedLoss Clean(int images, long seed) =>
        new(Network, Batches(images, seed, (batch, _) => new VicinalBatch(batch.Images, new Targets(batch.Labels))));

    /// <summary>The loss on vicinal examples made of the same images: drawn once, then fixed.</summary>
    /// <inheritdoc cref="Clean" path="/param"/>
    public FixedLoss Vicinal(int images, long seed)
    {
        var scorer = new EvalScorer(Network, Method.Loss);
        return new(Network, Batches(images, seed, (batch, step) =>
        {
            var draw = VicinalMix.Draw(new CounterRandom(seed, DrawStream.Metric, 0, step), batch.Count, Data.Train.Height, Data.Train.Width);
            return VicinalMix.Apply(batch, draw with { Seed = new CounterRandom(seed, DrawStream.Metric, 1, step).NextUInt64() }, scorer);
        }));
    }

    /// <summary>The sensitivity of the training examples, see <see cref="GMix.Training.Sensitivity"/>.</summary>
    /// <param name="images">A fixed random part of this many; 0 for all.</param>
    public Sensitivity Sensitivity(int images = 0) => new(Network, Config, Method, _train, images);

    /// <summary>A fixed random part of 0 … count − 1, ascending.</summary>
    internal static long[] Part(int count, int size, long seed)
    {
        var part = new CounterRandom(seed, DrawStream.Diagnostics).Permutation(count)[..Math.Min(count, size)];
        Array.Sort(part);
        return part;
    }

    private VicinalBatch[] Batches(int images, long seed, Func<Batch, int, VicinalBatch> make)
    {
        if (images < 1) throw new GMixInputException($"--images {images}: must be at least 1");
        using var noGrad = Autograd.NoGrad();
        var part = Part(_train.Count, images, seed);
        // at least four groups for m-sharpness, none larger than a training batch
        var group = Math.Min(Config.Batch, (part.Length + 3) / 4);
        return [.. part.Chunk(group).Select((indices, step) =>
        {
            var (pixels, labels) = _train.Take(indices);
            return make(new Batch(pixels, labels), step);
        })];
    }

    /// <summary>Frees network and images.</summary>
    public void Dispose()
    {
        _train.Dispose();
        Network.Dispose();
    }

    /// <summary>Scores MaxUp's copies as the loss here is measured: on running statistics.</summary>
    private sealed class EvalScorer(Network network, Loss loss) : IScorer
    {
        public Tensor Score(VicinalBatch batch)
        {
            using var noGrad = Autograd.NoGrad();
            return loss.PerExample(network.Logits(batch.Inputs, new ForwardPass(BatchNormMode.Eval) { AtStage = batch.AtStage }), batch.Targets);
        }
    }
}
