using GMix.Draws;
using GMix.Torch;

namespace GMix.Nn;

/// <summary>One trainable tensor of a module: its name within the module, shape and initial distribution. <see cref="Value"/> is a view of the network's flat weight vector.</summary>
public sealed class Parameter
{
    private Tensor? _value;

    internal Parameter(string name, long[] shape, Initializer initializer) => (Name, Shape, Initializer) = (name, shape, initializer);

    /// <summary>Name within its module, e.g. <c>weight</c>.</summary>
    public string Name { get; }

    /// <summary>Sizes.</summary>
    public long[] Shape { get; }

    /// <summary>Number of elements.</summary>
    public long Count => Shape.Aggregate(1L, (a, b) => a * b);

    /// <summary>How it starts.</summary>
    public Initializer Initializer { get; }

    /// <summary>The weights. Available once the module belongs to a <see cref="Network"/>.</summary>
    public Tensor Value
    {
        get => _value ?? throw new InvalidOperationException($"parameter {Name} has no memory yet: make a Network of the model first");
        internal set => _value = value;
    }

    public static implicit operator Tensor(Parameter p) => p.Value;
}

/// <summary>A tensor that belongs to a module's state but is not trained, e.g. BatchNorm's running mean.</summary>
public sealed class ModuleBuffer
{
    private Tensor? _value;

    internal ModuleBuffer(string name, long[] shape, double initial, DType? fixedType) => (Name, Shape, Initial, FixedType) = (name, shape, initial, fixedType);

    /// <summary>Name within its module.</summary>
    public string Name { get; }
    /// <summary>Sizes.</summary>
    public long[] Shape { get; }
    internal double Initial { get; }
    internal DType? FixedType { get; }

    /// <summary>The state. Available once the module belongs to a <see cref="Network"/>.</summary>
    public Tensor Value
    {
        get => _value ?? throw new InvalidOperationException($"buffer {Name} has no memory yet: make a Network of the model first");
        internal set => _value = value;
    }

    public static implicit operator Tensor(ModuleBuffer b) => b.Value;
}

/// <summary>
/// A part of a network: it declares parameters, buffers and children by name. Declaring allocates nothing; a <see cref="Network"/> gives all
/// parameters one flat vector of memory. Parameters come in declaration order, so names and order equal PyTorch's for the same layout.
/// </summary>
public abstract class Module
{
    // declaration order decides the order of parameters, as in PyTorch
    private readonly List<(string Name, object Item)> _items = [];

    /// <summary>Declares a trainable tensor.</summary>
    protected Parameter AddParameter(string name, long[] shape, Initializer initializer)
    {
        var p = new Parameter(name, shape, initializer);
        Add(name, (object)p);
        return p;
    }

    /// <summary>Declares untrained state that starts at <paramref name="initial"/>; <paramref name="type"/> fixes an element type other than the network's.</summary>
    protected ModuleBuffer AddBuffer(string name, long[] shape, double initial, DType? type = null)
    {
        var b = new ModuleBuffer(name, shape, initial, type);
        Add(name, (object)b);
        return b;
    }

    /// <summary>Declares a child; its parameters are named <c>name.…</c>.</summary>
    protected T Add<T>(string name, T child) where T : Module
    {
        Add(name, (object)child);
        return child;
    }

    private void Add(string name, object item)
    {
        if (_items.Any(i => i.Name == name)) throw new ArgumentException($"{GetType().Name} declares '{name}' twice", nameof(name));
        _items.Add((name, item));
    }

    /// <summary>All parameters with their full names, in declaration order.</summary>
    public IEnumerable<(string Name, Parameter Parameter)> NamedParameters() => Walk<Parameter>("");

    /// <summary>All buffers with their full names, in declaration order.</summary>
    public IEnumerable<(string Name, ModuleBuffer Buffer)> NamedBuffers() => Walk<ModuleBuffer>("");

    private IEnumerable<(string, T)> Walk<T>(string prefix)
    {
        foreach (var (name, item) in _items)
        {
            if (item is T found) yield return (prefix + name, found);
            else if (item is Module child)
                foreach (var below in child.Walk<T>(prefix + name + ".")) yield return below;
        }
    }
}

/// <summary>A whole network: images (n, c, h, w) in, logits (n, classes) out. Derive from it to bring a model of your own.</summary>
public abstract class Model : Module
{
    /// <summary>Number of classes, the width of the logits.</summary>
    public abstract int Classes { get; }

    /// <summary>Logits (n, classes) of images (n, c, h, w).</summary>
    /// <param name="x">Normalised images.</param>
    /// <param name="pass">How BatchNorm behaves, what dropout drew, and where hidden activations are mixed.</param>
    public abstract Tensor Forward(Tensor x, ForwardPass pass);
}
