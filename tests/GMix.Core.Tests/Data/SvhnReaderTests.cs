using System.Buffers.Binary;
using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class SvhnReaderTests
{
    private static MatVariable X(int n) => new("X", 9, [32, 32, 3, n], 2, [.. Enumerable.Range(0, 3072 * n).Select(i => (byte)(i * 7 + i / 251))]);

    private static MemoryFolder Write(params MatVariable[] variables)
    {
        using TempFolder temp = new();
        MatFile5Writer.Write(temp.At("a.mat"), variables);
        byte[] bytes = File.ReadAllBytes(temp.At("a.mat"));
        return new MemoryFolder([new("train_32x32.mat", bytes), new("test_32x32.mat", bytes)]);
    }

    [Fact]
    public void Pixels_are_column_major_and_label_ten_is_zero()
    {
        MatVariable x = X(4);
        (ImageSet train, ImageSet test) = SvhnReader.Read(Write(x, new MatVariable("y", 6, [4, 1], 2, [1, 10, 9, 2])));
        Assert.Equal([1, 0, 9, 2], train.Labels);
        for (int i = 0; i < 4; i++)
        {
            for (int h = 0; h < 3; h++)
            {
                Assert.Equal(x.Data[5 + 32 * 9 + 1024 * h + 3072 * i], train.Image(i)[1024 * h + 32 * 5 + 9]);
            }
        }
        Assert.True(TestData.SameImages(train, test));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 4)]
    [InlineData(7, 4)]
    [InlineData(9, 8)]
    public void Labels_may_be_stored_in_any_numeric_type(int type, int width)
    {
        byte[] data = new byte[2 * width];
        for (int i = 0; i < 2; i++)
        {
            Span<byte> at = data.AsSpan(i * width);
            double label = i == 0 ? 10 : 3;
            switch (type)
            {
                case 7:
                    BinaryPrimitives.WriteSingleLittleEndian(at, (float)label);
                    break;
                case 9:
                    BinaryPrimitives.WriteDoubleLittleEndian(at, label);
                    break;
                default:
                    at[0] = (byte)label;
                    break;
            }
        }
        (ImageSet train, _) = SvhnReader.Read(Write(new MatVariable("meta", 6, [1, 1], 2, [1]), X(2), new MatVariable("y", 6, [2, 1], type, data)));
        Assert.Equal([0, 3], train.Labels);
    }

    [Fact]
    public void Plain_elements_read_like_compressed_ones()
    {
        // An uncompressed file by hand: header, then two type-14 elements, the second with a small-form name and payload.
        MemoryStream file = new();
        byte[] header = new byte[128];
        header[124] = 0;
        header[125] = 1;
        "IM"u8.CopyTo(header.AsSpan(126));
        file.Write(header);
        void Tag(Stream s, uint a, int b)
        {
            Span<byte> tag = stackalloc byte[8];
            BinaryPrimitives.WriteUInt32LittleEndian(tag, a);
            BinaryPrimitives.WriteInt32LittleEndian(tag[4..], b);
            s.Write(tag);
        }

        void Matrix(byte cls, int[] dims, string name, byte[] data)
        {
            MemoryStream m = new();
            Tag(m, 6, 8);
            m.Write([cls, 0, 0, 0, 0, 0, 0, 0]);
            Tag(m, 5, 4 * dims.Length);
            m.Write(dims.SelectMany(BitConverter.GetBytes).ToArray());
            m.Write(new byte[dims.Length % 2 * 4]);
            Tag(m, 1 | 1 << 16, name[0]);
            if (data.Length <= 4)
            {
                Tag(m, 2 | (uint)data.Length << 16, BitConverter.ToInt32([.. data, .. new byte[4 - data.Length]]));
            }
            else
            {
                Tag(m, 2, data.Length);
                m.Write(data);
                m.Write(new byte[(8 - data.Length % 8) % 8]);
            }
            Tag(file, 14, (int)m.Length);
            m.WriteTo(file);
        }

        MatVariable x = X(2);
        Matrix(9, [32, 32, 3, 2], "X", x.Data);
        Matrix(9, [2, 1], "y", [4, 10]);
        MemoryFolder folder = new([new("train_32x32.mat", file.ToArray()), new("test_32x32.mat", file.ToArray())]);
        (ImageSet train, _) = SvhnReader.Read(folder);
        Assert.Equal([4, 0], train.Labels);
        Assert.Equal(x.Data[3072 + 1024 + 32 * 2 + 1], train.Image(1)[1024 + 32 * 1 + 2]);
    }

    [Fact]
    public void Bad_labels_and_shapes_are_errors_that_name_the_file()
    {
        foreach ((MemoryFolder folder, string text) in new[]
        {
            (Write(X(2), new MatVariable("y", 6, [2, 1], 2, [1, 11])), "label 11"),
            (Write(X(2), new MatVariable("y", 6, [2, 1], 2, [0, 1])), "label 0"),
            (Write(X(2), new MatVariable("y", 6, [3, 1], 2, [1, 1, 1])), "3 labels for 2 images"),
            (Write(X(2)), "y is missing"),
            (Write(new MatVariable("X", 9, [32, 32, 2, 1], 2, new byte[2048]), new MatVariable("y", 6, [1, 1], 2, [1])), "32x32x2x1"),
            (Write(new MatVariable("X", 9, [32, 32, 3, 0], 2, []), new MatVariable("y", 6, [0, 1], 2, [])), "no images"),
        })
        {
            DataFormatException error = Assert.Throws<DataFormatException>(() => SvhnReader.Read(folder));
            Assert.Equal("memory/train_32x32.mat", error.File);
            Assert.Contains(text, error.Message);
        }
    }

    [Fact]
    public void A_wrong_checksum_at_the_end_of_a_compressed_element_is_found()
    {
        MemoryFolder folder = Write(X(2), new MatVariable("y", 6, [2, 1], 2, [1, 2]));
        byte[] bytes = [.. folder.Contents["train_32x32.mat"]];
        // The last four bytes of the file are the Adler-32 sum of y.
        bytes[^1] ^= 1;
        DataFormatException error = Assert.Throws<DataFormatException>(() => SvhnReader.Read(folder.With("train_32x32.mat", bytes)));
        Assert.True(error.Offset > 128);
    }

    [Fact]
    public void Real_svhn_reads_and_agrees_with_its_description()
    {
        string archive = TestData.Sample("svhn-sample.tar.gz");
        using TempFolder temp = new();
        DatasetSplits data = Datasets.Open("svhn", archive, temp.Options);
        Assert.Equal((400, 200), (data.Train.Count, data.Test.Count));
        Assert.All(data.Train.ClassCounts(), n => Assert.Equal(40, n));
        CifarReaderTests.AssertNormalization([0.4568, 0.4570, 0.4774], [0.2017, 0.2087, 0.2110], Normalization.Compute(data.Train));
        ImageSet extra = SvhnReader.ReadExtra(new ArchiveFolder(archive, "svhn", SvhnReader.Wanted));
        Assert.Equal(320, extra.Count);
    }
}
