using System.Runtime.InteropServices;

namespace GMix.Torch;

/// <summary>
/// A multi-dimensional array of libtorch. Made inside a <see cref="TensorScope"/> it is freed with the scope; made outside, by
/// <see cref="Dispose"/>. The finalizer is a safety net only.
/// </summary>
public sealed unsafe partial class Tensor : IDisposable
{
    private nint _handle;

    private Tensor(nint handle)
    {
        _handle = handle;
        Scope = TensorScope.Current;
        Scope?.Add(this);
    }

    /// <summary>Takes over one reference that the shim handed out.</summary>
    internal static Tensor Adopt(nint handle) => new(handle);

    internal TensorScope? Scope { get; set; }

    internal nint Handle => _handle != 0 ? _handle : throw new ObjectDisposedException(nameof(Tensor), "this tensor was freed with its scope; keep it with scope.Keep(tensor)");

    /// <summary>Whether the tensor was freed.</summary>
    public bool IsDisposed => _handle == 0;

    /// <summary>Frees the tensor now.</summary>
    public void Dispose()
    {
        var handle = Interlocked.Exchange(ref _handle, 0);
        if (handle != 0) NativeMethods.gmx_tensor_free(handle);
        GC.SuppressFinalize(this);
    }

    /// <summary>A safety net for a tensor that nobody disposed.</summary>
    ~Tensor()
    {
        if (_handle != 0) NativeMethods.gmx_tensor_free(_handle);
    }

    /// <summary>Number of dimensions.</summary>
    public int Rank => NativeMethods.gmx_tensor_rank(Handle);

    /// <summary>Number of elements.</summary>
    public long Count => NativeMethods.gmx_tensor_numel(Handle);

    /// <summary>Element type.</summary>
    public DType DType => (DType)NativeMethods.gmx_tensor_dtype(Handle);

    /// <summary>Where it lives.</summary>
    public Device Device => NativeMethods.gmx_tensor_is_cuda(Handle) != 0 ? Device.Cuda(NativeMethods.gmx_tensor_device_index(Handle)) : Device.Cpu;

    /// <summary>Size of each dimension.</summary>
    public long[] Shape
    {
        get
        {
            var sizes = new long[Rank];
            fixed (long* p = sizes) NativeMethods.gmx_tensor_sizes(Handle, p);
            return sizes;
        }
    }

    /// <summary>Elements between neighbours along each dimension.</summary>
    public long[] Strides
    {
        get
        {
            var strides = new long[Rank];
            fixed (long* p = strides) NativeMethods.gmx_tensor_strides(Handle, p);
            return strides;
        }
    }

    /// <summary>Size of one dimension; negative counts from the end.</summary>
    public long Size(int dimension)
    {
        var shape = Shape;
        return shape[dimension < 0 ? dimension + shape.Length : dimension];
    }

    /// <summary>Whether operators on this leaf record a graph.</summary>
    public bool RequiresGrad
    {
        get => NativeMethods.gmx_tensor_requires_grad(Handle) != 0;
        set
        {
            var status = NativeMethods.gmx_tensor_set_requires_grad(Handle, value ? 1 : 0);
            if (status != 0) TorchException.Throw(status, $"requires_grad of {this}");
        }
    }

    /// <summary>A new tensor with these elements, row-major.</summary>
    /// <param name="data">As many elements as the shape has.</param>
    /// <param name="shape">Sizes; none makes a scalar.</param>
    /// <param name="device">Where; the host when not given.</param>
    public static Tensor From<T>(ReadOnlySpan<T> data, long[] shape, Device? device = null) where T : unmanaged =>
        FromBytes(MemoryMarshal.AsBytes(data), DTypes.Of<T>(), shape, device);

    /// <inheritdoc cref="From{T}(ReadOnlySpan{T}, long[], Device?)"/>
    public static Tensor From<T>(T[] data, params long[] shape) where T : unmanaged => From((ReadOnlySpan<T>)data, shape.Length == 0 ? [data.Length] : shape);

    /// <summary>A new tensor from the bytes of its elements, row-major.</summary>
    public static Tensor FromBytes(ReadOnlySpan<byte> data, DType type, long[] shape, Device? device = null)
    {
        Recording.Refuse("bring numbers from the host: make them with Draw.OnDevice");
        fixed (byte* p = data)
        fixed (long* s = shape)
        {
            var status = NativeMethods.gmx_tensor_from_host(p, data.Length, s, shape.Length, (int)type, (device ?? Device.Cpu).ToString(), out var handle);
            if (status != 0) TorchException.Throw(status, $"a tensor of {type} [{string.Join(", ", shape)}] from host memory");
            return new Tensor(handle);
        }
    }

    /// <summary>A scalar tensor.</summary>
    public static Tensor Scalar(double value, DType type = DType.Float32, Device? device = null) => Full([], value, type, device);

    /// <summary>The elements, row-major. On a GPU this waits for it.</summary>
    public T[] ToArray<T>() where T : unmanaged
    {
        if (DType != DTypes.Of<T>()) throw new InvalidOperationException($"{this} does not hold {typeof(T).Name}; convert it first with To(DType)");
        var data = new T[Count];
        CopyTo(MemoryMarshal.AsBytes(data.AsSpan()));
        return data;
    }

    /// <summary>The elements as doubles, whatever number type they have.</summary>
    public double[] ToDoubles()
    {
        if (DType == DType.Float64) return ToArray<double>();
        using var noGrad = Autograd.NoGrad();
        using var wide = To(DType.Float64);
        return wide.ToArray<double>();
    }

    /// <summary>Copies the elements' bytes, row-major.</summary>
    public void CopyTo(Span<byte> target)
    {
        Recording.Refuse("read a tensor");
        fixed (byte* p = target)
        {
            var status = NativeMethods.gmx_tensor_to_host(Handle, p, target.Length);
            if (status != 0) TorchException.Throw(status, $"reading {this}");
        }
    }

    /// <summary>Exchanges the memory behind this tensor and all its views with another's of the same size.</summary>
    internal void SwapMemory(Tensor other)
    {
        var status = NativeMethods.gmx_swap_memory(Handle, other.Handle);
        if (status != 0) TorchException.Throw(status, $"exchanging the memory of {this} and {other}");
    }

    /// <summary>The one element as a double. On a GPU this waits for it: a training step never calls it.</summary>
    public double Item()
    {
        Recording.Refuse("wait for a number");
        var status = NativeMethods.gmx_tensor_item(Handle, out var value);
        if (status != 0) TorchException.Throw(status, $"the value of {this}");
        return value;
    }

    /// <inheritdoc/>
    public override string ToString() => IsDisposed ? "a freed tensor" : $"{DType.ToString().ToLowerInvariant()}[{string.Join(", ", Shape)}]";
}
