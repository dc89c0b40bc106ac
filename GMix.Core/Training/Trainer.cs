using System.Diagnostics;
using GMix.Data;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Where a run is, for a progress display.</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="Epochs">Of the whole run.</param>
/// <param name="Step">Steps done in this epoch.</param>
/// <param name="Steps">Of one epoch.</param>
/// <param name="ImagesPerSecond">Of this epoch's training so far.</param>
/// <param name="SecondsLeft">Estimate for the whole run, measurements included.</param>
/// <param name="Loss">First-pass loss of the latest step that was read; NaN before one was.</param>
public sealed record TrainProgress(int Epoch, int Epochs, int Step, int Steps, double ImagesPerSecond, double SecondsLeft, double Loss);

/// <summary>Training produced a loss that is not a number. The last checkpoint is from before.</summary>
public sealed class DivergedException(int epoch, int step, double learningRate, double loss)
    : GMixInputException($"the loss became {(double.IsNaN(loss) ? "NaN" : "infinite")} in epoch {epoch}, step {step}, at learning rate {learningRate:G4}; train with a smaller --lr or --rho (the last good checkpoint stays)");

/// <summary>
/// Trains one network by one method. All randomness is a function of (seed, epoch, step), so a run continued from a checkpoint ends bitwise equal
/// to one that was never stopped.
/// </summary>
public sealed class Trainer : IDisposable
{
    private const int EvaluationBatch = 500;
    /// <summary>On a GPU the host waits once every so many steps, for losses to show and to check.</summary>
    private const int ReadEvery = 200;
    private readonly Pipeline _train, _test;
    private readonly PipelineOrder _order;
    private readonly Schedule _schedule;
    private readonly EpochMetrics _metrics;
    private readonly Mixup _vicinal;
    private readonly Loss _plainLoss = new();
    private readonly Generator _measuring;
    private readonly DeviceClock _clock;
    private int _epoch, _step;

    /// <param name="config">Resolved and checked here.</param>
    /// <param name="data">The data; <see cref="TrainConfig.Limit"/> must have been applied (see <see cref="Open"/>).</param>
    /// <param name="method">A method of your own; null takes the catalog's of <see cref="TrainConfig.Method"/>.</param>
    /// <param name="model">Makes a model of your own for the data's shape; null takes the catalog's of <see cref="TrainConfig.Model"/>.</param>
    public Trainer(TrainConfig config, DatasetSplits data, Method? method = null, Func<ImageShape, Model>? model = null)
    {
        method ??= MethodCatalog.Get(config.Method, config.MethodOptions);
        var architecture = CheckFit(config, data, model);
        Config = config;
        var device = Device.Parse(config.Device);
        TorchRuntime.TuneAllocator();
        TorchRuntime.Threads = config.Threads;
        TorchRuntime.SetDeterministic(true);
        TorchRuntime.Tf32 = config.Tf32;
        if (config.CudnnBenchmark) TorchRuntime.SetCudnnBenchmark(true);
        Network = new Network(architecture, config.Precision, device, config.Seed);
        Step = new MethodStep(Network, method);
        Optimizer = new Sgd(Network.Parameters, config.Sgd);
        Graph = new StepGraph(Step, Optimizer, StepGraph.ModeFor(device, config.Graph), config.Batch);
        _clock = new DeviceClock(device);
        _train = Pipeline.Open(data.Train, data.Normalization, Network.Type, device, Network.ChannelsLast, config.Stream);
        _test = Pipeline.Open(data.Test, data.Normalization, Network.Type, device, Network.ChannelsLast, config.Stream);
        _order = new PipelineOrder(config.Seed, data.Train.Count, config.Batch, config.DropLast);
        _schedule = new Schedule(config.LearningRate, config.Schedule, config.Epochs, _order.Steps, config.Warmup, config.Milestones, config.Factor);
        _metrics = new EpochMetrics(device);
        _vicinal = new Mixup(config.VicinalAlpha);
        _measuring = new Generator(device);
    }

    /// <summary>Opens the data set that a configuration names and takes the part it asks for.</summary>
    public static DatasetSplits Open(TrainConfig config) => PartOf(OpenWhole(config), config);

    /// <summary>Opens the whole data set that a configuration names.</summary>
    public static DatasetSplits OpenWhole(TrainConfig config) =>
        Datasets.Open(config.Dataset, config.Data, new OpenOptions { Size = config.Size, CoarseLabels = config.CoarseLabels, LegacyNormalization = config.LegacyNormalization });

