using GMix.Core.Tests.Methods;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>
/// Steps as they are recorded against steps that are not. On the host the recording is replaced by direct calls of the same code: the same buffers,
/// filled before each step, and any wait for a number within the step is an error. What only a GPU can show, the replay itself, is not here.
/// </summary>
public class StepGraphTests
{
    private const int Count = 8;

    public static TheoryData<string> Names { get; } = [.. MethodCatalog.Entries.Select(e => e.Name)];

    /// <summary>Everything that two trainings ended with, and what each step selected and lost.</summary>
    private static (byte[] State, List<byte[]> Steps, StepGraph Graph, int Forms) Train(Method method, GraphMode mode, string model = "wrn-10-1", Precision precision = Precision.Float32, int steps = 7, SgdOptions? options = null, double dropout = 0)
    {
        using var lab = new GraphLab(model, precision, dropout);
        using var step = new MethodStep(lab.Network, method);
        using var sgd = new Sgd(lab.Network.Parameters, options ?? new SgdOptions(0.9, 5e-4, true));
        using var graph = new StepGraph(step, sgd, mode, Count);
        var seen = new List<byte[]>();
        for (var t = 0; t < steps; t++)
        {
            using var scope = new TensorScope();
            // the last batch of an epoch is shorter, and each step has another batch, draw and rate
            var result = graph.Run(lab.BatchOf(t, t == 4 ? Count - 3 : Count), lab.At(method, t, t == 4 ? Count - 3 : Count));
            seen.Add([.. Lab.Bits(result.LossesAtW), .. Lab.Bits(result.Direction), .. Lab.Bits(result.GradientNorm), .. result.Selected is { } s ? Lab.Bits(s) : [], .. result.LossesAtPerturbed is { } l ? Lab.Bits(l) : []]);
        }
        return ([.. lab.Network.State().SelectMany(s => Lab.Bits(s.Value)), .. Lab.Bits(sgd.Velocity), .. step.State.Values.SelectMany(v => Lab.Bits(v.Value))], seen, graph, graph.Forms);
    }

    /// <summary>Holds the two against each other; gives the number of forms of step that were seen.</summary>
    private static int Same(Method method, string model = "wrn-10-1", Precision precision = Precision.Float32, SgdOptions? options = null, double dropout = 0)
    {
        var (plain, plainSteps, _, _) = Train(method, GraphMode.Off, model, precision, options: options, dropout: dropout);
        var (state, steps, graph, forms) = Train(method, GraphMode.Direct, model, precision, options: options, dropout: dropout);
        Assert.Null(graph.Refusal);
        for (var t = 0; t < steps.Count; t++) Assert.True(plainSteps[t].AsSpan().SequenceEqual(steps[t]), $"{method.Title}: step {t} differs");
        Assert.True(plain.AsSpan().SequenceEqual(state), $"{method.Title}: the weights differ");
        // all but the shorter batch
        Assert.Equal(6, graph.Recorded);
        return forms;
    }

    [Theory, MemberData(nameof(Names))]
    public void Every_method_gives_the_same_bits_and_waits_for_nothing(string name) => Same(MethodCatalog.Get(name, new MethodOptions { Every = name == "looksam" ? 2 : 1 }));

    [Theory]
    [InlineData("mixup")]
    [InlineData("bgmix")]
    [InlineData("dgmix")]
    public void In_every_precision_and_on_a_perceptron(string name)
    {
        Same(MethodCatalog.Get(name), precision: Precision.Float64);
        Same(MethodCatalog.Get(name), precision: Precision.BFloat16);
        Same(MethodCatalog.Get(name), "mlp", options: new SgdOptions(0, 1e-3));
        Same(MethodCatalog.Get(name), "mlp", options: new SgdOptions(0.9, 0, false, 0.1));
    }

