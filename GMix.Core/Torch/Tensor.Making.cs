namespace GMix.Torch;

public sealed partial class Tensor
{
    private static readonly Operator OpEmpty = Operator.Find("aten::empty", "memory_format"), OpFull = Operator.Find("aten::full"), OpZerosLike = Operator.Find("aten::zeros_like"),
        OpEmptyLike = Operator.Find("aten::empty_like"), OpArange = Operator.Find("aten::arange", "start_step"), OpNormal = Operator.Find("aten::normal_"), OpUniform = Operator.Find("aten::uniform_"),
        OpBernoulli = Operator.Find("aten::bernoulli_", "float"), OpCat = Operator.Find("aten::cat"), OpStack = Operator.Find("aten::stack"), OpOneHot = Operator.Find("aten::one_hot");

    /// <summary>A tensor whose elements are whatever the memory held.</summary>
    public static Tensor Empty(long[] shape, DType type = DType.Float32, Device? device = null) => OpEmpty.Call(shape, type, Arg.None, device ?? Device.Cpu);

    /// <summary>A tensor of one value.</summary>
    public static Tensor Full(long[] shape, double value, DType type = DType.Float32, Device? device = null) =>
        type is DType.Float32 or DType.Float64 or DType.BFloat16 or DType.Float16 ? OpFull.Call(shape, value, type, Arg.None, device ?? Device.Cpu) : OpFull.Call(shape, (long)value, type, Arg.None, device ?? Device.Cpu);

    /// <summary>A tensor of zeros.</summary>
    public static Tensor Zeros(long[] shape, DType type = DType.Float32, Device? device = null) => Full(shape, 0, type, device);

    /// <summary>A tensor of ones.</summary>
    public static Tensor Ones(long[] shape, DType type = DType.Float32, Device? device = null) => Full(shape, 1, type, device);

    /// <summary>The whole numbers from <paramref name="start"/> up to, not with, <paramref name="end"/>, as Int64.</summary>
    public static Tensor Range(long start, long end, Device? device = null) => OpArange.Call(start, end, 1L, DType.Int64, Arg.None, device ?? Device.Cpu);

    /// <summary>Independent normal numbers from a seeded generator.</summary>
    public static Tensor Normal(long[] shape, Generator generator, double mean = 0, double std = 1, DType type = DType.Float32, Device? device = null)
    {
        var t = Empty(shape, type, device);
        OpNormal.Run(t, mean, std, generator);
        return t;
    }

    /// <summary>Independent uniform numbers in [low, high) from a seeded generator.</summary>
    public static Tensor Uniform(long[] shape, Generator generator, double low = 0, double high = 1, DType type = DType.Float32, Device? device = null)
    {
        var t = Empty(shape, type, device);
        OpUniform.Run(t, low, high, generator);
        return t;
    }

    /// <summary>Independent draws of 1 with probability <paramref name="probability"/>, else 0.</summary>
    public static Tensor Bernoulli(long[] shape, double probability, Generator generator, DType type = DType.Float32, Device? device = null)
    {
        var t = Empty(shape, type, device);
        OpBernoulli.Run(t, probability, generator);
        return t;
    }

    /// <summary>Joins tensors along an existing dimension.</summary>
    public static Tensor Cat(Tensor[] tensors, int dimension = 0) => OpCat.Call(tensors, dimension);

    /// <summary>Joins tensors of one shape along a new dimension.</summary>
    public static Tensor Stack(Tensor[] tensors, int dimension = 0) => OpStack.Call(tensors, dimension);

    /// <summary>Zeros of this tensor's shape, type, device and layout.</summary>
    public Tensor ZerosLike() => OpZerosLike.Call(this);

    /// <summary>Uninitialised memory of this tensor's shape, type, device and layout.</summary>
    public Tensor EmptyLike() => OpEmptyLike.Call(this);

    /// <summary>Class indices (n) to rows (n, classes) with a single 1.</summary>
    public Tensor OneHot(int classes) => OpOneHot.Call(this, classes);
}
