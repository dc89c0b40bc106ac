using System.Runtime.InteropServices;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>A small network with a batch, everything a function of the seed. Frees what was made while it lived.</summary>
internal sealed class Lab : IDisposable
{
    public const int Side = 8;
    private readonly TensorScope _scope = new();

    public Lab(string model = "mlp", int count = 9, int classes = 5, long seed = 1, Precision precision = Precision.Float64)
    {
        Seed = seed;
        Network = new Network(ModelCatalog.Create(model, new ImageShape(classes, 3, Side, Side), new ModelOptions { Hidden = [16, 12] }), precision, seed: seed);
        var random = new CounterRandom(seed, DrawStream.Diagnostics);
        var pixels = new double[count * 3 * Side * Side];
        for (var i = 0; i < pixels.Length; i++) pixels[i] = random.NextNormal();
        var labels = new long[count];
        for (var i = 0; i < count; i++) labels[i] = random.NextInt(classes);
        Batch = new Batch(Tensor.From(pixels, count, 3, Side, Side).To(Network.Type), Tensor.From(labels, count));
    }

    public Lab(Scenario s, Precision precision = Precision.Float64) : this(s.Model, s.Count, s.Classes, s.Seed, precision) { }

    public long Seed { get; }
    public Network Network { get; }
    public Batch Batch { get; }

    /// <summary>The context of a step whose draw comes from the lab's seed.</summary>
    public StepContext At(Method method, long step = 0, int epoch = 0)
    {
        var draw = method.Mix.Draw(new CounterRandom(Seed, DrawStream.Mix, epoch, step), Batch.Count, Side, Side);
        return new StepContext(epoch, step, 0.1, 0.1, draw with { Seed = new CounterRandom(Seed, DrawStream.Dropout, epoch, step).NextUInt64() });
    }

    public StepResult Step(Method method, Draw? draw = null, Batch? batch = null)
    {
        using var step = new MethodStep(Network, method);
        var at = At(method);
        return step.Run(batch ?? Batch, draw is null ? at : at with { Draw = draw });
    }

    public void Dispose()
    {
        Network.Dispose();
        _scope.Dispose();
    }

    public static Method Of(Mix mix, Perturb perturb, Combine combine) => new("test", "Test", mix, perturb, combine);

    /// <summary>A tensor's bits, row-major.</summary>
    public static byte[] Bits(Tensor t)
    {
        var bytes = new byte[t.Count * t.DType.Size()];
        t.CopyTo(bytes);
        return bytes;
    }

    /// <summary>All weights and buffers as bits.</summary>
    public byte[] StateBits() => [.. Network.State().SelectMany(s => Bits(s.Value))];

    public byte[] BufferBits() => [.. Network.Buffers.SelectMany(b => Bits(b.Value))];
}

/// <summary>Comparisons of vectors.</summary>
internal static class Close
{
    /// <summary>Largest difference relative to the largest magnitude.</summary>
    public static double Error(Tensor ours, Tensor expected) => Error(ours.ToDoubles(), expected.ToDoubles());

    public static double Error(double[] ours, double[] expected)
    {
        Assert.Equal(expected.Length, ours.Length);
        var scale = Math.Max(expected.Select(Math.Abs).DefaultIfEmpty(0).Max(), 1e-300);
        var error = ours.Zip(expected, (a, b) => Math.Abs(a - b)).DefaultIfEmpty(0).Max() / scale;
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }

    public static void Equal(Tensor expected, Tensor ours, double tolerance) => Equal(expected.ToDoubles(), ours.ToDoubles(), tolerance);

    public static void Equal(double[] expected, double[] ours, double tolerance)
    {
        var error = Error(ours, expected);
        Assert.True(error <= tolerance, $"largest relative difference {error:e2}, allowed {tolerance:e0}");
    }

    public static void Bitwise(Tensor expected, Tensor ours) => Assert.True(Lab.Bits(expected).AsSpan().SequenceEqual(Lab.Bits(ours)), $"not the same bits; largest relative difference {Error(ours, expected):e2}");
}
