using GMix.Data;
using GMix.Draws;
using GMix.Methods;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Every example's sensitivity in one epoch's draws, all at the same weights. Arrays are in the order in which the epoch visits the examples.</summary>
/// <param name="Epoch">Whose order, augmentation and mixing draws; from 0.</param>
/// <param name="Examples">Index of each example in the training set.</param>
/// <param name="First">Class of the example itself.</param>
/// <param name="Second">Class of its partner; its own where nothing is mixed.</param>
/// <param name="Lambda">Weight of the example itself, in [0, 1]; 1 where nothing is mixed.</param>
/// <param name="LossAtW">l_i(w), with BatchNorm on the batch, as in training.</param>
/// <param name="LossAtPerturbed">l_i(w + ε), ε the batch's.</param>
/// <param name="Selected">Whether the example is in B₊ of its batch.</param>
public sealed record SensitivityEpoch(int Epoch, long[] Examples, long[] First, long[] Second, double[] Lambda, double[] LossAtW, double[] LossAtPerturbed, bool[] Selected)
{
    /// <summary>s_i = l_i(w + ε) − l_i(w).</summary>
    public double[] Values => [.. LossAtPerturbed.Zip(LossAtW, (after, before) => after - before)];
}

/// <summary>
/// Per-example sensitivity s_i = l_i(w + ε) − l_i(w) at fixed weights, under the draws of a run: batches, augmentation, λ and partners of an epoch
/// are those that training had. ε is what the method's own perturbation makes of the batch (at full radius, every step); methods that
/// perturb nothing are measured with SAM's. Nothing is updated: weights and running statistics end bit for bit as they were.
/// </summary>
public sealed class Sensitivity : IDisposable
{
    /// <summary>γ of B₊ for methods that select nothing themselves.</summary>
    public const double DefaultGamma = 0.5;

    private readonly TrainConfig _config;
    private readonly Pipeline _train;
    private readonly MethodStep _step;
    private readonly PipelineOrder _order;
    private readonly long[]? _subset;

    /// <param name="network">The network, with the weights to measure at.</param>
    /// <param name="config">The run's configuration: seed, batch size and augmentation.</param>
    /// <param name="method">The run's method.</param>
    /// <param name="train">Its training images.</param>
    /// <param name="images">Measures this many examples, a fixed random part; 0 or more than there are: all, with the run's very own batches. A part has batches of its own, drawn from the same streams.</param>
    public Sensitivity(Network network, TrainConfig config, Method method, Pipeline train, int images = 0)
    {
        if (images < 0) throw new GMixInputException($"--images {images}: must be at least 1");
        (_config, _train) = (config, train);
        Perturb = method.Perturb.Active ? method.Perturb with { When = When.EveryStep } : new Sam();
        OwnPerturb = method.Perturb.Active;
        Selection = method.Combine switch
        {
            Binary b => new Selection(b.Gamma, b.Score, b.Rounding),
            Decomposed d => new Selection(d.Gamma, d.Score, d.Rounding),
            _ => new Selection(DefaultGamma),
        };
        _step = new MethodStep(network, method with { Perturb = Perturb, Combine = new ScoreOnly(Selection) });
        if (images > 0 && images < train.Count) _subset = Inspection.Part(train.Count, images, config.Seed);
        Count = _subset?.Length ?? train.Count;
        _order = new PipelineOrder(config.Seed, Count, Math.Min(config.Batch, Count), _subset is null && config.DropLast);
    }

    /// <summary>Examples measured in each epoch; a last batch that the run drops is not among them.</summary>
    public int Count { get; }
    /// <summary>What makes ε.</summary>
    public Perturb Perturb { get; }
    /// <summary>Whether that is the method's own.</summary>
    public bool OwnPerturb { get; }
    /// <summary>What makes B₊: the method's own selection, else by s_i with γ = <see cref="DefaultGamma"/>.</summary>
    public Selection Selection { get; }