    /// <summary>The part of a whole data set that a configuration asks for. Which training images it has depends on the seed; the test images are every seed's.</summary>
    public static DatasetSplits PartOf(DatasetSplits whole, TrainConfig config) =>
        config.Limit == 0 && config.TestLimit == 0
            ? whole
            : whole with { Train = whole.Train.Limit(config.Limit, (ulong)config.Seed), Test = whole.Test.Limit(config.TestLimit, 0) };

    /// <summary>Checks that configuration, model and data fit together, and makes the model, which takes no memory yet.</summary>
    /// <exception cref="GMixInputException">They do not; the message names the flag.</exception>
    public static Model CheckFit(TrainConfig config, DatasetSplits data, Func<ImageShape, Model>? model = null)
    {
        config.Check();
        if (config.Batch > data.Train.Count) throw new GMixInputException($"--batch {config.Batch}: larger than the {data.Train.Count} training images of {config.Dataset}");
        Device.Parse(config.Device);
        var shape = new ImageShape(data.Train.ClassCount, data.Train.Channels, data.Train.Height, data.Train.Width);
        return model?.Invoke(shape) ?? ModelCatalog.Create(config.Model, shape, config.ModelOptions);
    }

    /// <summary>What is run.</summary>
    public TrainConfig Config { get; }
    /// <summary>What is trained.</summary>
    public Network Network { get; }
    /// <summary>How.</summary>
    public MethodStep Step { get; }
    /// <summary>The update.</summary>
    public Sgd Optimizer { get; }
    /// <summary>Step and update as they are given to the device.</summary>
    public StepGraph Graph { get; }
    /// <summary>Epochs that are complete.</summary>
    public int EpochsDone => _epoch;
    /// <summary>Whether training is complete.</summary>
    public bool Done => _epoch >= Config.Epochs;

    /// <summary>
    /// Trains to the end of the epoch and measures. Where <paramref name="stop"/> is set it returns null after the current step; the position
    /// within the epoch is part of <see cref="Save"/>.
    /// </summary>
    /// <param name="progress">Told after every step.</param>
    /// <param name="stop">Stops after the current step.</param>
    /// <exception cref="DivergedException">A loss is not finite.</exception>
    public EpochResult? RunEpoch(Action<TrainProgress>? progress = null, CancellationToken stop = default)
    {
        if (Done) throw new InvalidOperationException($"all {Config.Epochs} epochs are done");
        if (Config.Winograd is { } winograd) TorchRuntime.Winograd = winograd; // a setting of the thread
        if (_step == 0) _metrics.Reset();
        using var batches = _train.Pass(_order.Batches(_order.Epoch(_epoch), _step));
        var wall = Stopwatch.StartNew();
        var (doneBefore, trained, loss) = (_step, 0.0, double.NaN);
        var unread = new List<(int Step, Tensor Loss)>();
        using var epochScope = new TensorScope();
        while (_step < _order.Steps)
        {
            if (stop.IsCancellationRequested)
            {
                loss = ReadLosses(unread, loss);
                _metrics.AddSeconds(_clock.Take());
                return null;
            }
            using (var scope = new TensorScope())
            {
                var (seconds, mean) = OneStep(batches);
                trained += seconds;
                unread.Add((_step, scope.Keep(mean)));
            }
            _step++;
            // reading a number from the host costs nothing; a GPU is asked only now and then
            if (!Network.Device.IsCuda || unread.Count == ReadEvery)
            {
                loss = ReadLosses(unread, loss);
                _metrics.AddSeconds(_clock.Take());
            }
            if (progress is not null)
            {
                var here = _step - doneBefore;
                var left = (Config.Epochs - _epoch) * (double)_order.Steps - _step;
                // the device's own time is known only now and then; until then the clock on the wall will do
                var busy = Network.Device.IsCuda ? wall.Elapsed.TotalSeconds : trained;
                progress(new TrainProgress(_epoch, Config.Epochs, _step, _order.Steps, here * (double)Config.Batch / Math.Max(busy, 1e-9), wall.Elapsed.TotalSeconds / here * left, loss));
            }
        }
        ReadLosses(unread, loss);
        _metrics.AddSeconds(_clock.Take());
        return Measure();
    }

