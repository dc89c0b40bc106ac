using System.Text.Json;
using GMix.Core.Tests.Methods;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Nn;

/// <summary>Tests that change what the whole process uses (instructions, threads) run alone.</summary>
[CollectionDefinition(nameof(ProcessWide), DisableParallelization = true)]
public class ProcessWide;

/// <summary>The fused kernels against the operators that they stand for, and the profile of a step.</summary>
[Collection(nameof(ProcessWide))]
public class FusedTests
{
    private static Tensor Numbers(long[] shape, ulong seed, DType type = DType.Float32)
    {
        using var generator = new Generator(Device.Cpu);
        return Tensor.Normal(shape, generator.Seed(seed), type: type);
    }

    private static Tensor Composite(Tensor x, Tensor[] weights)
    {
        for (var i = 0; i < weights.Length; i += 2)
        {
            x = x.Linear(weights[i], weights[i + 1]);
            if (i + 2 < weights.Length) x = x.Relu();
        }
        return x;
    }

    private static Tensor[] Weights(int[] widths, DType type = DType.Float32)
    {
        var all = new List<Tensor>();
        for (var i = 1; i < widths.Length; i++)
        {
            all.Add(Numbers([widths[i], widths[i - 1]], (ulong)i, type) * (1 / Math.Sqrt(widths[i - 1])));
            all.Add(Numbers([widths[i]], (ulong)(100 + i), type) * 0.1);
        }
        foreach (var w in all) w.RequiresGrad = true;
        return [.. all];
    }

    // widths that fill no vector, one, and several with a rest; levels: any processor, AVX2, the widest there is
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void PerceptronEqualsItsLayers(int level)
    {
        var before = NativeMethods.gmx_instructions_limit(level);
        try
        {
            foreach (var (n, widths) in new (int, int[])[] { (32, [3072, 64, 64, 10]), (1, [3, 2]), (7, [19, 37, 5, 3]), (33, [300, 70, 11]), (5, [64, 4, 100]), (130, [1100, 35, 3]) })
            {
                using var scope = new TensorScope();
                var weights = Weights(widths);
                var x = Numbers([n, widths[0]], 9);
                x.RequiresGrad = true;
                var seed = Numbers([n, widths[^1]], 10);
                var (fused, plain) = (x.Perceptron(weights), Composite(x, weights));
                Close.Equal(plain, fused, 2e-6);
                var ours = Autograd.Gradients(fused, [x, .. weights], seed);
                var theirs = Autograd.Gradients(plain, [x, .. weights], seed);
                // sums of n or of a width's products in another order: some roundings of float32
                for (var i = 0; i < ours.Length; i++) Close.Equal(theirs[i], ours[i], 5e-6);
            }
        }
        finally
        {
            NativeMethods.gmx_instructions_limit(before);
        }
    }

    // the first layer's gradient is divided among threads by rows where it has many, by columns where it has few
    [Theory]
    [InlineData(32, 3072, 64, 64, 10)]
    [InlineData(128, 3072, 10)]
    public void PerceptronDoesNotDependOnTheNumberOfThreads(int n, params int[] widths)
    {
        using var scope = new TensorScope();
        var weights = Weights(widths);
        var (x, seed, threads) = (Numbers([n, 3072], 1), Numbers([n, 10], 2), TorchRuntime.Threads);
        double[] Run(int count)
        {
            TorchRuntime.Threads = count;
            var y = x.Perceptron(weights);
            return [.. y.ToDoubles(), .. Autograd.Gradients(y, weights, seed).SelectMany(g => g.ToDoubles())];
        }
        try
        {
            var one = Run(1);
            Assert.Equal(one, Run(2));
            Assert.Equal(one, Run(3));
        }
        finally
        {
            TorchRuntime.Threads = threads;
        }
    }

