using System.IO.Compression;

namespace GMix.Data;

/// <summary>The wanted files below one top folder of a <c>.tar.gz</c>, <c>.tgz</c>, <c>.tar</c> or <c>.zip</c>, held in memory.</summary>
public sealed class ArchiveFolder : DataFolder
{
    private readonly string _top;
    private readonly Lazy<Dictionary<string, byte[]>> _files;

    /// <param name="path">The archive.</param>
    /// <param name="top">Its top folder, e.g. <c>cifar-10-batches-bin</c>.</param>
    /// <param name="wanted">Largest size accepted for a file below it, or null for files that are not needed.</param>
    /// <remarks>
    /// The archive is read when the first file is asked for, so that a cached set costs no decompression. Asking throws
    /// <see cref="DataFormatException"/> where the archive is damaged, holds a link in place of a wanted file, or a file is too large.
    /// </remarks>
    public ArchiveFolder(string path, string top, Func<string, long?> wanted)
    {
        Path = path;
        _top = top;
        _files = new Lazy<Dictionary<string, byte[]>>(() => Load(wanted));
    }

    /// <inheritdoc/>
    public override string Path { get; }

    /// <summary>Whether a file name is that of an archive that can be read.</summary>
    public static bool IsArchive(string path) => IsZip(path) || path.EndsWith(".tar", StringComparison.OrdinalIgnoreCase) || IsGzip(path);

    /// <summary>
    /// Whether one of the first entries of an archive lies in the folder <paramref name="top"/>; false where the archive cannot be read.
    /// </summary>
    public static bool Holds(string path, string top)
    {
        // Some archives open with "./" or with a system's own small files; none hides its folder behind a large file.
        const int Entries = 16;
        const long Small = 1 << 20;
        try
        {
            if (IsZip(path))
            {
                using ZipArchive zip = ZipFile.OpenRead(path);
                return zip.Entries.Take(Entries).Any(e => Clean(e.FullName).Split('/')[0] == top);
            }
            using Stream stream = OpenTar(path);
            TarEntries entries = new(stream, path);
            for (int i = 0; i < Entries && entries.Next() is { } entry; i++)
            {
                if (Clean(entry.Name).Split('/')[0] == top)
                {
                    return true;
                }
                if (entry.Size > Small)
                {
                    break;
                }
            }
            return false;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or DataFormatException or UnauthorizedAccessException or NotSupportedException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public override string Describe(string name) => $"{Path}!{_top}/{name}";

    /// <inheritdoc/>
    public override long? Length(string name) => _files.Value.TryGetValue(name, out byte[]? bytes) ? bytes.Length : null;

    /// <inheritdoc/>
    public override Stream Open(string name) => new MemoryStream(ReadAll(name, long.MaxValue), writable: false);

    /// <inheritdoc/>
    public override byte[] ReadAll(string name, long limit) =>
        !_files.Value.TryGetValue(name, out byte[]? bytes) ? throw new DataFormatException(Describe(name), -1, "the file is missing from the archive")
        : bytes.Length > limit ? throw new DataFormatException(Describe(name), limit, $"the file has {bytes.Length} bytes, more than the {limit} its format allows")
        : bytes;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string under)
    {
        string prefix = under.Length == 0 ? "" : under.TrimEnd('/') + "/";
        string[] names = _files.Value.Keys.Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).ToArray();
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

    private Dictionary<string, byte[]> Load(Func<string, long?> wanted)
    {
        try
        {
            Dictionary<string, byte[]> files = new(StringComparer.Ordinal);
            (IsZip(Path) ? (Action<Dictionary<string, byte[]>, Func<string, long?>>)LoadZip : LoadTar)(files, wanted);
            return files;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or NotSupportedException or UnauthorizedAccessException)
        {
            throw new DataFormatException(Path, -1, $"the archive cannot be read: {e.Message}", e);
        }
    }

    private void LoadTar(Dictionary<string, byte[]> files, Func<string, long?> wanted)
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
            files[name] = ReadMember(name, entry.Size, limit, entries.Read);
        }
    }

    private void LoadZip(Dictionary<string, byte[]> files, Func<string, long?> wanted)
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
            // ZipArchive reads over a wrong checksum without a word.
            if (Crc32.Of(bytes) != entry.Crc32)
            {
                throw new DataFormatException(Describe(name), -1, "the file's bytes do not fit the archive's checksum; fetch the archive again");
            }
            files[name] = bytes;
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
