using GMix.Draws;
using GMix.Torch;

namespace GMix.Data;

/// <summary>
/// An image set on the device as uint8, and batches made of it there: gather, crop and flip in one indexing operation, normalise, cut out. What is
/// random is a function of (seed, epoch, step); a batch needs no batch before it.
/// </summary>
public sealed class Pipeline : IDisposable
{
    private readonly Tensor _pixels, _labels, _scale, _shift, _channels;
    private readonly DType _type;
    private readonly Device _device;
    private readonly bool _channelsLast;
    private readonly int _height, _width;

    /// <param name="set">The images; copied to the device.</param>
    /// <param name="normalization">Mean and standard deviation per channel, on pixels / 255.</param>
    /// <param name="type">Element type of the batches.</param>
    /// <param name="device">Where.</param>
    /// <param name="channelsLast">Memory layout of the batches.</param>
    public Pipeline(ImageSet set, Normalization normalization, DType type, Device device, bool channelsLast)
    {
        (Set, _type, _device, _channelsLast, _height, _width) = (set, type, device, channelsLast, set.Height, set.Width);
        if (set.Labels.Length == 0) throw new GMixInputException($"{set.Name} has no labels, so it cannot be trained or tested on");
        if (set.Pixels.Length > int.MaxValue) throw new GMixInputException($"{set.Name} has {set.Pixels.Length >> 20} MiB of pixels; sets above 2 GiB do not fit the on-device pipeline: use --limit for a part of it");
        var c = set.Channels;
        using var scope = new TensorScope();
        Tensor Own(Tensor t) => TensorScope.Detach(t);
        _pixels = Own(Tensor.FromBytes(set.Pixels.AsSpan(0, (int)set.Pixels.Length), DType.UInt8, [set.Count, c, _height, _width], device));
        _labels = Own(Tensor.From(set.Labels.Select(l => (long)l).ToArray(), [set.Count], device));
        // (x/255 − mean) / std as one multiply and one add
        _scale = Own(Tensor.From(normalization.Std.Select(s => 1 / (255 * s)).ToArray(), [1, c, 1, 1], device).To(type));
        _shift = Own(Tensor.From(normalization.Mean.Zip(normalization.Std, (m, s) => -m / s).ToArray(), [1, c, 1, 1], device).To(type));
        _channels = Own(Tensor.Range(0, c, device).View(1, c, 1, 1));
    }

    /// <summary>The images as read.</summary>
    public ImageSet Set { get; }

    /// <summary>Examples.</summary>
    public int Count => Set.Count;

    /// <summary>The examples at these indices, as (images (n, c, h, w) normalised, labels (n) Int64).</summary>
    /// <param name="indices">n indices.</param>
    /// <param name="augmentation">Random changes; null or none for measuring.</param>
    /// <param name="random">The step's augmentation stream; needed where something is random.</param>
    public (Tensor Images, Tensor Labels) Take(ReadOnlySpan<long> indices, Augmentation? augmentation = null, CounterRandom? random = null)
    {
        using var noGrad = Autograd.NoGrad();
        var rows = Tensor.From(indices, [indices.Length], _device);
        var labels = _labels.Rows(rows);
        if (augmentation is not { Any: true }) return (Normalize(_pixels.Rows(rows)), labels);
        if (random is null) throw new ArgumentNullException(nameof(random), "a random augmentation needs a stream");
        var images = augmentation.Pad > 0 || augmentation.Flip ? CropAndFlip(rows, indices.Length, augmentation, random) : _pixels.Rows(rows);
        images = Normalize(images);
        if (augmentation.Cutout > 0) images = Blank(images, Cutouts(indices.Length, augmentation.Cutout, random));
        if (augmentation.Erasing > 0) images = Blank(images, Erasings(indices.Length, augmentation.Erasing, random));
        return (images, labels);
    }

    /// <summary>The examples [start, start + count) as they are, for measuring.</summary>
    public (Tensor Images, Tensor Labels) Range(int start, int count)
    {
        using var noGrad = Autograd.NoGrad();
        return (Normalize(_pixels.Narrow(0, start, count)), _labels.Narrow(0, start, count));
    }

    private Tensor Normalize(Tensor pixels)
    {
        if (_channelsLast) pixels = pixels.Contiguous(MemoryFormat.ChannelsLast);
        return pixels.To(_type).MultiplyInPlace(_scale).AddInPlace(_shift);
    }

