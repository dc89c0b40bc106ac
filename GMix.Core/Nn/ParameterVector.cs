using GMix.Draws;
using GMix.Torch;

namespace GMix.Nn;

/// <summary>
/// All trainable weights of a network as one vector w in R^d. Each parameter is a view of it, so that algorithms read as algebra on vectors:
/// ε = ρ g / |g| is one operator, |g| is the global norm.
/// </summary>
public sealed class ParameterVector
{
    private readonly nint[] _handles;

    internal ParameterVector(Module module, DType type, Device device, bool channelsLast, long seed)
    {
        var named = module.NamedParameters().ToArray();
        if (named.Length == 0) throw new ArgumentException($"{module.GetType().Name} has no parameters", nameof(module));
        Length = named.Sum(p => p.Parameter.Count);
        using var noGrad = Autograd.NoGrad();
        Value = TensorScope.Detach(Tensor.Zeros([Length], type, device));
        var offset = 0L;
        var parts = new List<ParameterPart>();
        for (var i = 0; i < named.Length; i++)
        {
            var (name, parameter) = named[i];
            using var view = Value.AsStrided(parameter.Shape, StridesOf(parameter.Shape, channelsLast), offset);
            parameter.Value = TensorScope.Detach(view.Detach());
            var values = new double[parameter.Count];
            // one stream per parameter: inserting a layer does not reshuffle the others' numbers
            parameter.Initializer(values, parameter.Shape, new CounterRandom(seed, DrawStream.Init, 0, i));
            using (var first = Tensor.From(values, parameter.Shape)) parameter.Value.CopyFrom(first);
            parameter.Value.RequiresGrad = true;
            parts.Add(new ParameterPart(name, parameter, offset));
            offset += parameter.Count;
        }
        Parts = parts;
        _handles = [.. parts.Select(p => p.Parameter.Value.Handle)];
    }

    /// <summary>The weights, shape (d). Change it in place only.</summary>
    public Tensor Value { get; }

    /// <summary>Number of weights, d.</summary>
    public long Length { get; }

    /// <summary>The parameters by full name, with where they start in the vector.</summary>
    public IReadOnlyList<ParameterPart> Parts { get; }

    /// <summary>The gradient of a scalar, or of the mean of several, with respect to w, shape (d). Weights that do not take part get 0.</summary>
    /// <param name="loss">A scalar or (n), with a graph.</param>
    /// <param name="retainGraph">Keep the graph for a second gradient.</param>
    public Tensor Gradient(Tensor loss, bool retainGraph = false) => Autograd.FlatGradient(loss, _handles, retainGraph);

    /// <summary>Moves w to w + ε until disposed; then w is back, bit for bit.</summary>
    public Displacement Perturbed(Tensor epsilon) => Displaced(w => w + epsilon);

    /// <summary>Moves w to w + factor · direction, in one pass over memory; the factor is a float64 scalar.</summary>
    internal Displacement Perturbed(Tensor direction, Tensor factor) => Displaced(w => Vectors.Moved(w, direction, factor));

    /// <summary>Puts other weights in the place of w until disposed; then w is back, bit for bit.</summary>
    public Displacement At(Tensor weights) => Displaced(_ => weights.Clone());

    private Displacement Displaced(Func<Tensor, Tensor> other)
    {
        using (Autograd.NoGrad()) return new(Value, other(Value));
    }

    /// <summary>The dense strides of a parameter within its stretch of the vector.</summary>
    private static long[] StridesOf(long[] shape, bool channelsLast)
    {
        if (channelsLast && shape.Length == 4) return [shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]];
        var strides = new long[shape.Length];
        var step = 1L;
        for (var i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = step;
            step *= shape[i];
        }
        return strides;
    }

    /// <summary>Weights that are away from w, which lies untouched in the memory they had: disposal exchanges the two again, bit for bit.</summary>
    public readonly struct Displacement : IDisposable
    {
        private readonly Tensor _weights;

        internal Displacement(Tensor weights, Tensor other)
        {
            (_weights, Home) = (weights, other);
            weights.SwapMemory(other);
        }

        /// <summary>w as it was.</summary>
        public Tensor Home { get; }

        /// <inheritdoc/>
        public void Dispose()
        {
            _weights.SwapMemory(Home);
            Home.Dispose();
        }
    }
}

/// <summary>A parameter within the weight vector: its elements are [Offset, Offset + Count).</summary>
public sealed record ParameterPart(string Name, Parameter Parameter, long Offset);
