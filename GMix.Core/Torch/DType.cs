namespace GMix.Torch;

/// <summary>Element types, numbered as libtorch's <c>ScalarType</c>.</summary>
public enum DType { UInt8 = 0, Int8 = 1, Int16 = 2, Int32 = 3, Int64 = 4, Float16 = 5, Float32 = 6, Float64 = 7, Bool = 11, BFloat16 = 15 }

/// <summary>Facts about element types.</summary>
public static class DTypes
{
    /// <summary>Bytes per element.</summary>
    public static int Size(this DType type) => type switch
    {
        DType.UInt8 or DType.Int8 or DType.Bool => 1,
        DType.Int16 or DType.Float16 or DType.BFloat16 => 2,
        DType.Int32 or DType.Float32 => 4,
        DType.Int64 or DType.Float64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown element type"),
    };

    /// <summary>The element type that holds a .NET primitive.</summary>
    public static DType Of<T>() where T : unmanaged => default(T) switch
    {
        byte => DType.UInt8,
        sbyte => DType.Int8,
        short => DType.Int16,
        int => DType.Int32,
        long => DType.Int64,
        Half => DType.Float16,
        float => DType.Float32,
        double => DType.Float64,
        bool => DType.Bool,
        _ => throw new NotSupportedException($"no tensor element type holds {typeof(T).Name}"),
    };
}

/// <summary>How a tensor's elements are laid out in memory, numbered as libtorch's <c>MemoryFormat</c>.</summary>
public enum MemoryFormat { Contiguous = 0, Preserve = 1, ChannelsLast = 2 }

/// <summary>A place where tensors live: <c>cpu</c>, <c>cuda</c> or <c>cuda:1</c>.</summary>
public readonly record struct Device(string Kind, int Index)
{
    /// <summary>The host.</summary>
    public static Device Cpu => new("cpu", 0);

    /// <summary>The GPU of that index.</summary>
    public static Device Cuda(int index = 0) => new("cuda", index);

    /// <summary>Whether this is a GPU.</summary>
    public bool IsCuda => Kind == "cuda";

    /// <summary>Reads <c>cpu</c>, <c>cuda</c> or <c>cuda:INDEX</c>.</summary>
    /// <exception cref="GMixInputException">Anything else, or a GPU that this libtorch does not see.</exception>
    public static Device Parse(string text)
    {
        if (text == "cpu") return Cpu;
        var parts = text.Split(':');
        if (parts[0] == "cuda" && parts.Length <= 2 && (parts.Length == 1 || int.TryParse(parts[1], out _)))
        {
            var index = parts.Length == 2 ? int.Parse(parts[1]) : 0;
            return Torch.Cuda.Obstacle(index) is { } obstacle ? throw new GMixInputException($"--device {text}: {obstacle}") : Cuda(index);
        }
        throw new GMixInputException($"--device {text}: use cpu, cuda or cuda:INDEX");
    }

    /// <inheritdoc/>
    public override string ToString() => IsCuda ? $"cuda:{Index}" : Kind;
}
