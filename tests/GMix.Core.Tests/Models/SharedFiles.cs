using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Files beside the repository that tests use when they are there.</summary>
internal static class SharedFiles
{
    /// <summary>The file, looked for from the repository upwards; the test is skipped by name where it is absent.</summary>
    public static string Find(string relative)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (Path.Combine(folder.FullName, "shared", relative) is var path && File.Exists(path)) return path;
        Assert.Skip($"no shared/{relative} in a folder above this one");
        return "";
    }

    /// <summary>A file of this repository.</summary>
    public static string InRepository(string relative)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "GMix.slnx"))) return Path.Combine(folder.FullName, relative);
        throw new FileNotFoundException($"no GMix.slnx above {AppContext.BaseDirectory}: where is {relative}?");
    }
}
