using GMix.Torch;

namespace GMix.Data;

/// <summary>A pipeline whose images are on the device as uint8, all of them: a batch is one gather.</summary>
public sealed class OnDevicePipeline : Pipeline
{
    private readonly Tensor? _pixels;

    /// <inheritdoc cref="Pipeline.Open"/>
    /// <exception cref="GMixInputException">The set has no labels, or is above <see cref="Pipeline.OnDeviceLimit"/>.</exception>
    public OnDevicePipeline(ImageSet set, Normalization normalization, DType type, Device device, bool channelsLast) : base(set, normalization, type, device, channelsLast)
    {
        try
        {
            if (set.Pixels.Length > OnDeviceLimit)
                throw new GMixInputException($"{set.Name} has {set.Pixels.Length >> 20} MiB of pixels, too many to stay on the device: let it stream (--stream)");
            var pixels = set.Pixels.AsSpan(0, (int)set.Pixels.Length);
            _pixels = TensorScope.Detach(Tensor.FromBytes(pixels, DType.UInt8, [set.Count, set.Channels, set.Height, set.Width], device));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private protected override Tensor Pixels(ReadOnlySpan<long> indices, Tensor rows) => _pixels!.Rows(rows);

    private protected override IEnumerable<PixelBatch> PixelBatches(IEnumerable<ReadOnlyMemory<long>> batches)
    {
        foreach (var indices in batches)
        {
            using var rows = Rows(indices.Span);
            yield return new PixelBatch(indices, _pixels!.Rows(rows));
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _pixels?.Dispose();
        base.Dispose();
    }
}
