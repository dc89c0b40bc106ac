namespace GMix.Data;

/// <summary>CIFAR-10 in the binary distribution: folder <c>cifar-10-batches-bin</c>, <c>data_batch_1..5.bin</c> and <c>test_batch.bin</c>.</summary>
public static class Cifar10Reader
{
    private static readonly string[] TrainFiles = [.. Enumerable.Range(1, 5).Select(i => $"data_batch_{i}.bin")];

    private static readonly string[] StandardNames =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

    /// <summary>A file that every copy holds.</summary>
    internal const string Marker = "data_batch_1.bin";

    /// <summary>Files that are read, with the largest size accepted.</summary>
    internal static long? Wanted(string name) =>
        name == "batches.meta.txt" ? 1 << 16 : name == "test_batch.bin" || TrainFiles.Contains(name) ? CifarRecords.MaxFile : null;

    /// <summary>Reads both splits: uint8 [N, 3, 32, 32], labels 0 to 9.</summary>
    /// <exception cref="DataFormatException">A file is missing, empty, truncated, or holds a label above 9.</exception>
    public static (ImageSet Train, ImageSet Test) Read(DataFolder folder)
    {
        IReadOnlyList<string> names = CifarRecords.ClassNames(folder, "batches.meta.txt", 10, StandardNames);
        return (CifarRecords.Read(folder, TrainFiles, "cifar10 train", [10], 0, names),
                CifarRecords.Read(folder, ["test_batch.bin"], "cifar10 test", [10], 0, names));
    }
}
