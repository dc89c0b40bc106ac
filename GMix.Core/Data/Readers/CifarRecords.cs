namespace GMix.Data;

/// <summary>
/// The binary CIFAR layout: records of one or two label bytes and 3,072 pixel bytes (R, G, B planes of 32×32, row-major), nothing else.
/// The number of records comes from the file's length, so that subsets read like the official files.
/// </summary>
internal static class CifarRecords
{
    /// <summary>Pixel bytes of a record.</summary>
    public const int Pixels = 3 * 32 * 32;

    /// <summary>Largest file accepted, far above the official 153,700,000 bytes.</summary>
    public const long MaxFile = 1_000_000_000;

    /// <summary>Reads records of files in order into one set.</summary>
    /// <param name="folder">Where the files are.</param>
    /// <param name="files">Files in order.</param>
    /// <param name="setName">Name of the set.</param>
    /// <param name="labelBytes">Label bytes that open a record: the number of values each may take, in order.</param>
    /// <param name="use">Which of them becomes the label.</param>
    /// <param name="classNames">Names of the classes of that label.</param>
    public static ImageSet Read(DataFolder folder, string[] files, string setName, int[] labelBytes, int use, IReadOnlyList<string> classNames)
    {
        int record = labelBytes.Length + Pixels;
        long total = 0;
        foreach (string file in files)
        {
            total += CountRecords(folder, file, record);
        }
        if (total * Pixels > int.MaxValue)
        {
            throw new DataFormatException(folder.Path, -1, $"{total} records are more than any CIFAR has");
        }
        PixelBuffer pixels = PixelBuffer.Allocate(total * Pixels);
        int[] labels = new int[total];
        int at = 0;
        foreach (string file in files)
        {
            byte[] bytes = folder.ReadAll(file, MaxFile);
            if (bytes.Length / record > total - at)
            {
                throw new DataFormatException(folder.Describe(file), bytes.Length, "the file grew while it was read");
            }
            for (int offset = 0; offset + record <= bytes.Length; offset += record, at++)
            {
                for (int k = 0; k < labelBytes.Length; k++)
                {
                    if (bytes[offset + k] >= labelBytes[k])
                    {
                        throw new DataFormatException(folder.Describe(file), offset + k,
                            $"record {offset / record} has label {bytes[offset + k]}, outside 0 to {labelBytes[k] - 1}; the file is damaged or of another data set");
                    }
                }
                labels[at] = bytes[offset + use];
                bytes.AsSpan(offset + labelBytes.Length, Pixels).CopyTo(pixels.Writable((long)at * Pixels, Pixels));
            }
        }
        return new ImageSet(setName, pixels, (int)total, 3, 32, 32, labels, classNames);
    }

    /// <summary>Class names from a text file of the distribution, or <paramref name="standard"/> where the file is absent.</summary>
    public static IReadOnlyList<string> ClassNames(DataFolder folder, string file, int count, IReadOnlyList<string>? standard)
    {
        if (folder.Length(file) is null && standard is not null)
        {
            return standard;
        }
        string[] names = folder.ReadLines(file, 1 << 16);
        return names.Length == count ? names : throw new DataFormatException(folder.Describe(file), -1, $"the file names {names.Length} classes, not {count}");
    }

    private static long CountRecords(DataFolder folder, string file, int record)
    {
        long length = folder.Length(file)
            ?? throw new DataFormatException(folder.Describe(file), -1, "the file is missing; the official distribution has it, extract or download it again");
        if (length == 0)
        {
            throw new DataFormatException(folder.Describe(file), 0, "the file is empty; download it again");
        }
        if (length % record != 0)
        {
            throw new DataFormatException(folder.Describe(file), length - length % record,
                $"the file has {length} bytes, not a whole number of {record}-byte records; it is truncated or of another data set, download it again");
        }
        if (length > MaxFile)
        {
            throw new DataFormatException(folder.Describe(file), MaxFile, $"the file has {length} bytes, more than the {MaxFile} its format allows");
        }
        return length / record;
    }
}
