namespace GMix.Data;

/// <summary>A file of a data set's official distribution.</summary>
/// <param name="Name">File name.</param>
/// <param name="Url">Where its makers publish it.</param>
/// <param name="Bytes">Exact size.</param>
/// <param name="Md5">MD5 in lower-case hexadecimal.</param>
/// <param name="Needed">False for parts that GMix does not train on by default.</param>
public sealed record OfficialFile(string Name, string Url, long Bytes, string Md5, bool Needed = true);

/// <summary>The standard augmentation of a data set: random crop after padding, and horizontal flip with probability 1/2.</summary>
/// <param name="Pad">Pixels padded on every side before the random crop; 0 for no crop.</param>
/// <param name="Flip">Whether mirror images keep their class.</param>
public sealed record DefaultAugmentation(int Pad, bool Flip);

/// <summary>What the registry knows about a data set without opening it.</summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Title">Name in reports.</param>
/// <param name="ClassCount">Classes; 0 where only the data tells.</param>
/// <param name="Channels">Planes per image.</param>
/// <param name="Height">Rows; 0 where only the data tells.</param>
/// <param name="Width">Columns; 0 where only the data tells.</param>
/// <param name="TrainCount">Official number of training images; 0 where only the data tells.</param>
/// <param name="TestCount">Official number of test images; 0 where only the data tells.</param>
/// <param name="Folder">Folder of the extracted official distribution; empty where there is none.</param>
/// <param name="Files">Files to download; empty where there are none.</param>
/// <param name="Published">Published normalisation (of the training part); null where it is computed from the data.</param>
/// <param name="Legacy">The widespread triple whose deviations are averages of per-image deviations, about 20 % too small; null where none circulates.</param>
/// <param name="Augmentation">The standard augmentation.</param>
public sealed record DatasetInfo(
    string Name, string Title, int ClassCount, int Channels, int Height, int Width, int TrainCount, int TestCount,
    string Folder, IReadOnlyList<OfficialFile> Files, Normalization? Published, Normalization? Legacy, DefaultAugmentation Augmentation);

/// <summary>Where data came from.</summary>
/// <param name="Kind"><c>official</c> (record counts of the official distribution), <c>subset</c> (fewer records), <c>synthetic</c>, or <c>own</c> (a user's folder).</param>
/// <param name="Path">The folder or archive that was read; empty for generated data.</param>
/// <param name="Description">One line for the report, with notes such as a normalisation that does not match the published one.</param>
public sealed record DataSource(string Kind, string Path, string Description);

/// <summary>A data set ready for training.</summary>
/// <param name="Train">The training split.</param>
/// <param name="Test">The test split.</param>
/// <param name="Normalization">What to normalise both with.</param>
/// <param name="Source">Where it came from.</param>
public sealed record DatasetSplits(ImageSet Train, ImageSet Test, Normalization Normalization, DataSource Source);

/// <summary>Choices when opening a data set; the defaults are the field's.</summary>
public sealed record OpenOptions
{
    /// <summary>For image folders: centre-crop and resize every image to Size×Size; null keeps the images' own common size.</summary>
    public int? Size { get; init; }

    /// <summary>For image folders without a test part: seed of the class-balanced split.</summary>
    public ulong SplitSeed { get; init; }

    /// <summary>For image folders without a test part: share of every class that becomes the test part, in (0, 1).</summary>
    public double TestShare { get; init; } = 0.2;

    /// <summary>Use the legacy normalisation triple where one circulates (CIFAR-10, STL-10, Tiny-ImageNet).</summary>
    public bool LegacyNormalization { get; init; }

    /// <summary>For CIFAR-100: the 20 coarse labels in place of the 100 fine ones.</summary>
    public bool CoarseLabels { get; init; }

    /// <summary>Where decoded images are cached; null means <c>decoded</c> below the default data folder.</summary>
    public string? CacheDirectory { get; init; }
}
