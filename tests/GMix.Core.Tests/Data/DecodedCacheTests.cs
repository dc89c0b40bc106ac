using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class DecodedCacheTests
{
    [Fact]
    public void The_cache_is_used_once_written_and_rebuilt_when_stale_or_damaged()
    {
        using TempFolder temp = new();
        File.WriteAllText(temp.At("source"), "one");
        DiskFolder folder = new(Directory.CreateDirectory(temp.At("data")).FullName);
        File.WriteAllText(temp.At("data", "a"), "one");
        int built = 0;
        (ImageSet Train, ImageSet Test, string Note) Open() => DecodedCache.GetOrBuild(temp.At("cache"), "test", folder, () =>
        {
            built++;
            (ImageSet train, ImageSet test) = SyntheticImages.Generate(20, 10, 3);
            return (train, test, "a note");
        });

        (ImageSet first, ImageSet firstTest, _) = Open();
        (ImageSet second, ImageSet secondTest, string note) = Open();
        Assert.Equal("a note", note);
        Assert.Equal(1, built);
        Assert.True(TestData.SameImages(first, second) && TestData.SameImages(firstTest, secondTest));
        Assert.Equal(first.Name, second.Name);
        Assert.Equal(first.ClassNames, second.ClassNames);

        // Every single byte of the header's region, and a sample of the pixels', matters.
        string file = Directory.GetFiles(temp.At("cache"), "*-train.pix").Single();
        byte[] good = File.ReadAllBytes(file);
        int metadata = BitConverter.ToInt32(good, 12);
        int expected = 1;
        foreach (int at in new[] { 0, 8, 12, 16, 24, 40, 32 + metadata - 1, 4096, 4096 + 3072 * 7 + 5, good.Length - 1 })
        {
            byte[] bad = [.. good];
            bad[at] ^= 0x40;
            File.WriteAllBytes(file, bad);
            (ImageSet again, _, _) = Open();
            Assert.Equal(++expected, built);
            Assert.True(TestData.SameImages(first, again));
        }
        foreach (int length in new[] { 0, 7, 31, 40, 4000, 4096, good.Length - 1, good.Length + 1 })
        {
            byte[] bad = new byte[length];
            good.AsSpan(0, Math.Min(length, good.Length)).CopyTo(bad);
            File.WriteAllBytes(file, bad);
            Open();
            Assert.Equal(++expected, built);
        }
        Open();
        Assert.Equal(expected, built);

        // A source that changed in size, in time alone, or by a new file.
        File.WriteAllText(temp.At("data", "a"), "three");
        Open();
        Assert.Equal(++expected, built);
        File.SetLastWriteTimeUtc(temp.At("data", "a"), new DateTime(2020, 1, 1));
        Open();
        Assert.Equal(++expected, built);
        File.WriteAllText(temp.At("data", "b"), "");
        Open();
        Assert.Equal(++expected, built);
        Assert.Equal(2, Directory.GetFiles(temp.At("cache")).Length);
    }

    [Fact]
    public void A_cache_that_cannot_be_written_does_not_stop_anyone()
    {
        using TempFolder temp = new();
        File.WriteAllText(temp.At("file"), "a file where the cache folder should be");
        (ImageSet made, _) = SyntheticImages.Generate(10, 10, 3);
        (ImageSet train, _, _) = DecodedCache.GetOrBuild(temp.At("file"), "test", new DiskFolder(temp.Path), () => (made, made, ""));
        Assert.Equal(10, train.Count);
    }

    [Fact]
    public void Sets_too_large_for_an_array_are_decoded_into_a_file_without_a_name()
    {
        using TempFolder temp = new();
        (ImageSet made, _) = SyntheticImages.Generate(10, 10, 3);
        ImageSet Large()
        {
            PixelBuffer pixels = PixelBuffer.AllocateScratch(made.Pixels.Length, temp.At("cache"), arrayLimit: 100);
            Assert.True(pixels.IsMapped);
            made.Pixels.AsSpan(0, (int)made.Pixels.Length).CopyTo(pixels.Writable(0, (int)pixels.Length));
            return new ImageSet("large", pixels, 10, 3, 32, 32, made.Labels, made.ClassNames);
        }

        ImageSet built = Large();
        Assert.Empty(Directory.GetFiles(temp.At("cache")));
        (ImageSet train, ImageSet test, _) = DecodedCache.GetOrBuild(temp.At("cache"), "test", new DiskFolder(temp.Path), () => (built, Large(), ""));
        Assert.NotSame(built, train);
        Assert.True(TestData.SameImages(made, train) && TestData.SameImages(made, test));
        Assert.Throws<ObjectDisposedException>(() => built.Image(0).Length);
        Assert.Equal(2, Directory.GetFiles(temp.At("cache")).Length);
    }

    [Fact]
    public void A_cached_archive_is_not_read_again()
    {
        using TempFolder temp = TestData.Made("cifar10", 5, 1);
        Directory.CreateDirectory(temp.At("only"));
        string archive = temp.At("only", "cifar-10-binary.tar.gz");
        Archives.TarFolder(temp.At("cifar-10-batches-bin"), archive);
        ImageSet first = Datasets.Open("cifar10", archive, temp.Options).Train;
        // Other bytes under the same size and time: were they read, opening would fail.
        DateTime time = File.GetLastWriteTimeUtc(archive);
        File.WriteAllBytes(archive, new byte[new FileInfo(archive).Length]);
        File.SetLastWriteTimeUtc(archive, time);
        DatasetSplits again = Datasets.Open("cifar10", archive, temp.Options);
        Assert.True(TestData.SameImages(first, again.Train));
        Assert.Equal("synthetic", again.Source.Kind);
    }

    [Fact]
    public void Random_damage_never_does_more_than_a_rebuild()
    {
        using TempFolder temp = new();
        (ImageSet train, _) = SyntheticImages.Generate(10, 10, 3);
        byte[] source = new byte[32];
        DecodedCache.Save(temp.At("a.pix"), source, train, "");
        byte[] good = File.ReadAllBytes(temp.At("a.pix"));
        Fuzz.Run("cache", good, bytes =>
        {
            File.WriteAllBytes(temp.At("b.pix"), bytes);
            if (DecodedCache.TryLoad(temp.At("b.pix"), source) is var (loaded, _))
            {
                // Padding between header and pixels is the only part that may change unnoticed.
                Assert.True(TestData.SameImages(train, loaded));
                loaded.Pixels.Dispose();
            }
        });
    }
}