    /// <summary>
    /// One gather: pixel (r, c) of image i comes from row top_i + r and column left_i + c, or mirrored left_i + w − 1 − c, of its padded source.
    /// </summary>
    private Tensor CropAndFlip(Tensor rows, int n, Augmentation a, CounterRandom random)
    {
        var (h, w) = (_height, _width);
        var sourceRows = new long[n * h];
        var sourceColumns = new long[n * w];
        var reflect = a.Mode == PadMode.Reflect;
        for (var i = 0; i < n; i++)
        {
            var top = a.Pad > 0 ? random.NextInt(2 * a.Pad + 1) : 0;
            var left = a.Pad > 0 ? random.NextInt(2 * a.Pad + 1) : 0;
            var flip = a.Flip && random.NextInt(2) == 1;
            for (var r = 0; r < h; r++) sourceRows[i * h + r] = reflect ? Mirror(top + r - a.Pad, h) : top + r;
            for (var c = 0; c < w; c++)
            {
                var column = left + (flip ? w - 1 - c : c);
                sourceColumns[i * w + c] = reflect ? Mirror(column - a.Pad, w) : column;
            }
        }
        var source = _pixels;
        var image = rows;
        if (a.Pad > 0 && !reflect)
        {
            // only the batch is padded, not the set
            source = _pixels.Rows(rows).Pad([a.Pad, a.Pad, a.Pad, a.Pad]);
            image = Tensor.Range(0, n, _device);
        }
        return source.Index(image.View(n, 1, 1, 1), _channels, Tensor.From(sourceRows, [n, 1, h, 1], _device), Tensor.From(sourceColumns, [n, 1, 1, w], _device));
    }

    /// <summary>Reflection without repeating the edge, for offsets less than a side.</summary>
    private static int Mirror(int x, int size) => size == 1 ? 0 : x < 0 ? Math.Min(-x, size - 1) : x >= size ? Math.Max(2 * size - 2 - x, 0) : x;

    private IEnumerable<(int Top, int Bottom, int Left, int Right)> Cutouts(int n, int side, CounterRandom random)
    {
        for (var i = 0; i < n; i++)
        {
            var (y, x) = (random.NextInt(_height), random.NextInt(_width));
            yield return (y - side / 2, y - side / 2 + side, x - side / 2, x - side / 2 + side);
        }
    }

    private IEnumerable<(int Top, int Bottom, int Left, int Right)> Erasings(int n, double probability, CounterRandom random)
    {
        for (var i = 0; i < n; i++)
        {
            if (random.NextDouble() >= probability)
            {
                yield return (0, 0, 0, 0);
                continue;
            }
            var area = _height * _width * (0.02 + random.NextDouble() * (0.33 - 0.02));
            var aspect = Math.Exp(Math.Log(0.3) + random.NextDouble() * (Math.Log(1 / 0.3) - Math.Log(0.3)));
            var h = Math.Clamp((int)Math.Round(Math.Sqrt(area * aspect)), 1, _height);
            var w = Math.Clamp((int)Math.Round(Math.Sqrt(area / aspect)), 1, _width);
            var (top, left) = (random.NextInt(_height - h + 1), random.NextInt(_width - w + 1));
            yield return (top, top + h, left, left + w);
        }
    }

    /// <summary>Sets one rectangle per image to 0, the mean.</summary>
    private Tensor Blank(Tensor images, IEnumerable<(int Top, int Bottom, int Left, int Right)> boxes)
    {
        var n = (int)images.Size(0);
        var (inRows, inColumns) = (new double[n * _height], new double[n * _width]);
        var i = 0;
        foreach (var (top, bottom, left, right) in boxes)
        {
            for (var r = Math.Max(0, top); r < Math.Min(_height, bottom); r++) inRows[i * _height + r] = 1;
            for (var c = Math.Max(0, left); c < Math.Min(_width, right); c++) inColumns[i * _width + c] = 1;
            i++;
        }
        var inside = Tensor.From(inRows, [n, 1, _height, 1], _device) * Tensor.From(inColumns, [n, 1, 1, _width], _device);
        return images.MaskedFill(inside.Gt(0.5), 0);
    }

    /// <summary>Frees the device's copy.</summary>
    public void Dispose()
    {
        _pixels.Dispose();
        _labels.Dispose();
        _scale.Dispose();
        _shift.Dispose();
        _channels.Dispose();
    }
}
