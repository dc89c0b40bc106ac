namespace GMix.Data;

/// <summary>
/// One split of an image set: uint8 pixels in N·C·H·W order (planes, each row-major) and one class index per image.
/// </summary>
public sealed class ImageSet
{
    /// <param name="name">For messages and reports, e.g. <c>cifar10 train</c>.</param>
    /// <param name="pixels">count · channels · height · width bytes.</param>
    /// <param name="count">Number of images, at least 1.</param>
    /// <param name="channels">Planes per image.</param>
    /// <param name="height">Rows.</param>
    /// <param name="width">Columns.</param>
    /// <param name="labels">One class index in [0, classNames.Count) per image; empty for an unlabelled set.</param>
    /// <param name="classNames">Class names by index.</param>
    /// <exception cref="ArgumentException">Lengths disagree, or a label is out of range.</exception>
    public ImageSet(string name, PixelBuffer pixels, int count, int channels, int height, int width, int[] labels, IReadOnlyList<string> classNames)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentNullException.ThrowIfNull(classNames);
        if (count < 1 || channels < 1 || height < 1 || width < 1)
        {
            throw new ArgumentException($"{name}: an image set needs at least one image of at least one pixel, got {count} of {channels}x{height}x{width}.");
        }
        long size = checked((long)channels * height * width);
        if (size > int.MaxValue || pixels.Length != checked(size * count))
        {
            throw new ArgumentException($"{name}: {count} images of {channels}x{height}x{width} do not fill {pixels.Length} bytes.");
        }
        if (labels.Length != count && labels.Length != 0)
        {
            throw new ArgumentException($"{name}: {labels.Length} labels for {count} images.");
        }
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)classNames.Count)
            {
                throw new ArgumentException($"{name}: image {i} has label {labels[i]}, outside 0 to {classNames.Count - 1}.");
            }
        }
        (Name, Pixels, Count, Channels, Height, Width, Labels, ClassNames) = (name, pixels, count, channels, height, width, labels, classNames);
        ImageBytes = (int)size;
    }

    /// <summary>The same from an array, which is copied to a fixed address.</summary>
    public ImageSet(string name, ReadOnlySpan<byte> pixels, int count, int channels, int height, int width, int[] labels, IReadOnlyList<string> classNames)
        : this(name, PixelBuffer.CopyOf(pixels), count, channels, height, width, labels, classNames)
    {
    }

    /// <summary>For messages and reports.</summary>
    public string Name { get; }

    /// <summary>All pixels, N·C·H·W.</summary>
    public PixelBuffer Pixels { get; }

    /// <summary>Number of images.</summary>
    public int Count { get; }

    /// <summary>Planes per image.</summary>
    public int Channels { get; }

    /// <summary>Rows per image.</summary>
    public int Height { get; }

    /// <summary>Columns per image.</summary>
    public int Width { get; }

    /// <summary>Bytes of one image: channels · height · width.</summary>
    public int ImageBytes { get; }

    /// <summary>One class index per image; empty for an unlabelled set.</summary>
    public int[] Labels { get; }

    /// <summary>Class names by class index.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Number of classes.</summary>
    public int ClassCount => ClassNames.Count;

    /// <summary>The C·H·W bytes of image <paramref name="index"/>.</summary>
    public ReadOnlySpan<byte> Image(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
        return Pixels.AsSpan((long)index * ImageBytes, ImageBytes);
    }

    /// <summary>Images per class, by class index.</summary>
    public int[] ClassCounts()
    {
        int[] counts = new int[ClassCount];
        foreach (int label in Labels)
        {
            counts[label]++;
        }
        return counts;
    }

    /// <summary>A set of the images at <paramref name="indices"/>, in that order (copied).</summary>
    public ImageSet Select(ReadOnlySpan<int> indices)
    {
        PixelBuffer pixels = PixelBuffer.Allocate((long)indices.Length * ImageBytes);
        int[] labels = new int[Labels.Length == 0 ? 0 : indices.Length];
        for (int i = 0; i < indices.Length; i++)
        {
            Image(indices[i]).CopyTo(pixels.Writable((long)i * ImageBytes, ImageBytes));
            if (labels.Length > 0)
            {
                labels[i] = Labels[indices[i]];
            }
        }
        return new ImageSet(Name, pixels, indices.Length, Channels, Height, Width, labels, ClassNames);
    }

    /// <summary>
    /// A class-balanced part of <paramref name="n"/> images, in their original order. Every class gives ⌊n/K⌋ or ⌈n/K⌉ images while it has
    /// them; what a small class cannot give is spread over the others, as evenly as they allow. Which images, and which classes give the
    /// extra ones, is drawn from <paramref name="seed"/>.
    /// </summary>
    /// <param name="n">Images to keep; 0 or at least <see cref="Count"/> keeps everything.</param>
    /// <param name="seed">Seed of the draw.</param>
    /// <exception cref="GMixInputException"><paramref name="n"/> is negative, or smaller than the number of classes present.</exception>
    public ImageSet Limit(int n, ulong seed)
    {
        if (n < 0)
        {
            throw new GMixInputException($"limit {n} is negative; use a number of images, or 0 for all {Count}.");
        }
        if (n == 0 || n >= Count)
        {
            return this;
        }
        int[] available = Labels.Length == 0 ? [Count] : ClassCounts();
        int present = available.Count(c => c > 0);
        if (n < present)
        {
            throw new GMixInputException($"limit {n} is smaller than the {present} classes of {Name}; a class-balanced part needs at least one image of each.");
        }
        int[] quota = Quotas(available, n, new SplitMix64(seed));
        List<int> chosen = new(n);
        for (int k = 0; k < quota.Length; k++)
        {
            int[] members = Enumerable.Range(0, Count).Where(i => Labels.Length == 0 || Labels[i] == k).ToArray();
            new SplitMix64(SplitMix64.Mix(seed, (ulong)k + 1)).Shuffle(members);
            chosen.AddRange(members.AsSpan(0, quota[k]));
        }
        chosen.Sort();
        return Select(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(chosen));
    }

    private static int[] Quotas(int[] available, int n, SplitMix64 random)
    {
        int[] order = Enumerable.Range(0, available.Length).ToArray();
        random.Shuffle(order);
        int[] quota = new int[available.Length];
        // One image per class and round: classes leave when they are used up, and the last round is cut in drawn order.
        for (int left = n; left > 0;)
        {
            foreach (int k in order)
            {
                if (left > 0 && quota[k] < available[k])
                {
                    quota[k]++;
                    left--;
                }
            }
        }
        return quota;
    }
}
