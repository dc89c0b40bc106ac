using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class ImageSetTests
{
    private static ImageSet Set(params int[] labels) => new("set", [.. Enumerable.Range(0, labels.Length).SelectMany(i => new byte[] { (byte)i, (byte)(i + 1) })],
        labels.Length, 1, 1, 2, labels, ["a", "b", "c"]);

    [Fact]
    public void Limit_is_balanced_ordered_seeded_and_spreads_what_small_classes_lack()
    {
        ImageSet set = Set([.. Enumerable.Range(0, 90).Select(i => i % 3)]);
        ImageSet part = set.Limit(31, 4);
        Assert.Equal([10, 10, 11], part.ClassCounts().Order());
        int[] places = [.. Enumerable.Range(0, part.Count).Select(i => (int)part.Image(i)[0])];
        Assert.Equal(places.Order(), places);
        Assert.Equal(places.Select(i => i % 3), part.Labels);
        Assert.True(TestData.SameImages(part, set.Limit(31, 4)));
        Assert.False(TestData.SameImages(part, set.Limit(31, 5)));
        Assert.Same(set, set.Limit(0, 4));
        Assert.Same(set, set.Limit(90, 4));

        ImageSet odd = Set([0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
        Assert.Equal([1, 4, 4], odd.Limit(9, 1).ClassCounts());
    }

    [Fact]
    public void Limits_that_cannot_be_balanced_are_the_users_errors()
    {
        Assert.Contains("negative", Assert.Throws<GMixInputException>(() => Set(0, 1, 2, 0).Limit(-1, 0)).Message);
        Assert.Contains("3 classes", Assert.Throws<GMixInputException>(() => Set(0, 1, 2, 0).Limit(2, 0)).Message);
    }

    [Fact]
    public void Lengths_and_labels_are_checked()
    {
        Assert.Throws<ArgumentException>(() => new ImageSet("x", new byte[5], 1, 1, 2, 2, [0], ["a"]));
        Assert.Throws<ArgumentException>(() => new ImageSet("x", new byte[4], 1, 1, 2, 2, [1], ["a"]));
        Assert.Throws<ArgumentException>(() => new ImageSet("x", new byte[4], 1, 1, 2, 2, [0, 0], ["a"]));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = Set(0, 1, 2).Image(3).Length);
    }

    [Fact]
    public void Normalisation_is_exact()
    {
        // Sizes that leave a rest after whole vectors, and bytes at the extremes.
        SplitMix64 random = new(9);
        byte[] pixels = [.. Enumerable.Range(0, 7 * 3 * 13 * 11).Select(i => i % 3 == 0 ? (byte)255 : (byte)random.Below(256))];
        Normalization actual = Normalization.Compute(new ImageSet("x", pixels, 7, 3, 13, 11, new int[7], ["a"]));
        for (int c = 0; c < 3; c++)
        {
            double[] values = [.. Enumerable.Range(0, pixels.Length).Where(i => i / 143 % 3 == c).Select(i => pixels[i] / 255.0)];
            double mean = values.Average();
            Assert.Equal(mean, actual.Mean[c], 1e-12);
            Assert.Equal(Math.Sqrt(values.Average(v => (v - mean) * (v - mean))), actual.Std[c], 1e-12);
        }
        // Many equal bright pixels: sums in narrow lanes would overflow.
        byte[] white = new byte[3 * 1000 * 1000];
        white.AsSpan().Fill(255);
        Normalization flat = Normalization.Compute(new ImageSet("x", white, 1, 3, 1000, 1000, [0], ["a"]));
        Assert.Equal([1, 1, 1], flat.Mean);
        Assert.Equal([1 / 255.0, 1 / 255.0, 1 / 255.0], flat.Std);
    }

    [Fact]
    public void The_registry_knows_its_names_and_says_so()
    {
        Assert.Equal(["svhn", "cifar10", "cifar100", "stl10", "tiny-imagenet", "synthetic", "folder"], Datasets.All.Select(d => d.Name));
        string message = Assert.Throws<GMixInputException>(() => Datasets.Get("mnist")).Message;
        Assert.Contains("'mnist'", message);
        Assert.Contains("tiny-imagenet", message);
        Assert.Equal((0, false), (Datasets.Get("svhn").Augmentation.Pad, Datasets.Get("svhn").Augmentation.Flip));
    }

    [Fact]
    public void Missing_data_says_what_to_put_where()
    {
        using TempFolder temp = new();
        foreach (DatasetInfo info in Datasets.All.Where(d => d.Files.Count > 0))
        {
            string message = Assert.Throws<GMixInputException>(() => Datasets.Open(info.Name, temp.Path, temp.Options)).Message;
            Assert.Contains(info.Files[0].Url, message);
            Assert.Contains(temp.Path, message);
            Assert.Contains($"gmix data get {info.Name}", message);
            Assert.DoesNotContain('\n', message);
        }
        Assert.Contains("no image folder", Assert.Throws<GMixInputException>(() => Datasets.Open("folder", temp.At("none"), temp.Options)).Message);
    }

    [Theory]
    [InlineData("cifar10")]
    [InlineData("cifar100")]
    [InlineData("svhn")]
    [InlineData("stl10")]
    [InlineData("tiny-imagenet")]
    public void Made_sets_open_from_their_folder_or_inside_it(string name)
    {
        using TempFolder temp = TestData.Made(name, 1 + (name == "cifar10" ? 4 : 0), 1);
        DatasetInfo info = Datasets.Get(name);
        DatasetSplits data = Datasets.Open(name, temp.Path, temp.Options);
        Assert.Equal("synthetic", data.Source.Kind);
        Assert.Equal((info.ClassCount, 3, info.Height, info.Width), (data.Train.ClassCount, data.Train.Channels, data.Train.Height, data.Train.Width));
        Assert.All(data.Test.ClassCounts(), n => Assert.Equal(1, n));
        Assert.True(TestData.SameImages(data.Train, Datasets.Open(name, temp.At(info.Folder), temp.Options).Train));
        File.Delete(temp.At(info.Folder, OfficialFormats.SyntheticMarker));
        DatasetSplits unmarked = Datasets.Open(name, temp.Path, temp.Options);
        Assert.Equal("subset", unmarked.Source.Kind);
        Assert.Equal(info.Published, unmarked.Normalization);
        Normalization legacy = Datasets.Open(name, temp.Path, temp.Options with { LegacyNormalization = true }).Normalization;
        Assert.Equal(info.Legacy ?? info.Published, legacy);
    }
}
