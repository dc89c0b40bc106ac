using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class CifarReaderTests
{
    [Fact]
    public void Cifar10_records_are_read_byte_for_byte()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar10", 5, 3);
        (ImageSet train, ImageSet test) = Cifar10Reader.Read(folder);
        Assert.Equal((50, 30, 3, 32, 32), (train.Count, test.Count, train.Channels, train.Height, train.Width));
        // Record 3 of batch 2 is image 13.
        byte[] batch = folder.Contents["data_batch_2.bin"];
        Assert.Equal(batch[3 * 3073], train.Labels[13]);
        Assert.True(train.Image(13).SequenceEqual(batch.AsSpan(3 * 3073 + 1, 3072)));
        Assert.All(train.ClassCounts(), n => Assert.Equal(5, n));
        Assert.Equal("crescent", train.ClassNames[7]);
    }

    [Fact]
    public void Cifar10_names_are_standard_where_the_list_is_absent()
    {
        (ImageSet train, _) = Cifar10Reader.Read(TestData.MadeInMemory("cifar10", 5, 3).Without("batches.meta.txt"));
        Assert.Equal(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"], train.ClassNames);
    }

    [Fact]
    public void Cifar100_uses_the_fine_label_and_the_coarse_one_on_request()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar100", 2, 1);
        (ImageSet fine, _) = Cifar100Reader.Read(folder);
        (ImageSet coarse, _) = Cifar100Reader.Read(folder, coarse: true);
        byte[] bytes = folder.Contents["train.bin"];
        for (int i = 0; i < fine.Count; i++)
        {
            Assert.Equal((bytes[i * 3074 + 1], bytes[i * 3074]), ((byte)fine.Labels[i], (byte)coarse.Labels[i]));
            Assert.True(fine.Image(i).SequenceEqual(bytes.AsSpan(i * 3074 + 2, 3072)));
        }
        Assert.Equal((100, 20), (fine.ClassCount, coarse.ClassCount));
    }

    [Theory]
    [InlineData("data_batch_3.bin")]
    [InlineData("test_batch.bin")]
    public void A_missing_file_is_named(string file)
    {
        DataFormatException error = Assert.Throws<DataFormatException>(() => Cifar10Reader.Read(TestData.MadeInMemory("cifar10", 5, 3).Without(file)));
        Assert.Equal("memory/" + file, error.File);
        Assert.Contains("missing", error.Message);
    }

    [Fact]
    public void A_truncated_file_is_named_with_the_byte_where_whole_records_end()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar10", 5, 3);
        DataFormatException error = Assert.Throws<DataFormatException>(() =>
            Cifar10Reader.Read(folder.With("data_batch_4.bin", folder.Contents["data_batch_4.bin"][..^1])));
        Assert.Equal(("memory/data_batch_4.bin", 9 * 3073L), (error.File, error.Offset));
        Assert.Contains("30729 bytes", error.Message);
    }

    [Fact]
    public void An_empty_file_is_an_error()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar10", 5, 3);
        Assert.Contains("empty", Assert.Throws<DataFormatException>(() => Cifar10Reader.Read(folder.With("test_batch.bin", []))).Message);
    }

    [Fact]
    public void A_label_out_of_range_is_named_with_its_byte()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar10", 5, 3);
        byte[] bytes = [.. folder.Contents["data_batch_1.bin"]];
        bytes[2 * 3073] = 10;
        DataFormatException error = Assert.Throws<DataFormatException>(() => Cifar10Reader.Read(folder.With("data_batch_1.bin", bytes)));
        Assert.Equal(2 * 3073, error.Offset);
        Assert.Contains("label 10", error.Message);

        MemoryFolder hundred = TestData.MadeInMemory("cifar100", 2, 1);
        byte[] fine = [.. hundred.Contents["test.bin"]];
        fine[5 * 3074] = 20;
        Assert.Equal(5 * 3074, Assert.Throws<DataFormatException>(() => Cifar100Reader.Read(hundred.With("test.bin", fine))).Offset);
    }

    [Fact]
    public void A_list_of_the_wrong_number_of_names_is_an_error()
    {
        MemoryFolder folder = TestData.MadeInMemory("cifar10", 5, 3);
        Assert.Contains("1 classes, not 10", Assert.Throws<DataFormatException>(() => Cifar10Reader.Read(folder.With("batches.meta.txt", "cat\n\n"u8.ToArray()))).Message);
    }

    [Fact]
    public void Real_cifar10_reads_from_the_archive_and_agrees_with_its_description()
    {
        string archive = TestData.Sample("cifar10-subset.tar.gz");
        using TempFolder temp = new();
        DatasetSplits data = Datasets.Open("cifar10", System.IO.Path.GetDirectoryName(archive), temp.Options);
        Assert.Equal((10_000, 2_000, "subset"), (data.Train.Count, data.Test.Count, data.Source.Kind));
        Assert.All(data.Train.ClassCounts(), n => Assert.Equal(1000, n));
        Assert.All(data.Test.ClassCounts(), n => Assert.Equal(200, n));
        Assert.Equal(["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"], data.Train.ClassNames);
        AssertNormalization([0.4913, 0.4824, 0.4474], [0.2482, 0.2445, 0.2625], Normalization.Compute(data.Train));
        AssertNormalization([0.4930, 0.4856, 0.4520], [0.2467, 0.2423, 0.2610], Normalization.Compute(data.Test));
        Assert.Equal([0.49139968, 0.48215841, 0.44653091], data.Normalization.Mean);

        // The second start maps the cache, and an extracted folder gives the same images.
        DatasetSplits again = Datasets.Open("cifar10", archive, temp.Options);
        Assert.True(TestData.SameImages(data.Train, again.Train) && TestData.SameImages(data.Test, again.Test));
        SafeArchive.Extract(archive, temp.Path, 1L << 30, null, TestContext.Current.CancellationToken);
        foreach (string place in new[] { temp.Path, temp.At("cifar-10-batches-bin") })
        {
            Assert.True(TestData.SameImages(data.Test, Datasets.Open("cifar10", place, temp.Options).Test));
        }
        again.Train.Pixels.Dispose();
        again.Test.Pixels.Dispose();
    }

    [Fact]
    public void Real_cifar100_reads_and_agrees_with_its_description()
    {
        string archive = TestData.Sample("cifar100-subset.tar.gz");
        using TempFolder temp = new();
        DatasetSplits data = Datasets.Open("cifar100", archive, temp.Options);
        Assert.Equal((10_000, 2_000, 100), (data.Train.Count, data.Test.Count, data.Train.ClassCount));
        Assert.All(data.Train.ClassCounts(), n => Assert.Equal(100, n));
        Assert.Equal(("apple", "worm"), (data.Train.ClassNames[0], data.Train.ClassNames[99]));
        AssertNormalization([0.5087, 0.4873, 0.4425], [0.2687, 0.2577, 0.2776], Normalization.Compute(data.Train));
        DatasetSplits coarse = Datasets.Open("cifar100", archive, temp.Options with { CoarseLabels = true });
        Assert.Equal(20, coarse.Train.ClassCount);
        Assert.All(coarse.Train.ClassCounts(), n => Assert.Equal(500, n));
        // Every fine class lies in one coarse class: apple (0) is one of fruit_and_vegetables (4).
        Assert.All(Enumerable.Range(0, data.Train.Count).Where(i => data.Train.Labels[i] == 0), i => Assert.Equal(4, coarse.Train.Labels[i]));
    }

    internal static void AssertNormalization(double[] mean, double[] std, Normalization actual)
    {
        for (int c = 0; c < 3; c++)
        {
            Assert.Equal(mean[c], actual.Mean[c], 0.00006);
            Assert.Equal(std[c], actual.Std[c], 0.00006);
        }
    }
}
