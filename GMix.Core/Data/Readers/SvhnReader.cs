namespace GMix.Data;

/// <summary>
/// SVHN cropped digits: folder <c>svhn</c> with <c>train_32x32.mat</c>, <c>test_32x32.mat</c> and, unused by default, <c>extra_32x32.mat</c>.
/// Pixel (r, c) of channel h of image i is at r + 32c + 1024h + 3072i of <c>X</c>; label 10 of <c>y</c> is the digit 0.
/// </summary>
public static class SvhnReader
{
    private const int ImageBytes = 3 * 32 * 32;

    /// <summary>A file that every copy holds.</summary>
    internal const string Marker = "train_32x32.mat";

    /// <summary>Digits as class names.</summary>
    internal static readonly string[] ClassNames = [.. Enumerable.Range(0, 10).Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture))];

    /// <summary>Files that are read, with the largest size accepted.</summary>
    internal static long? Wanted(string name) => name is Marker or "test_32x32.mat" or "extra_32x32.mat" ? MatFile5.MaxFile : null;

    /// <summary>Reads the two standard splits: uint8 [N, 3, 32, 32], labels 0 to 9 equal to the digit.</summary>
    /// <exception cref="DataFormatException">A file is missing or damaged, or holds a label outside 1 to 10.</exception>
    public static (ImageSet Train, ImageSet Test) Read(DataFolder folder) =>
        (ReadPart(folder, Marker, "svhn train"), ReadPart(folder, "test_32x32.mat", "svhn test"));

    /// <summary>Reads the extra part.</summary>
    public static ImageSet ReadExtra(DataFolder folder) => ReadPart(folder, "extra_32x32.mat", "svhn extra");

    private static ImageSet ReadPart(DataFolder folder, string file, string name)
    {
        string where = folder.Describe(file);
        if (folder.Length(file) is null)
        {
            throw new DataFormatException(where, -1, "the file is missing; `gmix data get svhn` downloads it");
        }
        IReadOnlyDictionary<string, MatVariable> variables = MatFile5.Read(folder, file, "X", "y");
        if (!variables.TryGetValue("X", out MatVariable? x) || !variables.TryGetValue("y", out MatVariable? y))
        {
            throw new DataFormatException(where, -1, $"variable {(variables.ContainsKey("X") ? "y" : "X")} is missing; this is not an SVHN file");
        }
        // MATLAB drops trailing dimensions of 1: a single image is 32×32×3.
        int count = x.Dimensions.Length == 3 ? 1 : x.Dimensions.Length == 4 ? x.Dimensions[3] : -1;
        if (count < 0 || x.Dimensions[0] != 32 || x.Dimensions[1] != 32 || x.Dimensions[2] != 3 || x.DataType != 2)
        {
            throw new DataFormatException(where, -1, $"X is {string.Join("x", x.Dimensions)} of type {x.DataType}, not 32x32x3xN of type 2 (uint8)");
        }
        if (count == 0)
        {
            throw new DataFormatException(where, -1, "the file holds no images");
        }
        if (y.Count != count)
        {
            throw new DataFormatException(where, -1, $"{y.Count} labels for {count} images");
        }
        int[] labels = new int[count];
        for (int i = 0; i < count; i++)
        {
            double label = y[i];
            if (!(label is >= 1 and <= 10) || label != Math.Floor(label))
            {
                throw new DataFormatException(where, -1, FormattableString.Invariant($"image {i} has label {label}, outside 1 to 10; the file is damaged"));
            }
            labels[i] = (int)label % 10;
        }
        PixelBuffer pixels = PixelBuffer.Allocate((long)count * ImageBytes);
        Parallel.For(0, count, i => Planes.Transpose(x.Data.AsSpan(i * ImageBytes, ImageBytes), pixels.Writable((long)i * ImageBytes, ImageBytes), 32));
        return new ImageSet(name, pixels, count, 3, 32, 32, labels, ClassNames);
    }
}
