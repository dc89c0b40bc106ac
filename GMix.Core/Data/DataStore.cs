namespace GMix.Data;

/// <summary>Choices of <see cref="DataStore.GetAsync(string, string, GetOptions, CancellationToken)"/>.</summary>
public sealed record GetOptions
{
    /// <summary>Also fetch the parts that are not trained on by default (SVHN's extra).</summary>
    public bool All { get; init; }

    /// <summary>Keep the archive after it was unpacked.</summary>
    public bool KeepArchive { get; init; }

    /// <summary>Called as work goes on, from any thread.</summary>
    public Action<DataProgress>? Progress { get; init; }

    /// <summary>How to download; null for the defaults.</summary>
    public Downloader? Downloader { get; init; }
}

/// <summary>Choices of <see cref="DataStore.Make"/>.</summary>
public sealed record MakeOptions
{
    /// <summary>Training images of each class; 0 for 40, 5 or 3 with 10, 100 or 200 classes.</summary>
    public int TrainPerClass { get; init; }

    /// <summary>Test images of each class; 0 for 20, 2 or 1 with 10, 100 or 200 classes.</summary>
    public int TestPerClass { get; init; }

    /// <summary>Seed of the images.</summary>
    public ulong Seed { get; init; }
}

/// <summary>What <c>gmix data</c> does: list, get, verify and make the data sets' files.</summary>
public static class DataStore
{
    // The largest official set, STL-10, unpacks to 3.2 GB.
    private const long MaxUnpacked = 8L << 30;

    /// <summary>Every data set with official files, and whether something is there; nothing is read.</summary>
    /// <param name="dataDir">Data folder; null for GMIX_DATA, else <c>~/.cache/gmix</c>.</param>
    public static IReadOnlyList<DataStatus> List(string? dataDir)
    {
        string dir = DataLocator.Resolve(dataDir);
        return [.. Datasets.All.Where(d => d.Files.Count > 0).Select(info =>
        {
            (string marker, Func<string, long?> wanted, _) = Datasets.Format(info, new OpenOptions());
            return DataLocator.TryFind(info, dir, marker, wanted) is { } folder
                ? new DataStatus(info.Name, "present", folder.Path, [])
                : new DataStatus(info.Name, "missing", "", [DataLocator.Missing(info, dir).Message]);
        })];
    }

    /// <summary>Reads everything and says what it is; never throws for bad data.</summary>
    /// <param name="name">A data set with official files.</param>
    /// <param name="dataDir">Data folder; null for GMIX_DATA, else <c>~/.cache/gmix</c>.</param>
    /// <param name="progress">Called as work goes on.</param>
    /// <param name="cancel">Stops between files.</param>
    public static DataStatus Verify(string name, string? dataDir, Action<DataProgress>? progress = null, CancellationToken cancel = default) =>
        DataVerifier.Verify(WithFiles(name), DataLocator.Resolve(dataDir), progress, cancel);

    /// <summary>
    /// Downloads a data set from its makers' site into <paramref name="dataDir"/>, checks size and MD5, and unpacks it. What is already there
    /// and right is kept; a broken download is resumed by the next call.
    /// </summary>
    /// <returns>The folder with the data.</returns>
    /// <exception cref="GMixInputException">It cannot be fetched or is damaged; the message says which file to put where.</exception>
    public static Task<string> GetAsync(string name, string? dataDir, GetOptions? options = null, CancellationToken cancel = default) =>
        GetAsync(WithFiles(name), DataLocator.Resolve(dataDir), options ?? new GetOptions(), cancel);

    /// <summary>Writes a small synthetic set in a data set's official format into <paramref name="dataDir"/>.</summary>
    /// <returns>The folder made.</returns>
    /// <exception cref="GMixInputException">The folder is already there, or cannot be written.</exception>
    public static string Make(string name, string? dataDir, MakeOptions? options = null)
    {
        DatasetInfo info = WithFiles(name);
        options ??= new MakeOptions();
        string dir = DataLocator.Resolve(dataDir), target = Path.Combine(dir, info.Folder);
        (int train, int test) = info.ClassCount switch { 10 => (40, 20), 100 => (5, 2), _ => (3, 1) };
        return Install(dir, target, temporary => OfficialFormats.Write(info, temporary,
            options.TrainPerClass == 0 ? train : options.TrainPerClass, options.TestPerClass == 0 ? test : options.TestPerClass, options.Seed));
    }

    /// <summary>As the public method, for any description of the files (tests serve their own).</summary>
    internal static async Task<string> GetAsync(DatasetInfo info, string dir, GetOptions options, CancellationToken cancel)
    {
        Downloader downloader = options.Downloader ?? new Downloader();
        string target = Path.Combine(dir, info.Folder);
        bool archives = ArchiveFolder.IsArchive(info.Files[0].Name);
        if (archives && Directory.Exists(target))
        {
            return target;
        }
        foreach (OfficialFile file in info.Files.Where(f => f.Needed || options.All))
        {
            string path = await downloader.FetchAsync(file, archives ? dir : target, options.Progress, cancel).ConfigureAwait(false);
            if (archives)
            {
                Unpack(info, dir, path, target, file, options, cancel);
            }
        }
        return target;
    }

    private static void Unpack(DatasetInfo info, string dir, string archive, string target, OfficialFile file, GetOptions options, CancellationToken cancel)
    {
        Install(dir, target, temporary =>
        {
            // Hostile or odd archives never touch the data folder: they end in the temporary one.
            SafeArchive.Extract(archive, temporary, MaxUnpacked, done => options.Progress?.Invoke(new DataProgress("extract", file.Name, done, 0)), cancel);
            string inner = Path.Combine(temporary, info.Folder);
            return Directory.Exists(inner) ? inner
                : throw new DataFormatException(archive, -1, $"the archive holds no folder {info.Folder}; it is not the official one");
        });
        if (!options.KeepArchive)
        {
            File.Delete(archive);
        }
    }

    private static string Install(string dir, string target, Action<string> fill) => Install(dir, target, temporary =>
    {
        fill(temporary);
        return temporary;
    });

    /// <summary>Fills a temporary folder beside the target and renames it (or the folder in it that <paramref name="fill"/> names).</summary>
    private static string Install(string dir, string target, Func<string, string> fill)
    {
        if (Directory.Exists(target) || File.Exists(target))
        {
            throw new GMixInputException($"{target} is already there; remove it first, or use another folder");
        }
        string temporary = Path.Combine(dir, $".gmix-{Path.GetFileName(target)}-{Guid.NewGuid():n}");
        try
        {
            Directory.CreateDirectory(temporary);
            Directory.Move(fill(temporary), target);
            return target;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GMixInputException($"cannot write {target}: {DataFormatException.Printable(e.Message)}", e);
        }
        finally
        {
            if (Directory.Exists(temporary))
            {
                Directory.Delete(temporary, recursive: true);
            }
        }
    }

    private static DatasetInfo WithFiles(string name)
    {
        DatasetInfo info = Datasets.Get(name);
        return info.Files.Count > 0 ? info
            : throw new GMixInputException($"data set {name} has no files to get, verify or make; those that have are {string.Join(", ", Datasets.All.Where(d => d.Files.Count > 0).Select(d => d.Name))}");
    }
}
