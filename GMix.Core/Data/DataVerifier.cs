namespace GMix.Data;

/// <summary>What is known about a data set's files.</summary>
/// <param name="Name">Data set.</param>
/// <param name="State"><c>official</c>, <c>subset</c>, <c>synthetic</c>, <c>damaged</c>, <c>missing</c>; from <see cref="DataStore.List"/> also <c>present</c> (not looked into).</param>
/// <param name="Path">Folder or archive; empty where missing.</param>
/// <param name="Reasons">Why, one line each.</param>
public sealed record DataStatus(string Name, string State, string Path, IReadOnlyList<string> Reasons);

/// <summary>Tells whether files are the official data, a subset, made, damaged or missing, by reading all of them.</summary>
internal static class DataVerifier
{
    /// <summary>MD5 of files inside the official archives, where they are known.</summary>
    private static readonly Dictionary<string, (string File, string Md5)[]> MemberSums = new()
    {
        ["svhn"] = [.. Datasets.Get("svhn").Files.Where(f => f.Needed).Select(f => (f.Name, f.Md5))],
        ["cifar100"] = [("train.bin", "6172c7755cfe09b2fe270c85cebc1b15"), ("test.bin", "4499cfba6c016c1be1438163640a0898")],
        ["stl10"] =
        [
            ("train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"), ("train_y.bin", "5a34089d4802c674881badbb80307741"),
            ("test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"), ("test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"),
        ],
    };

    public static DataStatus Verify(DatasetInfo info, string dataDir, Action<DataProgress>? progress, CancellationToken cancel)
    {
        (string marker, Func<string, long?> wanted, Func<DataFolder, (ImageSet Train, ImageSet Test)> read) = Datasets.Format(info, new OpenOptions());
        DataFolder? folder;
        try
        {
            folder = DataLocator.TryFind(info, dataDir, marker, wanted);
        }
        catch (DataFormatException e)
        {
            return new DataStatus(info.Name, "damaged", dataDir, [e.Message]);
        }
        if (folder is null)
        {
            return new DataStatus(info.Name, "missing", "", [DataLocator.Missing(info, dataDir).Message]);
        }
        try
        {
            return Judge(info, folder, read, progress, cancel);
        }
        catch (GMixInputException e)
        {
            return new DataStatus(info.Name, "damaged", folder.Path, [e.Message]);
        }
    }

    private static DataStatus Judge(
        DatasetInfo info, DataFolder folder, Func<DataFolder, (ImageSet Train, ImageSet Test)> read, Action<DataProgress>? progress, CancellationToken cancel)
    {
        List<string> reasons = [];
        OfficialFile? archive = folder is ArchiveFolder ? info.Files.FirstOrDefault(f => f.Name == Path.GetFileName(folder.Path)) : null;
        if (archive is not null && new FileInfo(folder.Path).Length == archive.Bytes)
        {
            string md5 = Downloader.Md5Async(folder.Path, archive.Name, progress, cancel).GetAwaiter().GetResult();
            reasons.Add(md5 == archive.Md5 ? $"{archive.Name}: size and MD5 are the official ones" : $"{archive.Name}: MD5 {md5}, official is {archive.Md5}");
            if (md5 != archive.Md5)
            {
                return new DataStatus(info.Name, "damaged", folder.Path, reasons);
            }
        }
        progress?.Invoke(new DataProgress("read", folder.Path, 0, 0));
        (ImageSet train, ImageSet test) = read(folder);
        cancel.ThrowIfCancellationRequested();
        reasons.Add($"{train.Count} train and {test.Count} test images read, labels in range");
        if (OfficialFormats.IsSynthetic(folder))
        {
            reasons.Add($"{OfficialFormats.SyntheticMarker} says the set was made by `gmix data make`");
            return new DataStatus(info.Name, "synthetic", folder.Path, reasons);
        }
        if (train.Count != info.TrainCount || test.Count != info.TestCount)
        {
            reasons.Add($"the official set has {info.TrainCount} and {info.TestCount}");
            bool fewer = train.Count <= info.TrainCount && test.Count <= info.TestCount;
            return new DataStatus(info.Name, fewer ? "subset" : "damaged", folder.Path, reasons);
        }
        return new DataStatus(info.Name, IsOfficial(info, folder, train, reasons, progress, cancel) ? "official" : "damaged", folder.Path, reasons);
    }

    private static bool IsOfficial(
        DatasetInfo info, DataFolder folder, ImageSet train, List<string> reasons, Action<DataProgress>? progress, CancellationToken cancel)
    {
        bool good = true;
        foreach ((string file, string expected) in folder is DiskFolder ? MemberSums.GetValueOrDefault(info.Name, []) : [])
        {
            string md5 = Downloader.Md5Async(folder.Describe(file), file, progress, cancel).GetAwaiter().GetResult();
            reasons.Add(md5 == expected ? $"{file}: MD5 is the official one" : $"{file}: MD5 {md5}, official is {expected}");
            good &= md5 == expected;
        }
        double tolerance = Datasets.NormalizationTolerance(info), distance = Normalization.Compute(train).Distance(info.Published!);
        reasons.Add(FormattableString.Invariant($"mean and deviation are within {distance:g2} of the published ones ({tolerance:g1} allowed)"));
        return good && distance <= tolerance;
    }
}
