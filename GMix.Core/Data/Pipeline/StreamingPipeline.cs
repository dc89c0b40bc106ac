using System.Runtime.InteropServices;
using GMix.Torch;

namespace GMix.Data;

/// <summary>Copies the c · h · w bytes of one image. Called from the prefetching thread.</summary>
/// <param name="index">Which example.</param>
/// <param name="pixels">Where to.</param>
public delegate void ImageReader(int index, Span<byte> pixels);

/// <summary>
/// A pipeline for sets that do not fit the device. A thread gathers the bytes of the next batches into host memory, at most <see cref="Depth"/>
/// batches ahead and one in hand; for a GPU that memory is pinned and copied while the GPU works. The memory comes from libtorch's allocators,
/// which use it again and again: pinned memory only after the copy out of it is done.
/// </summary>
public sealed unsafe partial class StreamingPipeline : Pipeline
{
    private static readonly Operator OpEmpty = Operator.Find("aten::empty", "memory_format"), OpTo = Operator.Find("aten::to", "device");
    private readonly ImageReader _read;

    /// <inheritdoc cref="Pipeline.Open"/>
    /// <param name="depth">Batches that are prepared ahead, at least 1.</param>
    /// <param name="read">Where the images come from; null for the set's own pixels.</param>
    public StreamingPipeline(ImageSet set, Normalization normalization, DType type, Device device, bool channelsLast, int depth = 4, ImageReader? read = null)
        : base(set, normalization, type, device, channelsLast)
    {
        if (depth < 1)
        {
            Dispose();
            throw new ArgumentOutOfRangeException(nameof(depth), depth, "at least one batch is prepared ahead");
        }
        Depth = depth;
        _read = read ?? ((index, pixels) => set.Image(index).CopyTo(pixels));
    }

    /// <summary>Batches that are prepared ahead at most.</summary>
    public int Depth { get; }

    private protected override Tensor Pixels(ReadOnlySpan<long> indices, Tensor rows) => ToDevice(Gather(indices));

    private protected override IEnumerable<PixelBatch> PixelBatches(IEnumerable<ReadOnlyMemory<long>> batches)
    {
        using var prefetcher = new Prefetcher<PixelBatch>(batches.Select(indices => new PixelBatch(indices, Gather(indices.Span))), Depth, "GMix prefetch " + Set.Name);
        while (prefetcher.TryNext(out var batch)) yield return batch with { Pixels = ToDevice(batch.Pixels) };
    }

    /// <summary>The pixels of these examples in host memory.</summary>
    private Tensor Gather(ReadOnlySpan<long> indices)
    {
        // owned by whoever takes the batch, not by a scope: the prefetching thread has none, and a caller's must not free it twice
        var pixels = TensorScope.Detach(OpEmpty.Call(new long[] { indices.Length, Set.Channels, Set.Height, Set.Width }, DType.UInt8, Arg.None, Device.Cpu, Device.IsCuda ? true : Arg.None));
        try
        {
            var status = gmx_tensor_host_data(pixels.Handle, out var data);
            if (status != 0) TorchException.Throw(status, $"the memory of {pixels}");
            for (var i = 0; i < indices.Length; i++) Read((int)indices[i], new Span<byte>((byte*)data + (long)i * Set.ImageBytes, Set.ImageBytes));
            return pixels;
        }
        catch
        {
            pixels.Dispose();
            throw;
        }
    }

    private void Read(int index, Span<byte> pixels)
    {
        try
        {
            _read(index, pixels);
        }
        // an error of the data's own says which file and where
        catch (Exception e) when (e is not GMixInputException)
        {
            throw new GMixInputException($"{Set.Name}: image {index} cannot be read: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    private Tensor ToDevice(Tensor host)
    {
        if (!Device.IsCuda) return host;
        using (host) return TensorScope.Detach(OpTo.Call(host, Device, DType.UInt8, /*non_blocking*/ true));
    }

    [LibraryImport(NativeLibraryLoader.Name)]
    private static partial int gmx_tensor_host_data(nint tensor, out nint data);
}
