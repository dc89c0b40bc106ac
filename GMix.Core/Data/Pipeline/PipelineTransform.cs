using System.Buffers;
using GMix.Draws;
using GMix.Torch;

namespace GMix.Data;

/// <summary>
/// From uint8 pixels to what a network takes: crop and flip by one gather, normalise, cut out, lay out. Batched operators on the device; the host
/// only draws a few numbers per image.
/// </summary>
internal sealed class PipelineTransform : IDisposable
{
    private readonly Tensor _scale, _shift;
    private readonly DType _type;
    private readonly Device _device;
    private readonly bool _channelsLast, _placesOnDevice;
    private readonly int _channels, _height, _width;

    /// <param name="channels">Of the images.</param>
    /// <param name="height">Of the images.</param>
    /// <param name="width">Of the images.</param>
    /// <param name="normalization">Of pixels / 255.</param>
    /// <param name="type">Of the batches.</param>
    /// <param name="device">Where the work is done.</param>
    /// <param name="channelsLast">Layout of the batches.</param>
    /// <param name="placesOnDevice">Has the device work out which pixel comes from where, from three numbers an image; else the host does. The
    /// default is what is quicker: a GPU would wait for a megabyte of indices, while on the host operators for them would only cost.</param>
    public PipelineTransform(int channels, int height, int width, Normalization normalization, DType type, Device device, bool channelsLast, bool? placesOnDevice = null)
    {
        _placesOnDevice = placesOnDevice ?? device.IsCuda;
        (_channels, _height, _width, _type, _device, _channelsLast) = (channels, height, width, type, device, channelsLast);
        using var scope = new TensorScope();
        // (x/255 − mean) / std as one multiply and one add
        _scale = TensorScope.Detach(Tensor.From(normalization.Std.Select(s => 1 / (255 * s)).ToArray(), [1, channels, 1, 1], device).To(type));
        _shift = TensorScope.Detach(Tensor.From(normalization.Mean.Zip(normalization.Std, (m, s) => -m / s).ToArray(), [1, channels, 1, 1], device).To(type));
    }

    /// <summary>Images (n, c, h, w), normalised.</summary>
    /// <param name="pixels">Uint8 (n, c, h, w), row-major.</param>
    /// <param name="augmentation">Random changes; null or none for measuring.</param>
    /// <param name="random">The step's augmentation stream; needed where something is random.</param>
    public Tensor Apply(Tensor pixels, Augmentation? augmentation, CounterRandom? random)
    {
        var a = augmentation ?? Augmentation.None;
        if (a.Any && random is null) throw new ArgumentNullException(nameof(random), "a random augmentation needs a stream");
        using var scope = new TensorScope();
        var n = (int)pixels.Size(0);
        if (a.Pad > 0 || a.Flip) pixels = CropAndFlip(pixels, n, a, random!);
        // planes one after another until the end: a number per channel meets whole planes there, but single pixels in channels-last
        var images = pixels.To(_type).MultiplyInPlace(_scale).AddInPlace(_shift);
        if (a.Cutout > 0) images = Blank(images, n, Cutouts(n, a.Cutout, random!));
        if (a.Erasing > 0) images = Blank(images, n, Erasings(n, a.Erasing, random!));
        return scope.Keep(_channelsLast ? images.Contiguous(MemoryFormat.ChannelsLast) : images);
    }

    /// <summary>
    /// One gather with the same indices for all channels: pixel (r, c) of image i comes from row top_i + r − pad and column left_i + c − pad, or mirrored
    /// from column left_i + w − 1 − c − pad. What lies outside comes by reflection, or from one black pixel that every plane gets at its end.
    /// </summary>
    private Tensor CropAndFlip(Tensor pixels, int n, Augmentation a, CounterRandom random)
    {
        var (h, w) = (_height, _width);
        var sources = _placesOnDevice ? SourcesOnDevice(n, a, random) : Sources(n, a, random);
        var planes = pixels.View(n, _channels, h * w);
        if (a.Pad > 0 && a.Mode != PadMode.Reflect) planes = planes.Pad([0, 1]);
        return planes.Gather(2, sources.Expand(n, _channels, h * w)).View(n, _channels, h, w);
    }

    private static (int Top, int Left, bool Flip) Window(Augmentation a, CounterRandom random)
    {
        var top = a.Pad > 0 ? random.NextInt(2 * a.Pad + 1) - a.Pad : 0;
        var left = a.Pad > 0 ? random.NextInt(2 * a.Pad + 1) - a.Pad : 0;
        return (top, left, a.Flip && random.NextInt(2) == 1);
    }