    public static TheoryData<string, MethodOptions> Options { get; } = new()
    {
        { "mixup", new MethodOptions { LambdaPerSample = true, FoldLambda = true } },
        { "bgmix", new MethodOptions { Score = SelectionScore.Random } },
        { "dgmix", new MethodOptions { Subset = SubsetForward.Reuse } },
        { "dgmix", new MethodOptions { MinusAtBase = true, MinusByBatch = true } },
        { "gmix", new MethodOptions { AscentOn = AscentBatch.Clean, PerturbScope = PerturbScope.Weights } },
        { "sam", new MethodOptions { Every = 3 } },
        { "sam", new MethodOptions { FromEpoch = 1 } },
        { "maxup", new MethodOptions { Copy = CopyKind.CropFlip } },
        { "maxup", new MethodOptions { Copy = CopyKind.Gaussian } },
        { "esam", new MethodOptions { MaskPerElement = true } },
        { "aace", new MethodOptions { AaceTarget = AaceTarget.Random } },
        { "asam", new MethodOptions { AsamWeightsOnly = true } },
        { "amp", new MethodOptions { AscentSteps = 2, BallPerTensor = true } },
    };

    [Theory, MemberData(nameof(Options))]
    public void With_options_too(string name, MethodOptions options) => Same(MethodCatalog.Get(name, options));

    [Fact]
    public void Dropout_masks_come_from_outside_the_step()
    {
        Same(MethodCatalog.Get("bgmix"), dropout: 0.3);
        // scores in float32 beside passes in bf16: masks of two types
        foreach (var precision in Enum.GetValues<ScorePrecision>())
            Same(MethodCatalog.Get("dgmix", new MethodOptions { ScorePrecision = precision }), precision: Precision.BFloat16, dropout: 0.3);
    }

    [Fact]
    public void A_mix_that_sometimes_draws_nothing_has_two_forms() => Assert.Equal(2, Same(MethodCatalog.Get("cutmix")));

    [Fact]
    public void A_method_that_always_does_the_same_has_one_form() => Assert.Equal(1, Same(MethodCatalog.Get("dgmix")));