    /// <summary>
    /// Trains on the epoch's first batch <paramref name="warmup"/> times, and once more with every operator recorded. The weights move: use a trainer of its own.
    /// </summary>
    public Profile ProfileStep(int warmup)
    {
        for (var i = 0; ; i++)
        {
            using var batches = _train.Pass(_order.Batches(_order.Epoch(_epoch), _step));
            using var scope = new TensorScope();
            if (i == warmup) return Profiler.Record("step", () => OneStep(batches));
            OneStep(batches);
        }
    }

    /// <summary>One step at the current position; seconds of training alone, and its mean loss.</summary>
    private (double Seconds, Tensor Loss) OneStep(PipelinePass batches)
    {
        Tensor images, labels;
        using (Profiler.Span("data")) (images, labels) = batches.Next(Config.Augmentation, new CounterRandom(Config.Seed, DrawStream.Augment, _epoch, _step));
        var batch = new Batch(images, labels);
        var position = (long)_epoch * _order.Steps + _step;
        var rate = _schedule.At(position);
        var draw = DrawOf(Step.Method.Mix, Config.Seed, _epoch, _step, batch.Count, _train.Set.Height, _train.Set.Width);
        _clock.Start();
        var result = Graph.Run(batch, new StepContext(_epoch, position, rate, Config.LearningRate, draw));
        var seconds = _clock.Stop();
        using var measuring = Profiler.Span("metrics");
        _metrics.Add(result, result.Batch.Targets.Mixed ? null : MixedCopy(batch), seconds);
        return (seconds, result.LossesAtW.Mean(DType.Float64));
    }

    /// <summary>What a step draws for its mix.</summary>
    /// <param name="mix">How the method mixes.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="epoch">From 0.</param>
    /// <param name="step">Step within the epoch, from 0.</param>
    /// <param name="count">Examples in the batch.</param>
    /// <param name="height">Of the images.</param>
    /// <param name="width">Of the images.</param>
    public static Draw DrawOf(Mix mix, long seed, int epoch, int step, int count, int height, int width) =>
        mix.Draw(new CounterRandom(seed, DrawStream.Mix, epoch, step), count, height, width) with { Seed = new CounterRandom(seed, DrawStream.Noise, epoch, step).NextUInt64() };

    /// <summary>
    /// Logits on a mixed copy of the batch, for the vicinal accuracy of methods that do not mix: BatchNorm on the batch, running statistics at
    /// rest, its own stream of draws, outside the training time.
    /// </summary>
    private (Tensor, Targets)? MixedCopy(Batch batch)
    {
        if (_vicinal.Alpha <= 0) return null;
        using var noGrad = Autograd.NoGrad();
        var random = new CounterRandom(Config.Seed, DrawStream.Metric, _epoch, _step);
        var copy = _vicinal.Apply(batch, _vicinal.Draw(random, batch.Count, _train.Set.Height, _train.Set.Width), Step);
        var pass = new ForwardPass(BatchNormMode.TrainFrozen) { Dropout = _measuring, DropoutSeed = random.NextUInt64() };
        return (Network.Logits(copy.Inputs, pass), copy.Targets);
    }

    private double ReadLosses(List<(int Step, Tensor Loss)> unread, double latest)
    {
        if (unread.Count == 0) return latest;
        // one copy for all of them: the host waits once
        double[] values;
        using (var scope = new TensorScope())
        using (Autograd.NoGrad()) values = Tensor.Stack([.. unread.Select(u => u.Loss)]).ToDoubles();
        foreach (var ((step, tensor), value) in unread.Zip(values))
        {
            latest = value;
            tensor.Dispose();
            if (!double.IsFinite(latest)) throw new DivergedException(_epoch + 1, step + 1, _schedule.At((long)_epoch * _order.Steps + step), latest);
        }
        unread.Clear();
        return latest;
    }

    /// <summary>Closes the epoch: test set, clean training accuracy, sums.</summary>
    private EpochResult Measure()
    {
        var rate = _schedule.At((long)_epoch * _order.Steps + _order.Steps - 1);
        var (testLoss, testAccuracy) = Evaluate(_test);
        var last = _epoch + 1 == Config.Epochs;
        double? clean = last || (_epoch + 1) % Config.CleanEvery == 0 ? Evaluate(_train).Accuracy : null;
        var result = _metrics.Read(_epoch + 1, rate, testLoss, testAccuracy, clean);
        (_epoch, _step) = (_epoch + 1, 0);
        return result;
    }

