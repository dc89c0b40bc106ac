using System.IO.Enumeration;

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
public sealed class DiskFolder(string folder) : DataFolder
{
    private readonly string _path = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(folder));

    /// <inheritdoc/>
    public override string Path => _path;

    /// <inheritdoc/>
    public override string Describe(string name) => System.IO.Path.Combine(_path, name);

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
        string root = System.IO.Path.Combine(_path, under);
        if (!Directory.Exists(root))
        {
            return [];
        }
        return Guard(root, start =>
        {
            string[] names = Walk(start, (ref FileSystemEntry e) => Relative(e.ToFullPath())).ToArray();
            Array.Sort(names, string.CompareOrdinal);
            return names;
        });
    }

    /// <inheritdoc/>
    public override string Fingerprint()
    {
        // One task per class folder: asking the file system about 120,000 files is most of a cached start.
        return Guard(_path, root =>
        {
            string train = System.IO.Path.Combine(root, "train");
            string[] shallow = Directory.Exists(train) ? [root, train] : [root];
            string[] deep = [.. shallow.SelectMany(Directory.GetDirectories).Where(d => d != train)];
            string[] lines = [.. shallow.SelectMany(d => Walk(d, Line, recurse: false)), .. deep.AsParallel().SelectMany(d => Walk(d, Line))];
            Array.Sort(lines, string.CompareOrdinal);
            return string.Join('\n', lines);
        });
    }

    /// <inheritdoc/>
    public override byte[] ReadAll(string name, long limit) => Guard(Describe(name), _ => base.ReadAll(name, limit));

    private static string Line(ref FileSystemEntry e) =>
        FormattableString.Invariant($"{e.ToFullPath()}\t{e.Length}\t{e.LastWriteTimeUtc.UtcTicks}");

    // Linked folders are not entered: a link to a parent would never end. Linked files are files.
    private static FileSystemEnumerable<string> Walk(string root, FileSystemEnumerable<string>.FindTransform transform, bool recurse = true) =>
        new(root, transform, new EnumerationOptions { RecurseSubdirectories = recurse, AttributesToSkip = 0, IgnoreInaccessible = false, MaxRecursionDepth = 32 })
        {
            ShouldIncludePredicate = (ref FileSystemEntry e) => !e.IsDirectory,
            ShouldRecursePredicate = (ref FileSystemEntry e) => (e.Attributes & FileAttributes.ReparsePoint) == 0,
        };

    private string Relative(string full) => full[(_path.Length + 1)..].Replace('\\', '/');

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
        catch (AggregateException e) when (e.InnerException is IOException or UnauthorizedAccessException)
        {
            throw new DataFormatException(file, -1, $"cannot be read: {e.InnerException.Message}", e);
        }
    }
}
