namespace GMix.Data;

/// <summary>
/// STL-10 in the binary distribution: folder <c>stl10_binary</c>; images of 3 planes of 96×96, each column-major, labels 1 to 10 in a file of
/// their own, one byte each.
/// </summary>
public static class Stl10Reader
{
    private const int Side = 96;
    private const int ImageBytes = 3 * Side * Side;

    // Official: 221 MB for test_X.bin.
    private const long MaxFile = 2_000_000_000;

    private static readonly string[] StandardNames =
        ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

    /// <summary>A file that every copy holds.</summary>
    internal const string Marker = "train_X.bin";

    /// <summary>Files that are read, with the largest size accepted.</summary>
    internal static long? Wanted(string name) => name switch
    {
        "train_X.bin" or "test_X.bin" => MaxFile,
        "train_y.bin" or "test_y.bin" => MaxFile / ImageBytes,
        "class_names.txt" => 1 << 16,
        _ => null,
    };

    /// <summary>Reads the labelled splits: uint8 [N, 3, 96, 96], labels 0 to 9.</summary>
    /// <exception cref="DataFormatException">A file is missing, empty, truncated, or holds a label outside 1 to 10.</exception>
    public static (ImageSet Train, ImageSet Test) Read(DataFolder folder)
    {
        IReadOnlyList<string> names = CifarRecords.ClassNames(folder, "class_names.txt", 10, StandardNames);
        return (ReadPart(folder, "train_X.bin", "train_y.bin", "stl10 train", names),
                ReadPart(folder, "test_X.bin", "test_y.bin", "stl10 test", names));
    }

    /// <summary>Reads the unlabelled part (official: 100,000 images, 2.8 GB in memory), without labels.</summary>
    /// <param name="folder">The extracted folder; from an archive the part is not read.</param>
    public static ImageSet ReadUnlabelled(DataFolder folder) =>
        ReadPart(folder, "unlabeled_X.bin", null, "stl10 unlabelled", CifarRecords.ClassNames(folder, "class_names.txt", 10, StandardNames));

    private static ImageSet ReadPart(DataFolder folder, string images, string? labelFile, string name, IReadOnlyList<string> names)
    {
        string where = folder.Describe(images);
        long length = folder.Length(images) ?? throw new DataFormatException(where, -1, "the file is missing; the official distribution has it, extract or download it again");
        if (length == 0)
        {
            throw new DataFormatException(where, 0, "the file is empty; download it again");
        }
        if (length % ImageBytes != 0 || length / ImageBytes > 10_000_000)
        {
            throw new DataFormatException(where, length - length % ImageBytes,
                $"the file has {length} bytes, not a whole number of {ImageBytes}-byte images; it is truncated or of another data set, download it again");
        }
        int count = (int)(length / ImageBytes);
        int[] labels = labelFile is null ? [] : ReadLabels(folder, labelFile, count);
        PixelBuffer pixels = PixelBuffer.Allocate(length);
        using Stream stream = folder.Open(images);
        // Blocks of images: the unlabelled part is larger than an array can be.
        const int PerBlock = 256;
        byte[] block = GC.AllocateUninitializedArray<byte>(Math.Min(PerBlock, count) * ImageBytes);
        for (int first = 0; first < count; first += PerBlock)
        {
            int images1 = Math.Min(PerBlock, count - first);
            int got = stream.ReadAtLeast(block.AsSpan(0, images1 * ImageBytes), images1 * ImageBytes, throwOnEndOfStream: false);
            if (got < images1 * ImageBytes)
            {
                throw new DataFormatException(where, (long)first * ImageBytes + got, "the file ended early while it was read");
            }
            Parallel.For(0, images1, i => Planes.Transpose(
                block.AsSpan(i * ImageBytes, ImageBytes), pixels.Writable((long)(first + i) * ImageBytes, ImageBytes), Side));
        }
        return new ImageSet(name, pixels, count, 3, Side, Side, labels, names);
    }

    private static int[] ReadLabels(DataFolder folder, string file, int count)
    {
        if (folder.Length(file) is { } length && length != count)
        {
            throw new DataFormatException(folder.Describe(file), Math.Min(length, count), $"the file has {length} labels for {count} images; it is truncated or of another data set, download it again");
        }
        byte[] bytes = folder.ReadAll(file, MaxFile);
        int[] labels = new int[count];
        for (int i = 0; i < count; i++)
        {
            labels[i] = bytes[i] is >= 1 and <= 10
                ? bytes[i] - 1
                : throw new DataFormatException(folder.Describe(file), i, $"image {i} has label {bytes[i]}, outside 1 to 10; the file is damaged");
        }
        return labels;
    }
}