    /// <summary>Measures one epoch's draws.</summary>
    /// <param name="epoch">From 0.</param>
    /// <param name="tell">Told now and then how far it is.</param>
    public SensitivityEpoch Measure(int epoch, Action<string>? tell = null)
    {
        using var guard = new StateGuard(_step.Network);
        var order = _order.Epoch(epoch);
        var visited = _config.DropLast && _subset is null ? _order.Steps * _order.BatchSize : Count;
        var result = new SensitivityEpoch(epoch, new long[visited], new long[visited], new long[visited], new double[visited], new double[visited], new double[visited], new bool[visited]);
        var at = 0;
        for (var step = 0; step < _order.Steps; step++)
        {
            if (step % 10 == 0) tell?.Invoke($"batch {step + 1} of {_order.Steps} of epoch {epoch + 1}'s draws");
            using var scope = new TensorScope();
            var indices = Indices(order, step);
            var run = _step.Run(Batch(indices, epoch, step), Context(epoch, step, indices.Length));
            var targets = run.Batch.Targets;
            indices.CopyTo(result.Examples, at);
            targets.A.ToArray<long>().CopyTo(result.First, at);
            (targets.B ?? targets.A).ToArray<long>().CopyTo(result.Second, at);
            (targets.Lambda?.ToDoubles() ?? Enumerable.Repeat(1.0, indices.Length).ToArray()).CopyTo(result.Lambda, at);
            run.LossesAtW.ToDoubles().CopyTo(result.LossAtW, at);
            run.LossesAtPerturbed!.ToDoubles().CopyTo(result.LossAtPerturbed, at);
            foreach (var row in run.Selected!.ToArray<long>()) result.Selected[at + row] = true;
            at += indices.Length;
        }
        return result;
    }

    /// <summary>The inputs as the network saw them, as pixels: made again from the draws.</summary>
    /// <param name="epoch">The epoch of a <see cref="SensitivityEpoch"/>.</param>
    /// <param name="positions">Positions in its arrays.</param>
    /// <returns>One picture per position, channels · height · width bytes.</returns>
    public IReadOnlyList<byte[]> Pictures(int epoch, IReadOnlyList<int> positions, Normalization normalization)
    {
        using var guard = new StateGuard(_step.Network);
        using var noGrad = Autograd.NoGrad();
        var order = _order.Epoch(epoch);
        var pictures = new byte[positions.Count][];
        foreach (var group in positions.Select((position, i) => (position, i)).GroupBy(p => p.position / _order.BatchSize))
        {
            using var scope = new TensorScope();
            var indices = Indices(order, group.Key);
            var vicinal = _step.Method.Mix.Apply(Batch(indices, epoch, group.Key), Context(epoch, group.Key, indices.Length).Draw, _step);
            foreach (var (position, i) in group) pictures[i] = Pixels(vicinal.Inputs.Select(0, position % _order.BatchSize), normalization);
        }
        return pictures;
    }

    private long[] Indices(long[] order, int step)
    {
        var indices = _order.Step(order, step).ToArray();
        return _subset is null ? indices : [.. indices.Select(i => _subset[i])];
    }

    private Batch Batch(long[] indices, int epoch, int step)
    {
        var (images, labels) = _train.Take(indices, _config.Augmentation, new CounterRandom(_config.Seed, DrawStream.Augment, epoch, step));
        return new Batch(images, labels);
    }

    /// <summary>The step as training has it, with the peak learning rate: a radius that follows the rate is at its full size.</summary>
    private StepContext Context(int epoch, int step, int count)
    {
        var draw = _step.Method.Mix.Draw(new CounterRandom(_config.Seed, DrawStream.Mix, epoch, step), count, _train.Set.Height, _train.Set.Width) with
        {
            Seed = new CounterRandom(_config.Seed, DrawStream.Noise, epoch, step).NextUInt64(),
        };
        return new StepContext(epoch, (long)epoch * _order.Steps + step, _config.LearningRate, _config.LearningRate, draw);
    }

    private static byte[] Pixels(Tensor image, Normalization normalization)
    {
        var values = image.ToDoubles();
        var plane = values.Length / normalization.Mean.Length;
        return [.. values.Select((v, i) => (byte)Math.Clamp(Math.Round(255 * (v * normalization.Std[i / plane] + normalization.Mean[i / plane])), 0, 255))];
    }

    /// <summary>Frees the step.</summary>
    public void Dispose() => _step.Dispose();

    /// <summary>Scores the batch at w + ε and selects, without a gradient.</summary>
    private sealed record ScoreOnly(Selection Selection) : Combine
    {
        public override Cost Cost => new(1, 0);

        public override Tensor Direction(SecondPass pass)
        {
            using var noGrad = Autograd.NoGrad();
            using var parts = pass.Select(Selection);
            return pass.LossesAtW.ZerosLike();
        }

        public override string ToString() => "score only";
    }
}
