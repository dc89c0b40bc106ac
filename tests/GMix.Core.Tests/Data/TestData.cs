using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

/// <summary>A folder that is removed at the end of a test.</summary>
public sealed class TempFolder : IDisposable
{
    public TempFolder()
    {
        Path = System.IO.Path.Combine(System.IO.Path.GetTempPath(), "gmix-test-" + Guid.NewGuid().ToString("n"));
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    /// <summary>Options whose cache lies in this folder.</summary>
    public OpenOptions Options => new() { CacheDirectory = At("cache") };

    public string At(params string[] parts) => System.IO.Path.Combine([Path, .. parts]);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>A data set's folder in memory.</summary>
public sealed class MemoryFolder : DataFolder
{
    public MemoryFolder(IEnumerable<KeyValuePair<string, byte[]>> files) => Contents = new(files.ToDictionary(f => f.Key, f => f.Value), StringComparer.Ordinal);

    public SortedDictionary<string, byte[]> Contents { get; }

    public override string Path => "memory";

    /// <summary>All files of a folder on disk.</summary>
    public static MemoryFolder Of(string folder)
    {
        DiskFolder disk = new(folder);
        return new MemoryFolder(disk.Files("").Select(f => KeyValuePair.Create(f, disk.ReadAll(f, long.MaxValue))));
    }

    public MemoryFolder With(string file, byte[] bytes) => new(Contents) { Contents = { [file] = bytes } };

    public MemoryFolder Without(string file) => new(Contents.Where(f => f.Key != file));

    public override string Describe(string name) => "memory/" + name;

    public override long? Length(string name) => Contents.TryGetValue(name, out byte[]? bytes) ? bytes.Length : null;

    public override Stream Open(string name) => new MemoryStream(Contents[name], writable: false);

    public override IReadOnlyList<string> Files(string under) =>
        [.. Contents.Keys.Where(k => under.Length == 0 || k.StartsWith(under + "/", StringComparison.Ordinal)).OrderBy(k => k, StringComparer.Ordinal)];

    public override string Fingerprint() => "memory";
}

public static class TestData
{
    /// <summary>Whether the long versions of the tests are asked for.</summary>
    public static bool Long => Environment.GetEnvironmentVariable("GMIX_TEST_LONG") == "1";

    /// <summary>A real sample of the optional folder <c>shared/data</c> beside the repository; skips the test where it is absent.</summary>
    public static string Sample(string archive)
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string path = System.IO.Path.Combine(at.FullName, "shared", "data", archive);
            if (File.Exists(path))
            {
                return path;
            }
        }
        Assert.Skip($"shared/data/{archive} is not here");
        return "";
    }

    /// <summary>A made set in a data set's official format; its folder is inside the returned one.</summary>
    public static TempFolder Made(string name, int train = 0, int test = 0)
    {
        TempFolder folder = new();
        DataStore.Make(name, folder.Path, new MakeOptions { TrainPerClass = train, TestPerClass = test, Seed = 5 });
        return folder;
    }

    /// <summary>Files of a made set, without the mark that it is made.</summary>
    public static MemoryFolder MadeInMemory(string name, int train = 0, int test = 0)
    {
        using TempFolder folder = Made(name, train, test);
        return MemoryFolder.Of(folder.At(Datasets.Get(name).Folder)).Without(OfficialFormats.SyntheticMarker);
    }

    /// <summary>Every image as (label, bytes), for comparing sets whatever their order.</summary>
    public static bool SameImages(ImageSet a, ImageSet b) =>
        a.Count == b.Count && a.Labels.AsSpan().SequenceEqual(b.Labels) && Enumerable.Range(0, a.Count).All(i => a.Image(i).SequenceEqual(b.Image(i)));
}
