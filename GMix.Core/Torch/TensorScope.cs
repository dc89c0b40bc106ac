namespace GMix.Torch;

/// <summary>
/// Frees every tensor made while it was the innermost scope of its thread, at its disposal. Training opens one a step:
/// nothing waits for the garbage collector. <see cref="Keep"/> passes a tensor to the scope around (or to its owner, where there is none).
/// </summary>
/// <example><code>
/// using var scope = new TensorScope();
/// var loss = scope.Keep(Compute());      // outlives the scope
/// </code></example>
public sealed class TensorScope : IDisposable
{
    [ThreadStatic] private static TensorScope? _current;
    private readonly TensorScope? _outer;
    private readonly List<Tensor> _tensors = new(256);
    private bool _disposed;

    /// <summary>Opens a scope inside the thread's current one.</summary>
    public TensorScope()
    {
        _outer = _current;
        _current = this;
    }

    internal static TensorScope? Current => _current;

    internal void Add(Tensor tensor) => _tensors.Add(tensor);

    /// <summary>Moves the tensor to the scope around this one, or, where there is none, to whoever holds it.</summary>
    public Tensor Keep(Tensor tensor)
    {
        if (tensor.Scope == this)
        {
            tensor.Scope = _outer;
            _outer?.Add(tensor);
        }
        return tensor;
    }

    /// <summary>Frees what was made in this scope and not kept.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        if (_current == this) _current = _outer;
        foreach (var tensor in _tensors)
            if (tensor.Scope == this) tensor.Dispose();
        _tensors.Clear();
    }

    /// <summary>Runs <paramref name="body"/> in a scope of its own and keeps only the tensor that it returns.</summary>
    public static Tensor Run(Func<Tensor> body)
    {
        using var scope = new TensorScope();
        return scope.Keep(body());
    }

    /// <summary>Takes a tensor out of every scope: it lives until it is disposed.</summary>
    public static Tensor Detach(Tensor tensor)
    {
        tensor.Scope = null;
        return tensor;
    }
}
