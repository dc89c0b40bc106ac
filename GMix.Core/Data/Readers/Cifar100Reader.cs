namespace GMix.Data;

/// <summary>
/// CIFAR-100 in the binary distribution: folder <c>cifar-100-binary</c>, <c>train.bin</c> and <c>test.bin</c>; a record opens with the coarse
/// label (0–19) and the fine label (0–99).
/// </summary>
public static class Cifar100Reader
{
    /// <summary>A file that every copy holds.</summary>
    internal const string Marker = "fine_label_names.txt";

    /// <summary>Files that are read, with the largest size accepted.</summary>
    internal static long? Wanted(string name) => name switch
    {
        "fine_label_names.txt" or "coarse_label_names.txt" => 1 << 16,
        "train.bin" or "test.bin" => CifarRecords.MaxFile,
        _ => null,
    };

    /// <summary>Reads both splits: uint8 [N, 3, 32, 32], fine labels 0 to 99, or coarse labels 0 to 19.</summary>
    /// <param name="folder">The distribution's folder.</param>
    /// <param name="coarse">Use the 20 superclasses.</param>
    /// <exception cref="DataFormatException">A file is missing, empty, truncated, or holds a label out of range.</exception>
    public static (ImageSet Train, ImageSet Test) Read(DataFolder folder, bool coarse = false)
    {
        IReadOnlyList<string> names = coarse
            ? CifarRecords.ClassNames(folder, "coarse_label_names.txt", 20, null)
            : CifarRecords.ClassNames(folder, "fine_label_names.txt", 100, null);
        int use = coarse ? 0 : 1;
        return (CifarRecords.Read(folder, ["train.bin"], "cifar100 train", [20, 100], use, names),
                CifarRecords.Read(folder, ["test.bin"], "cifar100 test", [20, 100], use, names));
    }
}
