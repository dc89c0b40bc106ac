using System.Runtime.CompilerServices;

namespace GMix.Core.Tests;

/// <summary>Files of the repository that tests read.</summary>
internal static class Repository
{
    private static string Root([CallerFilePath] string here = "") => System.IO.Path.GetFullPath(System.IO.Path.Combine(System.IO.Path.GetDirectoryName(here)!, "..", ".."));

    /// <summary>A path within the repository.</summary>
    public static string Path(params string[] parts) => System.IO.Path.Combine([Root(), .. parts]);

    /// <summary>A folder beside the repository or further up; null where there is none.</summary>
    public static string? Above(params string[] parts)
    {
        for (var folder = new DirectoryInfo(Root()); folder is not null; folder = folder.Parent)
            if (System.IO.Path.Combine([folder.FullName, .. parts]) is var found && Directory.Exists(found)) return found;
        return null;
    }
}
