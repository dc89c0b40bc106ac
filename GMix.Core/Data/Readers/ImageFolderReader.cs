namespace GMix.Data;

/// <summary>
/// A user's own images: one folder per class with PNG or JPEG files (also nested), either directly in the folder or below <c>train</c> and one
/// of <c>test</c>, <c>val</c> or <c>validation</c>. Classes are the folder names in ordinal order.
/// Without a test part, a seeded class-balanced share of every class becomes the test split. Files and folders whose names start with a dot,
/// and files of other types, are ignored; linked folders are not followed.
/// </summary>
public static class ImageFolderReader
{
    private static readonly string[] TestNames = ["test", "val", "validation"];

    /// <summary>Reads both splits: uint8 [N, 3, H, W], labels by class.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="options">Size to crop and resize to, and the split's share and seed.</param>
    /// <exception cref="GMixInputException">No such folder, no class folders, a class without images, or images of different sizes and no size given.</exception>
    public static (ImageSet Train, ImageSet Test) Read(string path, OpenOptions options)
    {
        if (options.Size is < 1 or > 4096)
        {
            throw new GMixInputException($"image size {options.Size} is outside 1 to 4096");
        }
        if (!(options.TestShare is > 0 and < 1))
        {
            throw new GMixInputException(FormattableString.Invariant($"test share {options.TestShare} is not between 0 and 1"));
        }
        DiskFolder folder = Open(path);
        string? test = TestNames.FirstOrDefault(n => Directory.Exists(Path.Combine(path, n)));
        bool divided = test is not null && Directory.Exists(Path.Combine(path, "train"));
        string trainRoot = divided ? "train/" : "";
        string[] classes = Classes(path, trainRoot);
        Part train = List(folder, trainRoot, classes), held;
        if (divided)
        {
            string[] testClasses = Classes(path, test + "/");
            if (testClasses.Except(classes, StringComparer.Ordinal).FirstOrDefault() is { } odd)
            {
                throw new GMixInputException($"{Path.Combine(path, test!, odd)}: class {odd} has no folder in {Path.Combine(path, "train")}");
            }
            held = List(folder, test + "/", classes, allowEmpty: true);
            if (held.Files.Count == 0)
            {
                throw new GMixInputException($"{Path.Combine(path, test!)}: no PNG or JPEG images");
            }
        }
        else
        {
            (train, held) = Divide(path, train, classes, options);
        }
        (int width, int height) = options.Size is { } size ? (size, size) : FirstSize(folder, train.Files[0]);
        bool resize = options.Size is not null;
        string advice = $" as the first image {train.Files[0]}; give a size (--size N) to centre-crop and resize all images";
        string scratch = options.CacheDirectory ?? DecodedCache.DefaultDirectory;
        return (EncodedImages.Decode(folder, train.Files, [.. train.Labels], "folder train", classes, height, width, resize, advice, scratch),
                EncodedImages.Decode(folder, held.Files, [.. held.Labels], "folder test", classes, height, width, resize, advice, scratch));
    }

    /// <summary>The folder as a source of the decoded cache.</summary>
    internal static DiskFolder Open(string path) => Directory.Exists(path)
        ? new DiskFolder(path)
        : throw new GMixInputException($"no image folder {path}: give --data a folder that holds one folder of PNG or JPEG images per class");

    private sealed record Part(List<string> Files, List<int> Labels);

    private static string[] Classes(string path, string root)
    {
        string[] names = new DirectoryInfo(Path.Combine(path, root)).GetDirectories()
            .Select(d => d.Name).Where(n => !n.StartsWith('.')).ToArray();
        Array.Sort(names, string.CompareOrdinal);
        return names.Length >= 2 ? names
            : throw new GMixInputException($"{Path.Combine(path, root)}: {names.Length} class folders; put the images of each class, at least two, into a folder of their own");
    }

    private static Part List(DiskFolder folder, string root, string[] classes, bool allowEmpty = false)
    {
        Part part = new([], []);
        for (int k = 0; k < classes.Length; k++)
        {
            string[] images = folder.Files(root + classes[k]).Where(f => ImageCodec.IsImageName(f) && !Path.GetFileName(f).StartsWith('.')).ToArray();
            if (images.Length == 0 && !allowEmpty)
            {
                throw new GMixInputException($"{folder.Describe(root + classes[k])}: the class folder holds no PNG or JPEG images");
            }
            part.Files.AddRange(images);
            part.Labels.AddRange(Enumerable.Repeat(k, images.Length));
        }
        return part;
    }

    private static (Part Train, Part Test) Divide(string path, Part all, string[] classes, OpenOptions options)
    {
        Part train = new([], []), test = new([], []);
        for (int k = 0; k < classes.Length; k++)
        {
            int[] members = Enumerable.Range(0, all.Files.Count).Where(i => all.Labels[i] == k).ToArray();
            if (members.Length < 2)
            {
                throw new GMixInputException($"{Path.Combine(path, classes[k])}: one image cannot be split into train and test; add images, or make train and test folders");
            }
            int held = Math.Clamp((int)Math.Round(options.TestShare * members.Length), 1, members.Length - 1);
            new SplitMix64(SplitMix64.Mix(options.SplitSeed, (ulong)k)).Shuffle(members);
            // Back in name order: the split is random, the order within it need not be.
            Array.Sort(members, 0, held);
            Array.Sort(members, held, members.Length - held);
            for (int i = 0; i < members.Length; i++)
            {
                Part part = i < held ? test : train;
                part.Files.Add(all.Files[members[i]]);
                part.Labels.Add(k);
            }
        }
        return (train, test);
    }

    private static (int Width, int Height) FirstSize(DiskFolder folder, string file) =>
        ImageCodec.Size(folder.ReadAll(file, EncodedImages.MaxFile), folder.Describe(file));
}
