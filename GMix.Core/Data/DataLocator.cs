namespace GMix.Data;

/// <summary>Finds a data set below the user's data folder.</summary>
public static class DataLocator
{
    /// <summary><paramref name="dataDir"/>, else the environment variable GMIX_DATA, else <c>~/.cache/gmix</c>.</summary>
    public static string Resolve(string? dataDir)
    {
        string? chosen = string.IsNullOrEmpty(dataDir) ? Environment.GetEnvironmentVariable("GMIX_DATA") : dataDir;
        return string.IsNullOrEmpty(chosen)
            ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "gmix")
            : Path.GetFullPath(chosen);
    }

    /// <summary>
    /// Finds a data set's files: the official folder inside <paramref name="dataDir"/>, else <paramref name="dataDir"/> itself where it
    /// holds <paramref name="marker"/>, else an archive in it (or <paramref name="dataDir"/> itself) whose top folder is the official one,
    /// official archive names first.
    /// </summary>
    /// <param name="info">The data set.</param>
    /// <param name="dataDir">A resolved folder, or an archive.</param>
    /// <param name="marker">A file that the official folder certainly holds.</param>
    /// <param name="wanted">For archives: largest size accepted for a file of the folder, or null for files that are not needed.</param>
    /// <exception cref="GMixInputException">Nothing is there; the message says what to put where.</exception>
    public static DataFolder Find(DatasetInfo info, string dataDir, string marker, Func<string, long?> wanted) =>
        TryFind(info, dataDir, marker, wanted) ?? throw Missing(info, dataDir);

    /// <summary>As <see cref="Find"/>; null where nothing is there.</summary>
    internal static DataFolder? TryFind(DatasetInfo info, string dataDir, string marker, Func<string, long?> read)
    {
        long? wanted(string name) => name == OfficialFormats.SyntheticMarker ? 4096 : read(name);
        if (File.Exists(dataDir) && ArchiveFolder.IsArchive(dataDir))
        {
            return new ArchiveFolder(dataDir, info.Folder, wanted);
        }
        string inside = Path.Combine(dataDir, info.Folder);
        // A folder of the right name is what the user means even where the marker is missing: the reader then names the missing file.
        if (Directory.Exists(inside))
        {
            return new DiskFolder(inside);
        }
        if (File.Exists(Path.Combine(dataDir, marker)) || SameName(dataDir, info.Folder))
        {
            return new DiskFolder(dataDir);
        }
        return FindArchive(info, dataDir) is { } archive ? new ArchiveFolder(archive, info.Folder, wanted) : null;
    }

    /// <summary>An archive in <paramref name="dataDir"/> whose top folder is the data set's; null where there is none.</summary>
    internal static string? FindArchive(DatasetInfo info, string dataDir)
    {
        if (!Directory.Exists(dataDir))
        {
            return null;
        }
        HashSet<string> official = info.Files.Select(f => f.Name).ToHashSet(StringComparer.Ordinal);
        return Directory.EnumerateFiles(dataDir)
            .Where(ArchiveFolder.IsArchive)
            .OrderBy(f => official.Contains(Path.GetFileName(f)) ? 0 : 1)
            .ThenBy(f => f, StringComparer.Ordinal)
            // An archive under its official name is meant even if damaged: reading it then says what is wrong.
            .FirstOrDefault(f => official.Contains(Path.GetFileName(f)) || ArchiveFolder.Holds(f, info.Folder));
    }

    /// <summary>The error for data that is not there: what to put where, and how to get it.</summary>
    internal static GMixInputException Missing(DatasetInfo info, string dataDir)
    {
        OfficialFile[] needed = info.Files.Where(f => f.Needed).ToArray();
        bool archive = ArchiveFolder.IsArchive(needed[0].Name);
        string target = Path.Combine(dataDir, archive ? "" : info.Folder);
        string files = string.Join(" and ", needed.Select(f => f.Url));
        string folder = archive ? $" (or its extracted folder {info.Folder})" : "";
        return new GMixInputException(
            $"no {info.Title} data in {dataDir}: put {files}{folder} into {target}, or run `gmix data get {info.Name}`; another place is given by --data DIR or GMIX_DATA");
    }

    private static bool SameName(string dataDir, string folder) =>
        Directory.Exists(dataDir) && Path.GetFileName(Path.TrimEndingDirectorySeparator(dataDir)) == folder;
}
