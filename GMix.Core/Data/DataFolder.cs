using System.IO.Compression;

namespace GMix.Data;

/// <summary>
/// The files of one data set's folder, on disk or inside an archive. Names are relative, with <c>/</c>.
/// Archives are read into memory member by member and nothing is written, so an entry's path can never leave a folder.
/// </summary>
public abstract class DataFolder
{
    /// <summary>The folder or archive on disk.</summary>
    public abstract string Path { get; }

    /// <summary>The name of a file for messages.</summary>
    public abstract string Describe(string name);

    /// <summary>Size of a file; null where it does not exist.</summary>
    public abstract long? Length(string name);

    /// <summary>Opens a file for reading.</summary>
    public abstract Stream Open(string name);

    /// <summary>All files below <paramref name="under"/> (empty for all), in ordinal order.</summary>
    public abstract IReadOnlyList<string> Files(string under);

    /// <summary>
    /// Bytes that change when the folder's content does: sizes and modification times of the files (of the archive, for one).
    /// </summary>
    public abstract string Fingerprint();

    /// <summary>All bytes of a file.</summary>
    /// <exception cref="DataFormatException">It is missing or larger than <paramref name="limit"/> bytes.</exception>
    public virtual byte[] ReadAll(string name, long limit)
    {
        long length = Length(name) ?? throw new DataFormatException(Describe(name), -1, "the file is missing");
        if (length > limit)
        {
            throw new DataFormatException(Describe(name), limit, $"the file has {length} bytes, more than the {limit} its format allows");
        }
        using Stream stream = Open(name);
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)length);
        int got = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        return got == bytes.Length ? bytes : throw new DataFormatException(Describe(name), got, $"the file ended after {got} of {length} bytes");
    }

    /// <summary>The non-empty lines of a small text file.</summary>
    public string[] ReadLines(string name, long limit = 16 << 20) =>
        System.Text.Encoding.UTF8.GetString(ReadAll(name, limit))
            .Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>A folder on disk.</summary>
public sealed class DiskFolder(string path) : DataFolder
{
    /// <inheritdoc/>
    public override string Path => path;

    /// <inheritdoc/>
    public override string Describe(string name) => System.IO.Path.Combine(path, name);

    /// <inheritdoc/>
    public override long? Length(string name)
    {
        FileInfo info = new(Describe(name));
        return info.Exists ? info.Length : null;
    }

    /// <inheritdoc/>
    public override Stream Open(string name) => Guard(Describe(name), file => new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1));

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string under)
    {
        string root = System.IO.Path.Combine(path, under);
        if (!Directory.Exists(root))
        {
            return [];
        }
        return Guard(root, folder =>
        {
            string[] files = Directory.GetFiles(folder, "*", SearchOption.AllDirectories);
            string[] names = Array.ConvertAll(files, f => System.IO.Path.GetRelativePath(path, f).Replace('\\', '/'));
            Array.Sort(names, string.CompareOrdinal);
            return names;
        });
    }

    /// <inheritdoc/>
    public override string Fingerprint()
    {
        System.Text.StringBuilder text = new();
        foreach (FileInfo file in new DirectoryInfo(path).EnumerateFiles("*", SearchOption.AllDirectories).OrderBy(f => f.FullName, StringComparer.Ordinal))
        {
            text.Append(System.IO.Path.GetRelativePath(path, file.FullName)).Append('\t').Append(file.Length).Append('\t').Append(file.LastWriteTimeUtc.Ticks).Append('\n');
        }
        return text.ToString();
    }

    /// <inheritdoc/>
    public override byte[] ReadAll(string name, long limit) => Guard(Describe(name), _ => base.ReadAll(name, limit));

    private static T Guard<T>(string file, Func<string, T> read)
    {
        try
        {
            return read(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataFormatException(file, -1, $"cannot be read: {e.Message}", e);
        }
    }
}

/// <summary>The wanted files below one top folder of a <c>.tar.gz</c>, <c>.tgz</c>, <c>.tar</c> or <c>.zip</c>, held in memory.</summary>
public sealed class ArchiveFolder : DataFolder
{
    private readonly string _top;
    private readonly Dictionary<string, byte[]> _files = new(StringComparer.Ordinal);

