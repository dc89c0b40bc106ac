using GMix.Draws;

namespace GMix.Nn;

/// <summary>Fills a parameter's first values.</summary>
/// <param name="values">Elements, row-major.</param>
/// <param name="shape">Sizes.</param>
/// <param name="random">The parameter's own stream.</param>
public delegate void Initializer(Span<double> values, long[] shape, CounterRandom random);

/// <summary>The usual distributions of initial weights.</summary>
public static class Initializers
{
    /// <summary>Every element the same.</summary>
    public static Initializer Constant(double value) => (v, _, _) => v.Fill(value);

    /// <summary>N(0, 2 / fan-in), fan-in = elements / first dimension (He et al. 2015; the official WideResNet code).</summary>
    public static Initializer HeNormalFanIn { get; } = (v, shape, random) => Normal(v, random, Math.Sqrt(2.0 / (v.Length / shape[0])));

    /// <summary>N(0, 2 / fan-out), fan-out = elements / second dimension (torchvision's ResNet).</summary>
    public static Initializer HeNormalFanOut { get; } = (v, shape, random) => Normal(v, random, Math.Sqrt(2.0 / (v.Length / shape[1])));

    /// <summary>U(−1/√fan-in, 1/√fan-in): PyTorch's default for the weights of convolutions and linear maps.</summary>
    public static Initializer UniformFanIn { get; } = (v, shape, random) => Fill(v, random, 1 / Math.Sqrt(v.Length / shape[0]));

    /// <summary>U(−bound, bound).</summary>
    public static Initializer Uniform(double bound) => (v, _, random) => Fill(v, random, bound);

    /// <summary>U(0, 1): the BatchNorm scale of the official PyTorch port of WideResNet.</summary>
    public static Initializer UniformUnit { get; } = (v, _, random) =>
    {
        foreach (ref var x in v) x = random.NextDouble();
    };

    private static void Fill(Span<double> values, CounterRandom random, double bound)
    {
        foreach (ref var x in values) x = bound * (2 * random.NextDouble() - 1);
    }

    private static void Normal(Span<double> values, CounterRandom random, double std)
    {
        foreach (ref var x in values) x = std * random.NextNormal();
    }
}