    /// <summary>The vectors' loops of any processor, of AVX2 and of the widest instructions give the same bits, in float32 and float64, at lengths with and without rests.</summary>
    [Theory]
    [InlineData(DType.Float32, 3)]
    [InlineData(DType.Float32, 9 * 8192 + 13)]
    [InlineData(DType.Float32, 8 * 8192)]
    [InlineData(DType.Float64, 5 * 8192 + 7)]
    public void VectorsAreTheSameBitsWhateverTheInstructions(DType type, int n)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var (x, y, factor) = (Numbers([n], 1, type), Numbers([n], 2, type), Tensor.Scalar(0.3, DType.Float64));
        double[] Run(int level)
        {
            var before = NativeMethods.gmx_instructions_limit(level);
            try
            {
                var all = new List<Tensor> { Vectors.Norm(x), Vectors.Dot(x, y), Vectors.Moved(x, y, factor), Vectors.MixRows(Tensor.Stack([x, y]), Tensor.From([1L, 0], 2), Tensor.From([0.3, 0.8], 2).To(type)) };
                var (direction, projection, orthogonal, minus) = Vectors.Decompose(x, y, 0.7, 1e-24);
                all.AddRange([direction, projection, orthogonal, minus]);
                foreach (var (momentum, nesterov) in new[] { (0.0, false), (0.9, false), (0.9, true) })
                {
                    var (w, v) = (x.Clone(), y.Clone());
                    Vectors.Descend(w, v, y, 0.1, momentum, 1e-4, nesterov);
                    all.AddRange([w, v]);
                }
                return [.. all.SelectMany(t => t.ToDoubles())];
            }
            finally
            {
                NativeMethods.gmx_instructions_limit(before);
            }
        }
        var any = Run(0);
        Assert.Equal(any, Run(1));
        Assert.Equal(any, Run(2));
        // eight sums in turn within chunks of 8192, folded in pairs: what checkpoints and published figures were made with
        double squares = 0;
        var numbers = x.ToDoubles();
        for (var begin = 0; begin < n; begin += 8192)
        {
            var (end, s) = (Math.Min(n, begin + 8192), new double[8]);
            var i = begin;
            for (; i + 8 <= end; i += 8) for (var j = 0; j < 8; j++) s[j] += numbers[i + j] * numbers[i + j];
            for (; i < end; i++) s[0] += numbers[i] * numbers[i];
            squares += s[0] + s[1] + (s[2] + s[3]) + (s[4] + s[5] + (s[6] + s[7]));
        }
        Assert.Equal(Math.Sqrt(squares), any[0]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(32)]
    public void TheGradientOfLossesIsThatOfTheirMean(int n)
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(12, [9, 5], 4), seed: 3);
        var logits = network.Logits(Numbers([n, 12], 4), new ForwardPass(BatchNormMode.Train));
        var losses = new Loss().PerExample(logits, new Targets(Tensor.From(Enumerable.Range(0, n).Select(i => (long)(i % 4)).ToArray(), n)));
        var ofMean = network.Parameters.Gradient(losses.Mean(), retainGraph: true).ToDoubles();
        Assert.Contains(ofMean, g => g != 0);
        Assert.Equal(ofMean, network.Parameters.Gradient(losses).ToDoubles());
    }

    [Fact]
    public void FlatGradientOfAPerceptronEqualsItsParts()
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(12, [9, 5], 4), seed: 3);
        var logits = network.Logits(Numbers([6, 12], 4), new ForwardPass(BatchNormMode.Train));
        var loss = new Loss().PerExample(logits, new Targets(Tensor.From([0L, 1, 2, 3, 0, 1], 6))).Mean();
        var parts = Autograd.Gradients(loss, [.. network.Parameters.Parts.Select(p => p.Parameter.Value)], retainGraph: true);
        var flat = network.Parameters.Gradient(loss);
        Assert.Equal(parts.SelectMany(p => p.ToDoubles()), flat.ToDoubles());
        Assert.Equal(network.Parameters.Length, flat.Count);
    }

    [Theory]
    [InlineData(DType.Float32, 3e-6)]
    [InlineData(DType.Float64, 1e-14)]
    public void CrossEntropyEqualsItsFormula(DType type, double tolerance)
    {
        foreach (var (n, classes) in new[] { (1, 2), (9, 10), (64, 200) })
            foreach (var smoothing in new[] { 0, 0.1 })
                foreach (var mixed in new[] { false, true })
                {
                    using var scope = new TensorScope();
                    var logits = Numbers([n, classes], 5, type) * 30;
                    logits.RequiresGrad = true;
                    var a = Tensor.From([.. Enumerable.Range(0, n).Select(i => (long)(i % classes))], n);
                    // every third example is mixed with its own class
                    var b = Tensor.From([.. Enumerable.Range(0, n).Select(i => (long)((i + i % 3) % classes))], n);
                    var lambda = (Numbers([n], 6, type).Abs() * 0.3).Clamp(0, 1);
                    var upstream = Numbers([n], 7, type);
                    var logP = logits.LogSoftmax(1);
                    Tensor Pick(Tensor labels) => logP.Gather(1, labels.Unsqueeze(1)).Flatten(0);
                    var expected = mixed ? lambda * Pick(a) + (1 - lambda) * Pick(b) : Pick(a);
                    expected = -((1 - smoothing) * expected + smoothing * logP.Mean([1]));
                    var fused = logits.CrossEntropy(a, mixed ? [b, lambda] : [], smoothing);
                    Close.Equal(expected, fused, tolerance);
                    Close.Equal(Autograd.Gradients(expected, [logits], upstream)[0], Autograd.Gradients(fused, [logits], upstream)[0], tolerance);
                }
    }

    [Fact]
    public void CrossEntropyRefusesAClassThatIsNotThere()
    {
        using var scope = new TensorScope();
        var error = Assert.Throws<TorchException>(() => Tensor.Zeros([2, 3]).CrossEntropy(Tensor.From([0L, 3], 2), []));
        Assert.Contains("class 3 of example 1", error.Message);
    }

    [Fact]
    public void FusedNodesCanBeDifferentiatedTwice()
    {
        using var scope = new TensorScope();
        var weights = Weights([6, 5, 3]);
        var (x, a) = (Numbers([4, 6], 1), Tensor.From([0L, 1, 2, 1], 4));
        Tensor[] Twice(Tensor losses)
        {
            var gradients = Autograd.Gradients(losses.Mean(), weights, createGraph: true);
            return Autograd.Gradients(gradients.Select(g => (g * g).Sum()).Aggregate((p, q) => p + q), weights);
        }
        var ours = Twice(x.Perceptron(weights).CrossEntropy(a, []));
        var theirs = Twice(-Composite(x, weights).LogSoftmax(1).Gather(1, a.Unsqueeze(1)).Flatten(0));
        for (var i = 0; i < ours.Length; i++) Close.Equal(theirs[i], ours[i], 1e-5);
    }

    [Theory]
    [InlineData(DType.Float32, 1e-6)]
    [InlineData(DType.Float64, 1e-14)]
    public void VectorAlgebraEqualsItsOperators(DType type, double tolerance)
    {
        // one chunk with a rest, and many
        foreach (var n in new long[] { 1, 13, 100_003 })
        {
            using var scope = new TensorScope();
            var (x, y, f) = (Numbers([n], 1, type), Numbers([n], 2, type), Tensor.Scalar(0.37, DType.Float64));
            Assert.Equal(x.Norm().Item(), Vectors.Norm(x).Item(), 1e-9 * Math.Sqrt(n));
            Assert.Equal(x.Dot(y).Item(), Vectors.Dot(x, y).Item(), 1e-9 * n);
            Close.Equal(x + y * f.To(type), Vectors.Moved(x, y, f), tolerance);
            var (direction, c, orthogonal, minus) = Vectors.Decompose(x, y, 0.7, 1e-24);
            var o = y.OrthogonalTo(x);
            Close.Equal(x.Add(o, 0.7), direction, 10 * tolerance);
            Assert.Equal(y.Dot(x).Item() / x.Dot(x).Item(), c.Item(), 1e-9);
            Assert.Equal(o.Norm().Item(), orthogonal.Item(), 1e-3 * tolerance * n + 1e-5);
            Assert.Equal(y.Norm().Item(), minus.Item(), 1e-9 * Math.Sqrt(n));
            Assert.Equal(0, Vectors.Decompose(x.ZerosLike(), y, 1, 1e-24).Projection.Item());
        }
    }

    [Fact]
    public void MixingKeepsTheLayoutAndEqualsTheFormula()
    {
        using var scope = new TensorScope();
        var partner = Tensor.From([2L, 0, 1], 3);
        var weight = Tensor.From([0.25f, 1, 0], 3);
        foreach (var format in new[] { MemoryFormat.Contiguous, MemoryFormat.ChannelsLast })
        {
            var x = Numbers([3, 2, 5, 4], 1).Contiguous(format);
            var w = weight.View(3, 1, 1, 1);
            var mixed = Vectors.MixRows(x, partner, weight);
            Close.Equal(x * w + x.Rows(partner) * (1 - w), mixed, 0);
            Assert.Equal(x.Strides, mixed.Strides);
        }
        Assert.Throws<TorchException>(() => Vectors.MixRows(Numbers([2, 2], 1), Tensor.From([0L, 2], 2), Tensor.From([1f, 1], 2)));
    }

    [Fact]
    public void DisplacedWeightsAreSeenByEveryViewAndComeBackBitForBit()
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(4, [3], 2), seed: 1);
        var weights = network.Parameters;
        var (home, part) = (weights.Value.ToDoubles(), weights.Parts[0].Parameter.Value);
        var first = part.ToDoubles();
        using (weights.Perturbed(Tensor.Full([weights.Length], 0.5)))
        {
            Assert.Equal(first.Select(v => (double)((float)v + 0.5f)), part.ToDoubles());
            using (weights.At(Tensor.Full([weights.Length], 7))) Assert.All(part.ToDoubles(), v => Assert.Equal(7, v));
            Assert.NotEqual(first, part.ToDoubles());
        }
        Assert.Equal(home, weights.Value.ToDoubles());
    }

    [Fact]
    public void AGraphMadeElsewhereIsNotGoneBackThrough()
    {
        using var scope = new TensorScope();
        using var network = new Network(new Mlp(4, [3], 2, Mlp.Activation.Tanh), seed: 1);
        var loss = network.Logits(Numbers([2, 4], 2), new ForwardPass(BatchNormMode.Train)).Sum();
        using (network.Parameters.Perturbed(Tensor.Full([network.Parameters.Length], 0.5)))
            Assert.Throws<TorchException>(() => network.Parameters.Gradient(loss));
    }

    [Fact]
    public void AProfileHasEveryOperatorAndItsSharesAddUp()
    {
        using var scope = new TensorScope();
        using var network = new Network(new WideResNet(10, 1, 10, 3));
        using var step = new MethodStep(network, MethodCatalog.Get("gmix"));
        var batch = new Batch(Numbers([4, 3, 8, 8], 1).Contiguous(MemoryFormat.ChannelsLast), Tensor.From([1L, 2, 3, 4], 4));
        var draw = new Draw { Lambda = 0.3, Permutation = [1, 0, 3, 2] };
        var profile = Profiler.Record("step", () => step.Run(batch, new StepContext(0, 0, 0.1, 0.1, draw)));
        var rows = profile.Rows();
        Assert.InRange(rows.Sum(r => r.Share), 0.999, 1.001);
        Assert.InRange(rows.Sum(r => r.Self) / profile.Seconds, 0.9, 1.1);
        Assert.Contains(rows, r => r.Name.Contains("conv") && !r.Name.Contains("backward", StringComparison.OrdinalIgnoreCase) && r.Bytes > 0);
        Assert.Contains(rows, r => r.Name == "aten::convolution_backward");
        Assert.Contains(rows, r => r.Name == Profile.Outside);
        Assert.Equal(["step", "mix", "first pass", "perturb", "second pass"], profile.Spans().Select(s => s.Name));
        using var json = JsonDocument.Parse(profile.ToTrace());
        var events = json.RootElement.GetProperty("traceEvents").EnumerateArray().ToList();
        Assert.Equal(profile.Events.Count, events.Count);
        Assert.Contains(events, e => e.GetProperty("name").GetString()!.Contains("convolution"));
        Assert.All(events, e => Assert.True(e.GetProperty("ph").GetString() == "X" && e.GetProperty("dur").GetDouble() >= 0));
        Assert.Equal(rows.Count + 1, profile.ToCsv().TrimEnd().Split('\n').Length);
        Assert.Throws<TorchException>(() => Profiler.Record("outer", () => Profiler.Record("inner", () => { })));
        // and one that failed does not stand in the way of the next
        Assert.NotEmpty(Profiler.Record("again", () => Tensor.Zeros([1])).Events);
    }
}
