namespace GMix.Data;

/// <summary>The data sets that GMix knows by name, and how to open them.</summary>
public static class Datasets
{
    private const string Cifar = "https://www.cs.toronto.edu/~kriz/";
    private const string Svhn = "http://ufldl.stanford.edu/housenumbers/";

    /// <summary>
    /// All data sets. Sizes, sums and normalisations are those of the official distributions: CIFAR and Tiny-ImageNet normalisations computed
    /// from all training pixels, SVHN and STL-10 as public loaders give them.
    /// </summary>
    public static IReadOnlyList<DatasetInfo> All { get; } =
    [
        new("svhn", "SVHN", 10, 3, 32, 32, 73_257, 26_032, "svhn",
            [
                new("train_32x32.mat", Svhn + "train_32x32.mat", 182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
                new("test_32x32.mat", Svhn + "test_32x32.mat", 64_275_384, "eb5a983be6a315427106f1b164d9cef3"),
                new("extra_32x32.mat", Svhn + "extra_32x32.mat", 1_329_278_602, "a93ce644f1a588dc4d68dda5feec44a7", Needed: false),
            ],
            new([0.4376821, 0.4437697, 0.47280442], [0.19803012, 0.20101562, 0.19703614]), null,
            // Digits are neither mirror-symmetric nor safe to shift: neighbours of the digit are in the crop.
            new(0, false)),
        new("cifar10", "CIFAR-10", 10, 3, 32, 32, 50_000, 10_000, "cifar-10-batches-bin",
            [new("cifar-10-binary.tar.gz", Cifar + "cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530")],
            new([0.49139968, 0.48215841, 0.44653091], [0.24703223, 0.24348513, 0.26158784]),
            new([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
            new(4, true)),
        new("cifar100", "CIFAR-100", 100, 3, 32, 32, 50_000, 10_000, "cifar-100-binary",
            [new("cifar-100-binary.tar.gz", Cifar + "cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8")],
            new([0.50707516, 0.48654887, 0.44091784], [0.26733429, 0.25643846, 0.27615047]), null,
            new(4, true)),
        new("stl10", "STL-10", 10, 3, 96, 96, 5_000, 8_000, "stl10_binary",
            [new("stl10_binary.tar.gz", "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz", 2_640_397_119, "91f7769df0f17e558f3565bffb0c7dfb")],
            new([0.44671062, 0.43980984, 0.40664645], [0.26034098, 0.25657727, 0.27126738]),
            new([0.44671062, 0.43980984, 0.40664645], [0.224, 0.2215, 0.2239]),
            new(12, true)),
        new("tiny-imagenet", "Tiny-ImageNet-200", 200, 3, 64, 64, 100_000, 10_000, "tiny-imagenet-200",
            [new("tiny-imagenet-200.zip", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", 248_100_043, "90528d7ca1a48142e341f4ef8d21d0de")],
            new([0.48023694, 0.44806704, 0.39750364], [0.27643643, 0.26886328, 0.28158993]),
            new([0.4802, 0.4481, 0.3975], [0.2302, 0.2265, 0.2262]),
            new(8, true)),
        new("synthetic", "Synthetic shapes", 10, 3, 32, 32, SyntheticImages.DefaultTrain, SyntheticImages.DefaultTest, "", [], null, null, new(4, true)),
        new("folder", "Image folder", 0, 3, 0, 0, 0, 0, "", [], null, null, new(0, true)),
    ];

    /// <summary>The data set called <paramref name="name"/>.</summary>
    /// <exception cref="GMixInputException">There is none; the message lists the names.</exception>
    public static DatasetInfo Get(string name) => All.FirstOrDefault(d => d.Name == name)
        ?? throw new GMixInputException($"unknown data set '{DataFormatException.Printable(name)}'; known are {string.Join(", ", All.Select(d => d.Name))}");

    /// <summary>Opens both splits of a data set.</summary>
    /// <param name="name">A name of <see cref="All"/>.</param>
    /// <param name="dataDir">
    /// The folder that holds the extracted official folder or an archive of it, or is that folder; null for GMIX_DATA, else
    /// <c>~/.cache/gmix</c>. For <c>folder</c> the image folder itself.
    /// </param>
    /// <param name="options">Choices; null for the defaults.</param>
    /// <exception cref="GMixInputException">No such data set, no data there, or the data is damaged (<see cref="DataFormatException"/>).</exception>
    public static DatasetSplits Open(string name, string? dataDir, OpenOptions? options = null)
    {
        DatasetInfo info = Get(name);
        options ??= new OpenOptions();
        if (name == "synthetic")
        {
            (ImageSet train, ImageSet test) = SyntheticImages.Generate();
            return new DatasetSplits(train, test, Normalization.Compute(train),
                new DataSource("synthetic", "", $"shapes generated from seed {SyntheticImages.DefaultSeed}, {train.Count} train and {test.Count} test images"));
        }
        string dir = DataLocator.Resolve(dataDir);
        return name == "folder" ? OpenFolder(dir, options) : OpenOfficial(info, dir, options);
    }

    private static DatasetSplits OpenFolder(string dir, OpenOptions options)
    {
        DiskFolder folder = ImageFolderReader.Open(dir);
        string key = FormattableString.Invariant($"folder size={options.Size} share={options.TestShare} seed={options.SplitSeed}");
        (ImageSet train, ImageSet test, _) = DecodedCache.GetOrBuild(options.CacheDirectory, key, folder, () =>
        {
            (ImageSet train, ImageSet test) = ImageFolderReader.Read(dir, options);
            return (train, test, "");
        });
        return new DatasetSplits(train, test, Normalization.Compute(train), new DataSource("own", dir,
            $"{train.ClassCount} class folders, {train.Count} train and {test.Count} test images of {train.Width}x{train.Height}"));
    }

    /// <summary>Opens a set in an official format, for any description of it.</summary>
    internal static DatasetSplits OpenOfficial(DatasetInfo info, string dir, OpenOptions options)
    {
        (string marker, Func<string, long?> wanted, Func<DataFolder, (ImageSet, ImageSet)> read) = Format(info, options);
        DataFolder folder = DataLocator.Find(info, dir, marker, wanted);
        // Raw bytes in a folder are read as fast as a cache of them.
        bool raw = folder is DiskFolder && info.Name is ("cifar10" or "cifar100" or "stl10");
        string key = info.Name + (options.CoarseLabels ? " coarse" : "");
        return Finish(info, folder, raw ? Read() : DecodedCache.GetOrBuild(options.CacheDirectory, key, folder, Read), options);

        (ImageSet, ImageSet, string) Read()
        {
            (ImageSet train, ImageSet test) = read(folder);
            return (train, test, OfficialFormats.IsSynthetic(folder) ? "synthetic" : "");
        }
    }

    /// <summary>The reader of a data set: a file that every copy holds, the files wanted from an archive, and the reading.</summary>
    internal static (string Marker, Func<string, long?> Wanted, Func<DataFolder, (ImageSet Train, ImageSet Test)> Read) Format(DatasetInfo info, OpenOptions options) =>
        info.Name switch
        {
            "svhn" => (SvhnReader.Marker, SvhnReader.Wanted, SvhnReader.Read),
            "cifar10" => (Cifar10Reader.Marker, Cifar10Reader.Wanted, Cifar10Reader.Read),
            "cifar100" => (Cifar100Reader.Marker, Cifar100Reader.Wanted, f => Cifar100Reader.Read(f, options.CoarseLabels)),
            "stl10" => (Stl10Reader.Marker, Stl10Reader.Wanted, Stl10Reader.Read),
            "tiny-imagenet" => (TinyImageNetReader.Marker, TinyImageNetReader.Wanted, TinyImageNetReader.Read),
            _ => throw new ArgumentException($"{info.Name} has no official files", nameof(info)),
        };

    /// <summary>
    /// How far the computed normalisation of official data may be from the published one. CIFAR's was computed from the very same bytes; the
    /// public values of SVHN and STL-10 differ from loader to loader, and those of Tiny-ImageNet come from another JPEG decoder's pixels.
    /// </summary>
    internal static double NormalizationTolerance(DatasetInfo info) => info.Name is "cifar10" or "cifar100" ? 1e-6 : 1e-3;

    private static DatasetSplits Finish(DatasetInfo info, DataFolder folder, (ImageSet Train, ImageSet Test, string Note) sets, OpenOptions options)
    {
        (ImageSet train, ImageSet test, string kind) = sets;
        string sizes = $"{info.Title}, {train.Count} train and {test.Count} test images";
        if (kind == "synthetic")
        {
            return new DatasetSplits(train, test, Normalization.Compute(train), new DataSource("synthetic", folder.Path, sizes + ", synthetic (made by `gmix data make`)"));
        }
        bool official = train.Count == info.TrainCount && test.Count == info.TestCount;
        string note = "";
        if (official)
        {
            double distance = Normalization.Compute(train).Distance(info.Published!);
            if (distance > NormalizationTolerance(info))
            {
                note = FormattableString.Invariant($"; mean or deviation differs by {distance:g2} from the published values: not the official images");
            }
        }
        else
        {
            sizes += $" of {info.TrainCount} and {info.TestCount}";
        }
        Normalization normalization = options.LegacyNormalization && info.Legacy is { } legacy ? legacy : info.Published!;
        return new DatasetSplits(train, test, normalization, new DataSource(official ? "official" : "subset", folder.Path, sizes + note));
    }
}
