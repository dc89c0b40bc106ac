using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class Stl10ReaderTests
{
    [Fact]
    public void Images_are_transposed_and_labels_start_at_zero()
    {
        MemoryFolder folder = TestData.MadeInMemory("stl10", 2, 1);
        (ImageSet train, ImageSet test) = Stl10Reader.Read(folder);
        Assert.Equal((20, 10, 96, 96), (train.Count, test.Count, train.Height, train.Width));
        byte[] raw = folder.Contents["train_X.bin"];
        Assert.Equal(raw[7 * 27648 + 2 * 9216 + 96 * 11 + 50], train.Image(7)[2 * 9216 + 96 * 50 + 11]);
        Assert.Equal(folder.Contents["train_y.bin"].Select(b => b - 1), train.Labels);
        ImageSet unlabelled = Stl10Reader.ReadUnlabelled(folder);
        Assert.Equal((10, 0), (unlabelled.Count, unlabelled.Labels.Length));
    }

    [Fact]
    public void Lengths_that_do_not_fit_and_labels_out_of_range_are_errors()
    {
        MemoryFolder folder = TestData.MadeInMemory("stl10", 2, 1);
        DataFormatException cut = Assert.Throws<DataFormatException>(() => Stl10Reader.Read(folder.With("test_X.bin", folder.Contents["test_X.bin"][..^5])));
        Assert.Equal(("memory/test_X.bin", 9 * 27648L), (cut.File, cut.Offset));
        Assert.Throws<DataFormatException>(() => Stl10Reader.Read(folder.With("test_y.bin", folder.Contents["test_y.bin"][..^1])));
        byte[] labels = [.. folder.Contents["train_y.bin"]];
        labels[4] = 0;
        Assert.Equal(4, Assert.Throws<DataFormatException>(() => Stl10Reader.Read(folder.With("train_y.bin", labels))).Offset);
        Assert.Throws<DataFormatException>(() => Stl10Reader.Read(folder.With("train_X.bin", [])));
        Assert.Throws<DataFormatException>(() => Stl10Reader.Read(folder.Without("train_y.bin")));
    }

    [Fact]
    public void Real_stl10_reads_and_agrees_with_its_description()
    {
        string archive = TestData.Sample("stl10-sample.tar.gz");
        using TempFolder temp = new();
        DatasetSplits data = Datasets.Open("stl10", archive, temp.Options);
        Assert.Equal((47, 28), (data.Train.Count, data.Test.Count));
        Assert.Equal([5, 5, 5, 5, 5, 5, 5, 5, 2, 5], data.Train.ClassCounts());
        CifarReaderTests.AssertNormalization([0.4563, 0.4432, 0.4027], [0.2588, 0.2526, 0.2675], Normalization.Compute(data.Train));
        Assert.Equal("airplane", data.Train.ClassNames[0]);
    }
}
