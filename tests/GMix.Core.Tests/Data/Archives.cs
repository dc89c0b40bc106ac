using System.Formats.Tar;
using System.IO.Compression;

namespace GMix.Core.Tests.Data;

/// <summary>Makes archives for tests, honest and hostile, with the framework's writers.</summary>
public static class Archives
{
    /// <summary>A <c>.tar.gz</c> of a folder, under its own name.</summary>
    public static void TarFolder(string folder, string archive, TarEntryFormat format = TarEntryFormat.Ustar)
    {
        using FileStream file = File.Create(archive);
        using GZipStream gzip = new(file, CompressionLevel.Fastest);
        using TarWriter tar = new(gzip, format);
        string parent = Path.GetDirectoryName(folder)!;
        foreach (string path in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            tar.WriteEntry(path, Path.GetRelativePath(parent, path));
        }
    }

    /// <summary>A <c>.zip</c> of a folder, under its own name.</summary>
    public static void ZipFolder(string folder, string archive) => ZipFile.CreateFromDirectory(folder, archive, CompressionLevel.Fastest, includeBaseDirectory: true);

    /// <summary>A <c>.tar.gz</c> of given entries.</summary>
    public static void Tar(string archive, params TarEntry[] entries)
    {
        using FileStream file = File.Create(archive);
        using GZipStream gzip = new(file, CompressionLevel.Fastest);
        using TarWriter tar = new(gzip, TarEntryFormat.Pax);
        foreach (TarEntry entry in entries)
        {
            tar.WriteEntry(entry);
        }
    }

    /// <summary>A regular file as a tar entry.</summary>
    public static TarEntry FileEntry(string name, byte[] content) => new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(content) };

    /// <summary>A link as a tar entry.</summary>
    public static TarEntry Link(string name, string target, TarEntryType type = TarEntryType.SymbolicLink) => new PaxTarEntry(type, name) { LinkName = target };

    /// <summary>A <c>.zip</c> of given files; <paramref name="attributes"/> as Unix mode of every entry.</summary>
    public static void Zip(string archive, int attributes, params (string Name, byte[] Content)[] entries)
    {
        using FileStream file = File.Create(archive);
        using ZipArchive zip = new(file, ZipArchiveMode.Create);
        foreach ((string name, byte[] content) in entries)
        {
            ZipArchiveEntry entry = zip.CreateEntry(name);
            entry.ExternalAttributes = attributes << 16;
            using Stream stream = entry.Open();
            stream.Write(content);
        }
    }
}
