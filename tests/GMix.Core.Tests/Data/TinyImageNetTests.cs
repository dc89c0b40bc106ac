using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class TinyImageNetTests
{
    [Fact]
    public void Classes_are_ranks_of_wnids_and_grey_images_get_three_planes()
    {
        MemoryFolder folder = TestData.MadeInMemory("tiny-imagenet", 1, 1);
        string[] wnids = System.Text.Encoding.ASCII.GetString(folder.Contents["wnids.txt"]).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.NotEqual(wnids.Order(StringComparer.Ordinal), wnids);
        (ImageSet train, ImageSet val) = TinyImageNetReader.Read(folder);
        Assert.Equal((200, 200, 64, 64), (train.Count, val.Count, train.Height, train.Width));
        Assert.Equal(Enumerable.Range(0, 200), train.Labels);
        Assert.Equal("thing_007", train.ClassNames[7]);

        // Each image against its own file, decoded alone.
        string[] sorted = [.. wnids.Order(StringComparer.Ordinal)];
        byte[] planes = new byte[3 * 64 * 64];
        int grey = 0;
        for (int i = 0; i < 200; i++)
        {
            ImageCodec.Decode(folder.Contents[$"train/{sorted[i]}/images/{sorted[i]}_0.JPEG"], planes, 64, 64, "x");
            Assert.True(train.Image(i).SequenceEqual(planes));
            grey += planes.AsSpan(0, 4096).SequenceEqual(planes.AsSpan(4096, 4096)) && planes.AsSpan(0, 4096).SequenceEqual(planes.AsSpan(8192)) ? 1 : 0;
        }
        Assert.Equal(4, grey);
        string[] lines = System.Text.Encoding.ASCII.GetString(folder.Contents["val/val_annotations.txt"]).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(lines.Select(l => Array.IndexOf(sorted, l.Split('\t')[1])), val.Labels);
    }

    [Fact]
    public void Broken_pieces_are_named()
    {
        MemoryFolder folder = TestData.MadeInMemory("tiny-imagenet", 1, 1);
        string image = folder.Contents.Keys.First(k => k.StartsWith("train/n90000037/images/", StringComparison.Ordinal));
        void Fails(MemoryFolder broken, string file, string text)
        {
            DataFormatException error = Assert.Throws<DataFormatException>(() => TinyImageNetReader.Read(broken));
            Assert.StartsWith("memory/" + file, error.Message);
            Assert.Contains(text, error.Message);
        }

        Fails(folder.Without(image), "train/n90000037/images", "no JPEG");
        Fails(folder.With(image, folder.Contents[image][..400]), image, "JPEG");
        Fails(folder.With(image, ImageCodec.EncodeJpeg(new byte[3 * 32 * 64], 3, 32, 64)), image, "32x64, not 64x64");
        Fails(folder.Without("val/images/val_3.JPEG"), "val/images/val_3.JPEG", "missing");
        Fails(folder.Without("wnids.txt"), "wnids.txt", "missing");
        Fails(folder.Without("val/val_annotations.txt"), "val/val_annotations.txt", "missing");
        Fails(folder.With("wnids.txt", "n1\nn2\n"u8.ToArray()), "wnids.txt", "2 classes");
        byte[] hostile = [.. "val_0.JPEG\tn90000000\t0\t0\t63\t63\n"u8, .. "../../../etc/passwd\tn90000000\t0\t0\t63\t63\n"u8];
        Fails(folder.With("val/val_annotations.txt", hostile), "val/val_annotations.txt", "line 2");
        Fails(folder.With("val/val_annotations.txt", "val_0.JPEG\tn00000001\t0\n"u8.ToArray()), "val/val_annotations.txt", "wnids");
    }

    [Fact]
    public void Real_tiny_imagenet_reads_from_the_archive_and_the_cache_follows_its_source()
    {
        string archive = TestData.Sample("tiny-imagenet-sample.tar.gz");
        using TempFolder temp = new();
        string copy = temp.At("tiny.tar.gz");
        File.Copy(archive, copy);
        DatasetSplits data = Datasets.Open("tiny-imagenet", temp.Path, temp.Options);
        Assert.Equal((5000, 1000, "subset"), (data.Train.Count, data.Test.Count, data.Source.Kind));
        Assert.All(data.Train.ClassCounts(), n => Assert.Equal(25, n));
        Assert.Equal("goldfish", data.Train.ClassNames[0]);
        // The published figures come from another decoder; JPEG's rounding allows a few parts in ten thousand.
        Assert.True(Normalization.Compute(data.Train).Distance(new([0.4798, 0.4486, 0.3964], [0.2767, 0.2690, 0.2818])) < 5e-4);
        int grey = Enumerable.Range(0, data.Train.Count).Count(i => Grey(data.Train.Image(i))) + Enumerable.Range(0, data.Test.Count).Count(i => Grey(data.Test.Image(i)));
        Assert.InRange(grey, 80, 133);
    }

    private static bool Grey(ReadOnlySpan<byte> image) => image[..4096].SequenceEqual(image.Slice(4096, 4096)) && image[..4096].SequenceEqual(image[8192..]);
}