    /// <summary>The source of every pixel, (n, 1, h w), worked out by the device.</summary>
    private Tensor SourcesOnDevice(int n, Augmentation a, CounterRandom random)
    {
        var numbers = new long[3 * n];
        for (var i = 0; i < n; i++)
        {
            var (top, left, flip) = Window(a, random);
            // column left + c, or mirrored left + w − 1 − c: a start and a direction
            (numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2]) = (top, flip ? left + _width - 1 : left, flip ? -1 : 1);
        }
        var windows = Tensor.From(numbers, [n, 3, 1], _device);
        var rows = windows.Select(1, 0) + Tensor.Range(0, _height, _device);
        var columns = windows.Select(1, 1) + windows.Select(1, 2) * Tensor.Range(0, _width, _device);
        if (a.Mode == PadMode.Reflect) (rows, columns) = (Mirrored(rows, _height), Mirrored(columns, _width));
        var sources = rows.Unsqueeze(2) * Whole(_width) + columns.Unsqueeze(1);
        if (a.Pad > 0 && a.Mode != PadMode.Reflect)
        {
            var inside = Inside(rows, _height).Unsqueeze(2).And(Inside(columns, _width).Unsqueeze(1));
            sources = inside.Where(sources, Whole((long)_height * _width));
        }
        return sources.View(n, 1, _height * _width);
    }

    private static Tensor Inside(Tensor places, int size) => places.Gt(-1).And(places.Lt(size));

    private Tensor Whole(long value) => Tensor.Full([], value, DType.Int64, _device);

    /// <summary><see cref="Mirror"/>, element by element.</summary>
    private Tensor Mirrored(Tensor places, int size)
    {
        var low = (-places).ClampWhole(0, size - 1);
        var high = (Whole(2 * size - 2) - places).ClampWhole(0, size - 1);
        return places.Lt(0).Where(low, places.Gt(size - 1).Where(high, places));
    }

    /// <summary>The source of every pixel, (n, 1, h w), worked out by the host.</summary>
    private Tensor Sources(int n, Augmentation a, CounterRandom random)
    {
        var (h, w, black) = (_height, _width, (long)_height * _width);
        var reflect = a.Mode == PadMode.Reflect;
        // a megabyte for a usual batch: borrowed, not left to the garbage collector at every step
        var rented = ArrayPool<long>.Shared.Rent(n * h * w);
        var indices = rented.AsSpan(0, n * h * w);
        var columns = new int[w];
        for (var i = 0; i < n; i++)
        {
            var (top, left, flip) = Window(a, random);
            for (var c = 0; c < w; c++)
            {
                var column = left + (flip ? w - 1 - c : c);
                columns[c] = reflect ? Mirror(column, w) : column;
            }
            for (var r = 0; r < h; r++)
            {
                var row = reflect ? Mirror(top + r, h) : top + r;
                var target = indices.Slice((i * h + r) * w, w);
                if ((uint)row >= (uint)h)
                {
                    target.Fill(black);
                    continue;
                }
                var start = (long)row * w;
                for (var c = 0; c < target.Length; c++) target[c] = (uint)columns[c] < (uint)w ? start + columns[c] : black;
            }
        }
        var sources = Tensor.From<long>(indices, [n, 1, h * w], _device);
        ArrayPool<long>.Shared.Return(rented);
        return sources;
    }

    /// <summary>Reflection without repeating the edge; what is further away than a side takes the opposite edge.</summary>
    private static int Mirror(int x, int size) => x < 0 ? Math.Min(-x, size - 1) : x >= size ? Math.Max(2 * size - 2 - x, 0) : x;

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
    private Tensor Blank(Tensor images, int n, IEnumerable<(int Top, int Bottom, int Left, int Right)> boxes)
    {
        // a pixel is inside where its row and its column are
        var (inRows, inColumns) = (new byte[n * _height], new byte[n * _width]);
        var i = 0;
        foreach (var (top, bottom, left, right) in boxes)
        {
            static void Mark(Span<byte> side, int from, int to) => side[Math.Max(0, from)..Math.Max(Math.Max(0, from), Math.Min(side.Length, to))].Fill(1);
            Mark(inRows.AsSpan(i * _height, _height), top, bottom);
            Mark(inColumns.AsSpan(i * _width, _width), left, right);
            i++;
        }
        var inside = Tensor.From(inRows, [n, 1, _height, 1], _device) * Tensor.From(inColumns, [n, 1, 1, _width], _device);
        return images.MaskedFill(inside.To(DType.Bool), 0);
    }

    public void Dispose()
    {
        _scale.Dispose();
        _shift.Dispose();
    }
}