    /// <summary>Mean loss and accuracy in percent over a set, in evaluation mode, without augmentation.</summary>
    private (double Loss, double Accuracy) Evaluate(Pipeline set)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var losses = Tensor.Zeros([], DType.Float64, Network.Device);
        var correct = Tensor.Zeros([], DType.Float64, Network.Device);
        using var batches = set.Pass(PipelineOrder.InTurn(set.Count, EvaluationBatch));
        for (var start = 0; start < set.Count; start += EvaluationBatch)
        {
            using var one = new TensorScope();
            var (images, labels) = batches.Next();
            var logits = Network.Logits(images, ForwardPass.Eval);
            losses.AddInPlace(_plainLoss.PerExample(logits, new Targets(labels)).Sum(DType.Float64));
            correct.AddInPlace(logits.ArgMax(1).Eq(labels).Sum(DType.Float64));
        }
        return (losses.Item() / set.Count, 100 * correct.Item() / set.Count);
    }

    /// <summary>Writes all that is needed to go on: weights, buffers, velocity, what the method carries, the epoch's sums, the position.</summary>
    public void Save(string path)
    {
        _metrics.Pack();
        var tensors = Network.State().Select(s => ($"model.{s.Name}", s.Value))
            .Append(("optimizer.velocity", Optimizer.Velocity))
            .Concat(Step.State.Values.Select(s => ($"method.{s.Key}", s.Value)))
            .Append(("metrics.sums", _metrics.Sums)).Append(("metrics.host", _metrics.Host));
        SafeTensors.Write(path, tensors, new Dictionary<string, string>
        {
            ["format"] = "gmix-checkpoint-1", ["epoch"] = $"{_epoch}", ["step"] = $"{_step}", ["seed"] = $"{Config.Seed}", ["method"] = Config.Method, ["model"] = Config.Model,
        });
    }

    /// <summary>Goes to where a checkpoint was written. Everything drawn afterwards is as if there had been no stop.</summary>
    /// <exception cref="GMixInputException">The file is damaged or of another run.</exception>
    public void Restore(string path)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var file = SafeTensors.Read(path);
        string Meta(string key) => file.Metadata.TryGetValue(key, out var v) ? v : throw new GMixInputException($"{path}: not a checkpoint (its metadata has no '{key}')");
        Tensor Part(string name) => file.Tensors.TryGetValue(name, out var t) ? t : throw new GMixInputException($"{path}: the checkpoint has no tensor {name}");
        if (Meta("format") != "gmix-checkpoint-1") throw new GMixInputException($"{path}: not a checkpoint of this version (format {Meta("format")})");
        if (Meta("method") != Config.Method || Meta("model") != Config.Model || Meta("seed") != $"{Config.Seed}")
            throw new GMixInputException($"{path}: a checkpoint of {Meta("method")} on {Meta("model")} with seed {Meta("seed")}, but the run is {Config.Method} on {Config.Model} with seed {Config.Seed}");
        if (!int.TryParse(Meta("epoch"), out var epoch) || !int.TryParse(Meta("step"), out var step) || epoch < 0 || step < 0 || step > _order.Steps)
            throw new GMixInputException($"{path}: epoch {Meta("epoch")}, step {Meta("step")} is no position of this run");
        Network.Load(file.Tensors.Where(t => t.Key.StartsWith("model.", StringComparison.Ordinal)).ToDictionary(t => t.Key["model.".Length..], t => t.Value), path);
        Optimizer.Velocity.CopyFrom(Part("optimizer.velocity"));
        foreach (var (name, value) in file.Tensors.Where(t => t.Key.StartsWith("method.", StringComparison.Ordinal))) Step.State.Set(name["method.".Length..], value);
        _metrics.Unpack(Part("metrics.sums"), Part("metrics.host"));
        (_epoch, _step) = (epoch, step);
    }

    /// <summary>Frees everything.</summary>
    public void Dispose()
    {
        Graph.Dispose();
        _clock.Dispose();
        Step.Dispose();
        _measuring.Dispose();
        Optimizer.Dispose();
        _train.Dispose();
        _test.Dispose();
        _metrics.Dispose();
        Network.Dispose();
    }
}
