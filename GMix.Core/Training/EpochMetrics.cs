using GMix.Methods;
using GMix.Torch;

namespace GMix.Training;

/// <summary>What one epoch of training and its measurements gave. Accuracies and gaps in percent; null where a measure was not taken.</summary>
public sealed record EpochResult
{
    /// <summary>From 1.</summary>
    public required int Epoch { get; init; }
    /// <summary>Learning rate of the last step.</summary>
    public required double LearningRate { get; init; }
    /// <summary>Mean first-pass loss on what was trained on.</summary>
    public required double TrainLoss { get; init; }
    /// <summary>Running accuracy on what was trained on (the vicinal credit, where labels are mixed).</summary>
    public required double TrainAccuracy { get; init; }
    /// <summary>Running accuracy on mixed batches, counted as Mixup counts.</summary>
    public required double VicinalAccuracy { get; init; }
    /// <summary>Mean test loss.</summary>
    public required double TestLoss { get; init; }
    /// <summary>Test accuracy.</summary>
    public required double TestAccuracy { get; init; }
    /// <summary>Test accuracy minus vicinal accuracy: higher is better.</summary>
    public double Gap => TestAccuracy - VicinalAccuracy;
    /// <summary>Accuracy on the training images, neither augmented nor mixed, in evaluation mode.</summary>
    public double? CleanTrainAccuracy { get; init; }
    /// <summary>Test accuracy minus clean training accuracy.</summary>
    public double? CleanGap => TestAccuracy - CleanTrainAccuracy;
    /// <summary>Seconds of training in this epoch, without measurements.</summary>
    public required double Seconds { get; init; }
    /// <summary>Training images per second.</summary>
    public required double ImagesPerSecond { get; init; }
    /// <summary>Forward passes of this epoch, in full batches.</summary>
    public required double Forwards { get; init; }
    /// <summary>Backward passes of this epoch, in full batches.</summary>
    public required double Backwards { get; init; }
    /// <summary>Share of mixed examples predicted as neither of their classes, percent: a proxy of manifold intrusion.</summary>
    public double? IntrusionMiss { get; init; }
    /// <summary>Mean of s_i = l_i(w+ε) − l_i(w).</summary>
    public double? SensitivityMean { get; init; }
    /// <summary>Mean over batches of the median, 10 % and 90 % quantile of s_i.</summary>
    public double? SensitivityMedian { get; init; }
    /// <inheritdoc cref="SensitivityMedian"/>
    public double? SensitivityP10 { get; init; }
    /// <inheritdoc cref="SensitivityMedian"/>
    public double? SensitivityP90 { get; init; }
    /// <summary>Share of batches in which the mean loss of B₊ at w+ε is at least that of the batch (Theorem 2's ordering), percent.</summary>
    public double? OrderingRate { get; init; }
    /// <summary>Mean of DG-Mix's coefficient c.</summary>
    public double? Projection { get; init; }
    /// <summary>Mean of |g⊥| / |g₋|.</summary>
    public double? OrthogonalRatio { get; init; }
    /// <summary>Mean of |g| of the first pass.</summary>
    public double? GradientNorm { get; init; }
}

/// <summary>
/// Sums of an epoch's per-step figures, kept on the device as one vector so that no step waits for a number; read once at the end. Part of a
/// checkpoint, so that a run resumed within an epoch reports the same.
/// </summary>
internal sealed class EpochMetrics : IDisposable
{
    private enum Slot { Loss, Credit, Vicinal, Miss, GradientNorm, SensitivityMean, SensitivityMedian, SensitivityP10, SensitivityP90, Ordering, Projection, OrthogonalRatio }

    private static readonly int Slots = Enum.GetValues<Slot>().Length;
    private readonly Device _device;

    public EpochMetrics(Device device)
    {
        _device = device;
        Sums = TensorScope.Detach(Tensor.Zeros([Slots], DType.Float64, device));
        Host = TensorScope.Detach(Tensor.Zeros([HostSlots], DType.Float64));
    }

    private const int HostSlots = 9;

    /// <summary>Sums on the device.</summary>
    public Tensor Sums { get; }

    /// <summary>What the host itself counts: examples, mixed examples, steps by kind, passes, seconds. A tensor only to be saved with the rest.</summary>
    public Tensor Host { get; }

    private readonly double[] _host = new double[HostSlots];
    private ref double Examples => ref _host[0];
    private ref double Mixed => ref _host[1];
    private ref double Steps => ref _host[2];
    private ref double Perturbed => ref _host[3];
    private ref double Selecting => ref _host[4];
    private ref double Decomposing => ref _host[5];
    private ref double Forwards => ref _host[6];
    private ref double Backwards => ref _host[7];
    private ref double TrainSeconds => ref _host[8];

    /// <summary>Starts a new epoch.</summary>
    public void Reset()
    {
        Sums.ZeroInPlace();
        Array.Clear(_host);
    }

    /// <summary>Writes the host's counts to <see cref="Host"/>, before saving.</summary>
    public void Pack()
    {
        using var t = Tensor.From(_host, [HostSlots]);
        Host.CopyFrom(t);
    }

