namespace GMix.Torch;

public sealed partial class Tensor
{
    private static readonly Operator OpView = Operator.Find("aten::view"), OpReshape = Operator.Find("aten::reshape"), OpAsStrided = Operator.Find("aten::as_strided"), OpPermute = Operator.Find("aten::permute"), OpFlatten = Operator.Find("aten::flatten", "using_ints"),
        OpNarrow = Operator.Find("aten::narrow"), OpSelect = Operator.Find("aten::select", "int"), OpUnsqueeze = Operator.Find("aten::unsqueeze"), OpExpand = Operator.Find("aten::expand"), OpIndexSelect = Operator.Find("aten::index_select"), OpGather = Operator.Find("aten::gather"),
        OpIndex = Operator.Find("aten::index", "Tensor"), OpFlip = Operator.Find("aten::flip"), OpPad = Operator.Find("aten::constant_pad_nd"), OpReflectionPad = Operator.Find("aten::reflection_pad2d"),
        OpSortStable = Operator.Find("aten::sort", "stable"), OpCopy = Operator.Find("aten::copy_"), OpZero = Operator.Find("aten::zero_"), OpFill = Operator.Find("aten::fill_", "Scalar"), OpClone = Operator.Find("aten::clone"), OpDetach = Operator.Find("aten::detach"),
        OpToType = Operator.Find("aten::to", "dtype"), OpToDevice = Operator.Find("aten::to", "device"), OpContiguous = Operator.Find("aten::contiguous"), OpTranspose = Operator.Find("aten::transpose", "int");

    /// <summary>The same memory under another shape; −1 once for 'what is left'.</summary>
    public Tensor View(params long[] shape) => OpView.Call(this, shape);
    /// <summary>Another shape; copies only where it has to.</summary>
    public Tensor Reshape(params long[] shape) => OpReshape.Call(this, shape);
    /// <summary>A view with given sizes and strides.</summary>
    public Tensor AsStrided(long[] shape, long[] strides, long offset) => OpAsStrided.Call(this, shape, strides, offset);
    /// <summary>Dimensions in another order.</summary>
    public Tensor Permute(params long[] order) => OpPermute.Call(this, order);
    /// <summary>Two dimensions exchanged.</summary>
    public Tensor Transpose(int a, int b) => OpTranspose.Call(this, a, b);
    /// <summary>Dimensions from <paramref name="start"/> on as one.</summary>
    public Tensor Flatten(int start = 0) => OpFlatten.Call(this, start);
    /// <summary>A view of <paramref name="length"/> entries along a dimension.</summary>
    public Tensor Narrow(int dimension, long start, long length) => OpNarrow.Call(this, dimension, start, length);
    /// <summary>A view of one entry along a dimension.</summary>
    public Tensor Select(int dimension, long index) => OpSelect.Call(this, dimension, index);
    /// <summary>A new dimension of size 1.</summary>
    public Tensor Unsqueeze(int dimension) => OpUnsqueeze.Call(this, dimension);
    /// <summary>Dimensions of size 1 repeated without a copy.</summary>
    public Tensor Expand(params long[] shape) => OpExpand.Call(this, shape);
    /// <summary>The rows (entries along dimension 0) at these indices.</summary>
    public Tensor Rows(Tensor indices) => OpIndexSelect.Call(this, 0, indices);
    /// <summary>The entries along a dimension at these indices.</summary>
    public Tensor IndexSelect(int dimension, Tensor indices) => OpIndexSelect.Call(this, dimension, indices);
    /// <summary>One entry per row along a dimension, as <c>torch.gather</c>.</summary>
    public Tensor Gather(int dimension, Tensor indices) => OpGather.Call(this, dimension, indices);
    /// <summary>Advanced indexing: index tensors broadcast against one another; null takes a whole dimension.</summary>
    public Tensor Index(params Tensor?[] indices) => OpIndex.Call(this, Arg.Optional(indices));
    /// <summary>Mirrored along some dimensions.</summary>
    public Tensor Flip(params long[] dimensions) => OpFlip.Call(this, dimensions);
    /// <summary>Padded with a value: (before, after) pairs from the last dimension backwards.</summary>
    public Tensor Pad(long[] amounts, long value = 0) => OpPad.Call(this, amounts, value);
    /// <summary>Padded by mirroring the last two dimensions; float types only.</summary>
    public Tensor ReflectionPad(long[] amounts) => OpReflectionPad.Call(this, amounts);

    /// <summary>Sorted along dimension 0, equal elements in their original order: so ties go to the lower index.</summary>
    public (Tensor Values, Tensor Indices) SortStable(bool descending)
    {
        var r = OpSortStable.CallMany(2, this, true, 0, descending);
        return (r[0]!, r[1]!);
    }

    /// <summary>Overwrites this tensor's elements; shapes broadcast, types convert.</summary>
    public Tensor CopyFrom(Tensor source)
    {
        OpCopy.Run(this, source);
        return this;
    }

    /// <summary>Overwrites this tensor by one of the same shape and type; from the host to a GPU without waiting for it.</summary>
    internal void Upload(Tensor source)
    {
        var status = NativeMethods.gmx_tensor_upload(Handle, source.Handle);
        if (status != 0) TorchException.Throw(status, $"overwriting {this} by {source}");
        GC.KeepAlive(source);
    }

    /// <summary>A copy on that device; from the host to a GPU without waiting for it, where <see cref="To(Device)"/> waits.</summary>
    internal Tensor Uploaded(Device device)
    {
        var copy = Empty(Shape, DType, device);
        copy.Upload(this);
        return copy;
    }

    /// <summary>Sets every element to zero.</summary>
    public Tensor ZeroInPlace()
    {
        OpZero.Run(this);
        return this;
    }

    /// <summary>Sets every element to a value.</summary>
    public Tensor FillInPlace(double value)
    {
        OpFill.Run(this, value);
        return this;
    }

    /// <summary>A copy.</summary>
    public Tensor Clone() => OpClone.Call(this);
    /// <summary>The same memory without the graph.</summary>
    public Tensor Detach() => OpDetach.Call(this);
    /// <summary>Converted to an element type (the same tensor's memory where it has it already).</summary>
    public Tensor To(DType type) => OpToType.Call(this, type);
    /// <summary>Moved to a device.</summary>
    public Tensor To(Device device) => OpToDevice.Call(this, device, DType);
    /// <summary>Laid out in that format; a copy only where it is not yet.</summary>
    public Tensor Contiguous(MemoryFormat format = MemoryFormat.Contiguous) => OpContiguous.Call(this, format);
}