    /// <summary>A word of one's own that reads its number on the host: it would be the first step's for ever.</summary>
    private sealed record Reading : Mix
    {
        public override Draw Draw(CounterRandom random, int count, int height, int width) => new() { Lambda = random.NextDouble() };
        public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer) => new(batch.Images * draw.Lambda, new Targets(batch.Labels));
    }

    /// <summary>A combination that waits for a number after the first pass has moved BatchNorm's statistics.</summary>
    private sealed record Waiting : Combine
    {
        public override Tensor Direction(SecondPass pass)
        {
            var gradient = pass.Gradient(pass.Losses());
            return gradient * (1 / (1 + gradient.Norm().Item()));
        }
    }

    [Fact]
    public void A_step_that_reads_on_the_host_runs_unrecorded_with_the_same_bits()
    {
        foreach (var (method, reason) in new[] { (Lab.Of(new Reading(), new NoPerturb(), new All()), "read Lambda"), (Lab.Of(new NoMix(), new Sam(), new Waiting()), "wait for a number") })
        {
            var (plain, plainSteps, _, _) = Train(method, GraphMode.Off);
            var (state, steps, graph, _) = Train(method, GraphMode.Direct);
            Assert.Contains(reason, graph.Refusal);
            Assert.Equal(0, graph.Recorded);
            Assert.Equal(plainSteps, steps);
            Assert.Equal(plain, state);
        }
    }

    [Fact]
    public void While_recording_nothing_is_read_or_brought()
    {
        using var scope = new TensorScope();
        var t = Tensor.Ones([3]);
        using var generator = new Generator(Device.Cpu);
        using (Recording.Begin())
        {
            Assert.Throws<RecordingException>(() => t.Item());
            Assert.Throws<RecordingException>(() => t.ToArray<float>());
            Assert.Throws<RecordingException>(() => t.ToDoubles());
            Assert.Throws<RecordingException>(() => Tensor.From([1.0]));
            Assert.Throws<RecordingException>(() => generator.Seed(1));
            using (Recording.Pause()) Assert.Equal(1, t.Sum().Item() / 3);
            _ = t + t;
        }
        Assert.False(Recording.Active);
    }

    [Fact]
    public void Without_CUDA_the_error_says_so()
    {
        if (Cuda.Built) Assert.Skip("this shim was built for CUDA");
        var e = Assert.Throws<TorchException>(() => Cuda.Memory(Device.Cuda()));
        Assert.Equal(TorchErrorKind.NoCuda, e.Kind);
        Assert.Contains("this libtorch has no CUDA", e.Message);
        Assert.Throws<TorchException>(() => new CudaGraph());
        Assert.Throws<TorchException>(() => new SideStream(Device.Cuda()));
        Assert.Equal("", Cuda.Name(Device.Cuda()));
        // waiting for the host is no error: there is nothing to wait for
        Cuda.Synchronize(Device.Cpu);
    }

    [Fact]
    public void TF32_is_what_was_set()
    {
        foreach (var setting in Enum.GetValues<Tf32>())
        {
            TorchRuntime.Tf32 = setting;
            Assert.Equal(setting, TorchRuntime.Tf32);
        }
        TorchRuntime.Tf32 = Tf32.Convolutions;
    }

    /// <summary>The update by operators, which a GPU runs, against the one pass over memory: strided vectors do not suit the latter.</summary>
    [Theory]
    [InlineData(0.9, 5e-4, false)]
    [InlineData(0.9, 5e-4, true)]
    [InlineData(0.0, 1e-2, false)]
    public void The_update_by_operators_takes_its_rate_from_a_tensor(double mu, double decay, bool nesterov)
    {
        using var scope = new TensorScope();
        Tensor Vector(int seed, bool strided)
        {
            var random = new CounterRandom(seed, DrawStream.Diagnostics);
            var values = Enumerable.Range(0, 50).Select(_ => random.NextNormal()).ToArray();
            var t = Tensor.From(values);
            return strided ? Tensor.Stack([t, t], 1).Select(1, 0) : t;
        }
        Tensor[] a = [Vector(1, false), Vector(2, false)], b = [Vector(1, true), Vector(2, true)];
        for (var step = 0; step < 3; step++)
        {
            Vectors.Descend(a[0], a[1], Vector(3 + step, false), 0.1 / (step + 1), mu, decay, nesterov);
            Vectors.Descend(b[0], b[1], Vector(3 + step, true), Tensor.Scalar(0.1 / (step + 1), DType.Float64), mu, decay, nesterov);
        }
        Close.Equal(a[0], b[0], 1e-14);
        Close.Equal(a[1], b[1], 1e-14);
    }

    /// <summary>A small network with another batch at every step.</summary>
    private sealed class GraphLab : IDisposable
    {
        private readonly TensorScope _scope = new();

        public GraphLab(string model, Precision precision, double dropout) =>
            Network = new Network(ModelCatalog.Create(model, new ImageShape(5, 3, Lab.Side, Lab.Side), new ModelOptions { Hidden = [16, 12], Dropout = dropout }), precision, seed: 4);

        public Network Network { get; }

        public Batch BatchOf(int step, int count)
        {
            var random = new CounterRandom(9, DrawStream.Diagnostics, 0, step);
            var pixels = new double[count * 3 * Lab.Side * Lab.Side];
            for (var i = 0; i < pixels.Length; i++) pixels[i] = random.NextNormal();
            var images = Tensor.From(pixels, count, 3, Lab.Side, Lab.Side).To(Network.Type);
            return new Batch(Network.ChannelsLast ? images.Contiguous(MemoryFormat.ChannelsLast) : images, Tensor.From(Enumerable.Range(0, count).Select(_ => (long)random.NextInt(5)).ToArray(), count));
        }

        public StepContext At(Method method, int step, int count)
        {
            var draw = method.Mix.Draw(new CounterRandom(2, DrawStream.Mix, 0, step), count, Lab.Side, Lab.Side);
            return new StepContext(step / 4, step, 0.1 / (step + 1), 0.1, draw with { Seed = new CounterRandom(2, DrawStream.Dropout, 0, step).NextUInt64() });
        }

        public void Dispose()
        {
            Network.Dispose();
            _scope.Dispose();
        }
    }
}