    /// <param name="path">The archive.</param>
    /// <param name="top">Its top folder, e.g. <c>cifar-10-batches-bin</c>.</param>
    /// <param name="wanted">Largest size accepted for a file below it, or null for files that are not needed.</param>
    /// <exception cref="DataFormatException">The archive is damaged, holds a link in place of a wanted file, or a file is too large.</exception>
    public ArchiveFolder(string path, string top, Func<string, long?> wanted)
    {
        Path = path;
        _top = top;
        try
        {
            if (IsZip(path))
            {
                LoadZip(wanted);
            }
            else
            {
                LoadTar(wanted);
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or NotSupportedException or UnauthorizedAccessException)
        {
            throw new DataFormatException(path, -1, $"the archive cannot be read: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public override string Path { get; }

    /// <summary>Whether a file name is that of an archive that can be read.</summary>
    public static bool IsArchive(string path) => IsZip(path) || path.EndsWith(".tar", StringComparison.OrdinalIgnoreCase) || IsGzip(path);

    /// <summary>The first path component of the first file or folder; null where the archive cannot be read.</summary>
    public static string? TopFolder(string path)
    {
        try
        {
            string? name;
            if (IsZip(path))
            {
                using ZipArchive zip = ZipFile.OpenRead(path);
                name = zip.Entries.Count == 0 ? null : zip.Entries[0].FullName;
            }
            else
            {
                using Stream stream = OpenTar(path);
                name = new TarEntries(stream, path).Next()?.Name;
            }
            return name is null ? null : Clean(name).Split('/')[0];
        }
        catch (Exception e) when (e is InvalidDataException or IOException or DataFormatException or UnauthorizedAccessException or NotSupportedException)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override string Describe(string name) => $"{Path}!{_top}/{name}";

    /// <inheritdoc/>
    public override long? Length(string name) => _files.TryGetValue(name, out byte[]? bytes) ? bytes.Length : null;

    /// <inheritdoc/>
    public override Stream Open(string name) => new MemoryStream(ReadAll(name, long.MaxValue), writable: false);

    /// <inheritdoc/>
    public override byte[] ReadAll(string name, long limit) =>
        !_files.TryGetValue(name, out byte[]? bytes) ? throw new DataFormatException(Describe(name), -1, "the file is missing from the archive")
        : bytes.Length > limit ? throw new DataFormatException(Describe(name), limit, $"the file has {bytes.Length} bytes, more than the {limit} its format allows")
        : bytes;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string under)
    {
        string prefix = under.Length == 0 ? "" : under.TrimEnd('/') + "/";
        string[] names = _files.Keys.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).ToArray();
        Array.Sort(names, string.CompareOrdinal);
        return names;
    }

    /// <inheritdoc/>
    public override string Fingerprint()
    {
        FileInfo info = new(Path);
        return FormattableString.Invariant($"{info.FullName}\t{info.Length}\t{info.LastWriteTimeUtc.Ticks}");
    }

    /// <summary>Opens the uncompressed tar stream of a <c>.tar</c> or gzip-compressed archive.</summary>
    internal static Stream OpenTar(string path)
    {
        FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        return IsGzip(path) ? new BoundedInflation(new GZipStream(file, CompressionMode.Decompress), file.Length, path) : file;
    }

    /// <summary>Whether a path is a zip archive by its name.</summary>
    internal static bool IsZip(string path) => path.EndsWith(".zip", StringComparison.OrdinalIgnoreCase);

    private static bool IsGzip(string path) =>
        path.EndsWith(".tar.gz", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".tgz", StringComparison.OrdinalIgnoreCase);

    private static string Clean(string name) => name.StartsWith("./", StringComparison.Ordinal) ? name[2..] : name;

    private string? Relative(string name)
    {
        name = Clean(name);
        return name.Length > _top.Length + 1 && name.StartsWith(_top, StringComparison.Ordinal) && name[_top.Length] == '/' ? name[(_top.Length + 1)..] : null;
    }

    private void LoadTar(Func<string, long?> wanted)
    {
        using Stream stream = OpenTar(Path);
        TarEntries entries = new(stream, Path);
        while (entries.Next() is { } entry)
        {
            if (Relative(entry.Name) is not { } name || entry.Kind == TarEntryKind.Directory || wanted(name) is not { } limit)
            {
                continue;
            }
            if (entry.Kind != TarEntryKind.File)
            {
                throw new DataFormatException(Describe(name), -1, "the archive holds a link or device here in place of a file; it is not the official archive");
            }
            _files[name] = ReadMember(name, entry.Size, limit, entries.Read);
        }
    }

    private void LoadZip(Func<string, long?> wanted)
    {
        using ZipArchive zip = ZipFile.OpenRead(Path);
        foreach (ZipArchiveEntry entry in zip.Entries)
        {
            if (Relative(entry.FullName) is not { } name || name.EndsWith('/') || wanted(name) is not { } limit)
            {
                continue;
            }
            using Stream stream = new BoundedInflation(entry.Open(), entry.CompressedLength, Describe(name));
            byte[] bytes = ReadMember(name, entry.Length, limit, stream.Read);
            if (stream.ReadByte() >= 0)
            {
                throw new DataFormatException(Describe(name), bytes.Length, "the file is longer than the archive's directory says");
            }
            _files[name] = bytes;
        }
    }

    private delegate int Reader(Span<byte> buffer);

    private byte[] ReadMember(string name, long size, long limit, Reader read)
    {
        if (size > limit)
        {
            throw new DataFormatException(Describe(name), limit, $"the file has {size} bytes, more than the {limit} its format allows");
        }
        // The size is only a claim: the buffer grows with what really arrives.
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)Math.Min(size, 1 << 20));
        int at = 0;
        while (at < size)
        {
            if (at == bytes.Length)
            {
                Array.Resize(ref bytes, (int)Math.Min(size, 2L * bytes.Length));
            }
            int got = read(bytes.AsSpan(at));
            if (got == 0)
            {
                throw new DataFormatException(Describe(name), at, $"the file ended after {at} of {size} bytes");
            }
            at += got;
        }
        return bytes;
    }
}