    /// <summary>Takes both parts from a checkpoint.</summary>
    public void Unpack(Tensor sums, Tensor host)
    {
        Sums.CopyFrom(sums);
        host.ToDoubles().CopyTo(_host, 0);
    }

    /// <summary>Adds a step.</summary>
    /// <param name="result">The step.</param>
    /// <param name="mixed">Logits and targets of a mixed copy, for methods that train on labels as they are; null for those that mix.</param>
    /// <param name="seconds">Time of the training step alone.</param>
    public void Add(StepResult result, (Tensor Logits, Targets Targets)? mixed, double seconds)
    {
        using var noGrad = Autograd.NoGrad();
        var n = result.Batch.Count;
        var values = new Tensor?[Slots];
        void Put(Slot slot, Tensor value) => values[(int)slot] = value.To(DType.Float64);

        var predicted = result.Logits.ArgMax(1);
        var targets = result.Batch.Targets;
        var credit = targets.Credit(predicted);
        Put(Slot.Loss, result.LossesAtW.Sum(DType.Float64));
        Put(Slot.Credit, credit.Sum());
        Put(Slot.GradientNorm, result.GradientNorm);
        if (mixed is { } copy)
        {
            predicted = copy.Logits.ArgMax(1);
            targets = copy.Targets;
            credit = targets.Credit(predicted);
        }
        Put(Slot.Vicinal, credit.Sum());
        if (targets.Mixed) Put(Slot.Miss, predicted.Eq(targets.A).Or(predicted.Eq(targets.B!)).Not().Sum(DType.Float64));

        if (result.LossesAtPerturbed is { } after)
        {
            var s = after - result.LossesAtW;
            Put(Slot.SensitivityMean, s.Mean(DType.Float64));
            var sorted = s.SortStable(false).Values;
            Put(Slot.SensitivityMedian, sorted.Select(0, n / 2));
            Put(Slot.SensitivityP10, sorted.Select(0, n / 10));
            Put(Slot.SensitivityP90, sorted.Select(0, Math.Min(n - 1, n * 9 / 10)));
            Perturbed++;
            if (result.Selected is { } plus)
            {
                Put(Slot.Ordering, after.Mean().Gt(after.Rows(plus).Mean()).Not());
                Selecting++;
            }
        }
        if (result.Found.TryGetValue("projection", out var c))
        {
            Put(Slot.Projection, c);
            Put(Slot.OrthogonalRatio, result.Found["orthogonal_norm"] / (result.Found["minus_norm"] + 1e-300));
            Decomposing++;
        }
        var zero = Tensor.Zeros([], DType.Float64, _device);
        Sums.AddInPlace(Tensor.Stack([.. values.Select(v => v ?? zero)]));
        Examples += n;
        if (targets.Mixed) Mixed += n;
        Steps++;
        Forwards += result.Forwards;
        Backwards += result.Backwards;
        TrainSeconds += seconds;
    }

    /// <summary>Adds training time that only the device knew.</summary>
    public void AddSeconds(double seconds) => TrainSeconds += seconds;

    /// <summary>Reads the epoch's figures.</summary>
    public EpochResult Read(int epoch, double learningRate, double testLoss, double testAccuracy, double? cleanTrainAccuracy)
    {
        var sums = Sums.ToDoubles();
        double Sum(Slot slot) => sums[(int)slot];
        double? PerStep(Slot slot, double count) => count > 0 ? Sum(slot) / count : null;
        return new EpochResult
        {
            Epoch = epoch,
            LearningRate = learningRate,
            TrainLoss = Sum(Slot.Loss) / Examples,
            TrainAccuracy = 100 * Sum(Slot.Credit) / Examples,
            VicinalAccuracy = 100 * Sum(Slot.Vicinal) / Examples,
            TestLoss = testLoss,
            TestAccuracy = testAccuracy,
            CleanTrainAccuracy = cleanTrainAccuracy,
            Seconds = TrainSeconds,
            ImagesPerSecond = Examples / Math.Max(TrainSeconds, 1e-9),
            Forwards = Forwards,
            Backwards = Backwards,
            IntrusionMiss = Mixed > 0 ? 100 * Sum(Slot.Miss) / Mixed : null,
            GradientNorm = Sum(Slot.GradientNorm) / Steps,
            SensitivityMean = PerStep(Slot.SensitivityMean, Perturbed),
            SensitivityMedian = PerStep(Slot.SensitivityMedian, Perturbed),
            SensitivityP10 = PerStep(Slot.SensitivityP10, Perturbed),
            SensitivityP90 = PerStep(Slot.SensitivityP90, Perturbed),
            OrderingRate = 100 * PerStep(Slot.Ordering, Selecting),
            Projection = PerStep(Slot.Projection, Decomposing),
            OrthogonalRatio = PerStep(Slot.OrthogonalRatio, Decomposing),
        };
    }

    /// <summary>Frees the sums.</summary>
    public void Dispose()
    {
        Sums.Dispose();
        Host.Dispose();
    }
}
