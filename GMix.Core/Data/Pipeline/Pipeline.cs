using GMix.Draws;
using GMix.Torch;

namespace GMix.Data;

/// <summary>
/// Batches of an image set as a network takes them. <see cref="Open"/> decides where the images stay: on the device as uint8, or, for a set that
/// is too large, in host memory or a mapped file, from where a thread of its own brings the next batches. Both give bitwise the same batches.
/// What is random is a function of (seed, epoch, step); a batch needs no batch before it.
/// </summary>
public abstract class Pipeline : IDisposable
{
    /// <summary>Bytes of the largest set that is kept on the device.</summary>
    public const long OnDeviceLimit = int.MaxValue;

    private readonly Tensor _labels;
    private readonly PipelineTransform _transform;

    private protected Pipeline(ImageSet set, Normalization normalization, DType type, Device device, bool channelsLast)
    {
        if (set.Labels.Length == 0) throw new GMixInputException($"{set.Name} has no labels, so it cannot be trained or tested on");
        (Set, Device) = (set, device);
        _labels = TensorScope.Detach(Tensor.From(set.Labels.Select(l => (long)l).ToArray(), [set.Count], device));
        _transform = new PipelineTransform(set.Channels, set.Height, set.Width, normalization, type, device, channelsLast);
    }

    /// <summary>The pipeline that suits the set's size.</summary>
    /// <param name="set">The images; a streaming pipeline reads them as long as it is used.</param>
    /// <param name="normalization">Mean and standard deviation per channel, on pixels / 255.</param>
    /// <param name="type">Element type of the batches.</param>
    /// <param name="device">Where the batches are wanted.</param>
    /// <param name="channelsLast">Memory layout of the batches.</param>
    /// <param name="stream">
    /// Streams whatever the size. Otherwise a set streams that is above <see cref="OnDeviceLimit"/>, on the host also above half of the memory
    /// that is free, and on a GPU where its memory does not suffice.
    /// </param>
    /// <exception cref="GMixInputException">The set has no labels.</exception>
    public static Pipeline Open(ImageSet set, Normalization normalization, DType type, Device device, bool channelsLast, bool stream = false)
    {
        var bytes = set.Pixels.Length;
        if (!stream && bytes <= OnDeviceLimit && (device.IsCuda || bytes <= FreeMemory() / 2))
        {
            try
            {
                return new OnDevicePipeline(set, normalization, type, device, channelsLast);
            }
            catch (TorchOutOfMemoryException)
            {
                // what follows needs memory for a few batches only
            }
        }
        return new StreamingPipeline(set, normalization, type, device, channelsLast);
    }

    /// <summary>The images as read.</summary>
    public ImageSet Set { get; }

    /// <summary>Where the batches are.</summary>
    public Device Device { get; }

    /// <summary>Examples.</summary>
    public int Count => Set.Count;

    /// <summary>The examples at these indices, as (images (n, c, h, w) normalised, labels (n) Int64).</summary>
    /// <param name="indices">n indices.</param>
    /// <param name="augmentation">Random changes; null or none for measuring.</param>
    /// <param name="random">The step's augmentation stream; needed where something is random.</param>
    public (Tensor Images, Tensor Labels) Take(ReadOnlySpan<long> indices, Augmentation? augmentation = null, CounterRandom? random = null)
    {
        using var noGrad = Autograd.NoGrad();
        using var rows = Rows(indices);
        using var pixels = Pixels(indices, rows);
        return (_transform.Apply(pixels, augmentation, random), _labels.Rows(rows));
    }

    /// <summary>Batches one after another: a streaming pipeline prepares the next ones while one is used.</summary>
    /// <param name="batches">The indices of each batch, such as <see cref="PipelineOrder.Batches"/> gives; read from another thread.</param>
    public PipelinePass Pass(IEnumerable<ReadOnlyMemory<long>> batches) => new(this, PixelBatches(batches).GetEnumerator());

    internal (Tensor Images, Tensor Labels) Finish(PixelBatch batch, Augmentation? augmentation, CounterRandom? random)
    {
        using var noGrad = Autograd.NoGrad();
        using var rows = Rows(batch.Indices.Span);
        return (_transform.Apply(batch.Pixels, augmentation, random), _labels.Rows(rows));
    }

    /// <summary>The uint8 pixels (n, c, h, w) of these examples on the device.</summary>
    private protected abstract Tensor Pixels(ReadOnlySpan<long> indices, Tensor rows);

    /// <summary>The pixels of one batch after another; whoever takes one disposes it.</summary>
    private protected abstract IEnumerable<PixelBatch> PixelBatches(IEnumerable<ReadOnlyMemory<long>> batches);

    private protected Tensor Rows(ReadOnlySpan<long> indices) => Tensor.From(indices, [indices.Length], Device);

    /// <summary>Bytes of host memory that nobody uses.</summary>
    private static long FreeMemory()
    {
        var total = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var free = total > 0 ? total : long.MaxValue;
        try
        {
            var line = File.ReadLines("/proc/meminfo").FirstOrDefault(l => l.StartsWith("MemAvailable:", StringComparison.Ordinal));
            if (line?.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [_, var kilobytes, ..] && long.TryParse(kilobytes, out var k)) free = Math.Min(free, k << 10);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // no such file outside Linux: the total decides
        }
        return free;
    }

    /// <summary>Frees what is on the device.</summary>
    public virtual void Dispose()
    {
        _labels.Dispose();
        _transform.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>Uint8 pixels (n, c, h, w) on the device, and which examples they are.</summary>
internal sealed record PixelBatch(ReadOnlyMemory<long> Indices, Tensor Pixels) : IDisposable
{
    public void Dispose() => Pixels.Dispose();
}

/// <summary>Batches in a given order. Disposed at any point it stops what prepares them and frees what was prepared.</summary>
public sealed class PipelinePass : IDisposable
{
    private readonly Pipeline _pipeline;
    private readonly IEnumerator<PixelBatch> _batches;

    internal PipelinePass(Pipeline pipeline, IEnumerator<PixelBatch> batches) => (_pipeline, _batches) = (pipeline, batches);

    /// <summary>The next batch, as <see cref="Pipeline.Take"/> would give it.</summary>
    /// <param name="augmentation">Random changes; null or none for measuring.</param>
    /// <param name="random">The step's augmentation stream; needed where something is random.</param>
    /// <exception cref="InvalidOperationException">All batches were taken.</exception>
    /// <exception cref="GMixInputException">An image cannot be read; the message names it.</exception>
    public (Tensor Images, Tensor Labels) Next(Augmentation? augmentation = null, CounterRandom? random = null)
    {
        if (!_batches.MoveNext()) throw new InvalidOperationException("the pass has no further batch");
        using var batch = _batches.Current;
        return _pipeline.Finish(batch, augmentation, random);
    }

    /// <summary>Ends the pass.</summary>
    public void Dispose() => _batches.Dispose();
}
