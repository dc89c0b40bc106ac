using GMix.Torch;

namespace GMix.Nn;

/// <summary>How a network computes.</summary>
public enum Precision
{
    /// <summary>Weights and arithmetic in float32.</summary>
    Float32,
    /// <summary>Weights in float32; convolutions and matrix products in bfloat16 by autocast; losses in float32.</summary>
    BFloat16,
    /// <summary>Everything in float64, for checking mathematics.</summary>
    Float64,
}

/// <summary>A model with memory: its flat weight vector, its buffers, where and in which precision it runs.</summary>
public sealed class Network : IDisposable
{
    /// <param name="model">The model; it belongs to this network from now on.</param>
    /// <param name="precision">See <see cref="Precision"/>.</param>
    /// <param name="device">Where; the host when not given.</param>
    /// <param name="seed">Seed of the initial weights.</param>
    /// <param name="channelsLast">Memory layout of images and convolution weights; on by default where the model has convolutions.</param>
    public Network(Model model, Precision precision = Precision.Float32, Device? device = null, long seed = 0, bool? channelsLast = null)
    {
        Model = model;
        Precision = precision;
        Device = device ?? Device.Cpu;
        ChannelsLast = channelsLast ?? model.NamedParameters().Any(p => p.Parameter.Shape.Length == 4);
        Parameters = new ParameterVector(model, Type, Device, ChannelsLast, seed);
        var buffers = model.NamedBuffers().ToArray();
        foreach (var (_, b) in buffers) b.Value = TensorScope.Detach(Tensor.Full(b.Shape, b.Initial, b.FixedType ?? Type, Device));
        Buffers = [.. buffers.Select(b => (b.Name, b.Buffer.Value))];
    }

    /// <summary>The layers.</summary>
    public Model Model { get; }
    /// <summary>How it computes.</summary>
    public Precision Precision { get; }
    /// <summary>Element type of weights, images and losses.</summary>
    public DType Type => Precision == Precision.Float64 ? DType.Float64 : DType.Float32;
    /// <summary>Where it runs.</summary>
    public Device Device { get; }
    /// <summary>Whether images and convolution weights lie channels-last.</summary>
    public bool ChannelsLast { get; }
    /// <summary>The weights as one vector.</summary>
    public ParameterVector Parameters { get; }
    /// <summary>Untrained state by full name, e.g. running means.</summary>
    public IReadOnlyList<(string Name, Tensor Value)> Buffers { get; }

    /// <summary>Logits (n, classes) of images (n, c, h, w), in the network's element type whatever the precision inside.</summary>
    public Tensor Logits(Tensor images, ForwardPass pass)
    {
        if (ChannelsLast && images.Rank == 4) images = images.Contiguous(MemoryFormat.ChannelsLast);
        // activations live as long as the graph needs them, not as long as the step: a backward pass frees them as it goes
        using var scope = new TensorScope();
        using (new Autocast(Precision == Precision.BFloat16 && !pass.FullPrecision, Device))
        {
            var logits = Model.Forward(pass.Stage(0, images), pass);
            return scope.Keep(logits.DType == Type ? logits : logits.To(Type));
        }
    }

    /// <summary>All parameters and buffers by full name, as PyTorch's <c>state_dict</c> orders its names.</summary>
    public IReadOnlyList<(string Name, Tensor Value)> State()
    {
        var all = Parameters.Parts.Select(p => (p.Name, p.Parameter.Value)).Concat(Buffers).ToDictionary(x => x.Item1, x => x.Item2);
        return [.. all.OrderBy(x => x.Key, StringComparer.Ordinal).Select(x => (x.Key, x.Value))];
    }

    /// <summary>Overwrites parameters and buffers. Every name must be there with its shape, and no other.</summary>
    /// <param name="values">Tensors by full name.</param>
    /// <param name="source">Where they come from, for the error message.</param>
    /// <exception cref="GMixInputException">A name is missing or unknown, or a shape differs.</exception>
    public void Load(IReadOnlyDictionary<string, Tensor> values, string source)
    {
        using var noGrad = Autograd.NoGrad();
        var state = State();
        foreach (var (name, target) in state)
        {
            if (!values.TryGetValue(name, out var value)) throw new GMixInputException($"{source}: tensor {name} is missing; were these weights saved from another model?");
            if (!value.Shape.SequenceEqual(target.Shape)) throw new GMixInputException($"{source}: {name} is {value}, this model has {target}");
        }
        var known = state.Select(s => s.Name).ToHashSet();
        if (values.Keys.FirstOrDefault(k => !known.Contains(k)) is { } other) throw new GMixInputException($"{source}: this model has no tensor {other}");
        foreach (var (name, target) in state) target.CopyFrom(values[name]);
    }

    /// <summary>Frees weights and buffers.</summary>
    public void Dispose()
    {
        foreach (var part in Parameters.Parts) part.Parameter.Value.Dispose();
        foreach (var (_, buffer) in Buffers) buffer.Dispose();
        Parameters.Value.Dispose();
    }
}
