using System.IO.Compression;

namespace GMix.Data;

/// <summary>
/// Unpacks archives that come from a network: no entry leaves the target folder, links and devices are refused, nothing is overwritten, and
/// the total is bounded.
/// </summary>
public static class SafeArchive
{
    /// <summary>Most entries accepted; Tiny-ImageNet has about 120,600.</summary>
    public const int MaxEntries = 500_000;

    /// <summary>Unpacks <paramref name="archive"/> (<c>.tar.gz</c>, <c>.tgz</c>, <c>.tar</c> or <c>.zip</c>) into an existing empty folder.</summary>
    /// <param name="archive">The archive.</param>
    /// <param name="folder">Where to; on failure it holds what was unpacked so far, so pass a temporary one.</param>
    /// <param name="maxBytes">Largest total of file contents.</param>
    /// <param name="progress">Called with the bytes unpacked so far.</param>
    /// <param name="cancel">Stops between blocks.</param>
    /// <exception cref="DataFormatException">The archive is damaged or holds something it must not.</exception>
    public static void Extract(string archive, string folder, long maxBytes, Action<long>? progress = null, CancellationToken cancel = default)
    {
        Unpacking state = new(archive, Path.GetFullPath(folder), maxBytes, progress, cancel);
        try
        {
            if (ArchiveFolder.IsZip(archive))
            {
                using ZipArchive zip = ZipFile.OpenRead(archive);
                foreach (ZipArchiveEntry entry in zip.Entries)
                {
                    // The upper half of the attributes holds Unix modes: 0xA000 marks a symbolic link.
                    TarEntryKind kind = entry.FullName.EndsWith('/') ? TarEntryKind.Directory
                        : (entry.ExternalAttributes >> 16 & 0xF000) == 0xA000 ? TarEntryKind.Link : TarEntryKind.File;
                    if (state.Place(entry.FullName, kind) is { } target)
                    {
                        using Stream stream = new BoundedInflation(entry.Open(), entry.CompressedLength, $"{archive}!{entry.FullName}");
                        state.Write(target, entry.FullName, entry.Length, stream.Read);
                    }
                }
            }
            else
            {
                using Stream stream = ArchiveFolder.OpenTar(archive);
                TarEntries entries = new(stream, archive);
                while (entries.Next() is { } entry)
                {
                    if (state.Place(entry.Name, entry.Kind) is { } target)
                    {
                        state.Write(target, entry.Name, entry.Size, entries.Read);
                    }
                }
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or NotSupportedException)
        {
            throw new DataFormatException(archive, -1, $"the archive is damaged: {e.Message}", e);
        }
    }

    /// <summary>
    /// The relative path of an entry's name, or null where the name must be refused: absolute, with a <c>..</c> or empty part, a
    /// backslash, a colon or a control character, or absurdly long.
    /// </summary>
    internal static string? SafeName(string name)
    {
        while (name.StartsWith("./", StringComparison.Ordinal))
        {
            name = name[2..];
        }
        name = name.TrimEnd('/');
        if (name is "" or ".")
        {
            return ".";
        }
        return name.Length <= 1024 && !name.Any(c => c is '\\' or ':' || char.IsControl(c)) && name.Split('/').All(p => p is not ("" or "." or "..") && p.Length <= 255)
            ? name
            : null;
    }

    private delegate int Reader(Span<byte> buffer);

    private sealed class Unpacking(string archive, string folder, long maxBytes, Action<long>? progress, CancellationToken cancel)
    {
        private readonly byte[] _buffer = new byte[1 << 16];
        private long _total;
        private int _entries;

        /// <summary>Checks an entry and makes its folder; the path for a file's content, null for a folder.</summary>
        public string? Place(string name, TarEntryKind kind)
        {
            cancel.ThrowIfCancellationRequested();
            if (++_entries > MaxEntries)
            {
                throw Bad(name, $"the archive holds more than {MaxEntries} entries");
            }
            string safe = SafeName(name) ?? throw Bad(name, "the entry's path leaves the folder or cannot be a file name; the archive is hostile, nothing was installed");
            if (kind is TarEntryKind.Link or TarEntryKind.Other)
            {
                throw Bad(name, "the entry is a link or device, which no data set holds; the archive is hostile, nothing was installed");
            }
            string target = Path.Combine(folder, safe);
            try
            {
                Directory.CreateDirectory(kind == TarEntryKind.Directory ? target : Path.GetDirectoryName(target)!);
            }
            catch (IOException e)
            {
                throw Bad(name, $"cannot make the entry's folder: {e.Message}");
            }
            return kind == TarEntryKind.Directory ? null : target;
        }

        public void Write(string target, string name, long size, Reader read)
        {
            if (size > maxBytes - _total)
            {
                throw Bad(name, $"the archive unpacks to more than {maxBytes} bytes");
            }
            FileStream file;
            try
            {
                file = new FileStream(target, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1);
            }
            catch (IOException e) when (File.Exists(target) || Directory.Exists(target))
            {
                throw new DataFormatException($"{archive}!{name}", -1, "the archive holds this name twice", e);
            }
            using (file)
            {
                long written = 0;
                for (int got; (got = read(_buffer)) > 0; written += got)
                {
                    cancel.ThrowIfCancellationRequested();
                    if (written + got > size)
                    {
                        throw Bad(name, $"the entry is longer than the {size} bytes its header gives");
                    }
                    file.Write(_buffer, 0, got);
                    _total += got;
                    progress?.Invoke(_total);
                }
                if (written < size)
                {
                    throw Bad(name, $"the entry ends after {written} of {size} bytes");
                }
            }
        }

        private DataFormatException Bad(string name, string problem) => new($"{archive}!{name}", -1, problem);
    }
}
