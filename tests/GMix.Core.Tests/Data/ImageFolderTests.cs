using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class ImageFolderTests
{
    private static byte[] Planes(int width, int height, int seed)
    {
        byte[] planes = new byte[3 * width * height];
        SplitMix64 random = new((ulong)seed);
        for (int i = 0; i < planes.Length; i++)
        {
            planes[i] = (byte)random.Below(256);
        }
        return planes;
    }

    private static void Fill(string folder, int count, int width = 8, int height = 6, int seed = 0)
    {
        Directory.CreateDirectory(folder);
        for (int i = 0; i < count; i++)
        {
            File.WriteAllBytes(Path.Combine(folder, $"{i:d2}.png"), ImageCodec.EncodePng(Planes(width, height, seed + i), 3, width, height));
        }
    }

    [Fact]
    public void Class_folders_are_split_evenly_by_a_seed()
    {
        using TempFolder temp = new();
        Fill(temp.At("data", "zebra"), 10, seed: 100);
        Fill(temp.At("data", "ant"), 20, seed: 200);
        File.WriteAllText(temp.At("data", "ant", "notes.txt"), "ignored");
        File.WriteAllText(temp.At("data", "ant", ".hidden.png"), "ignored");
        Directory.CreateDirectory(temp.At("data", ".git"));
        Directory.CreateSymbolicLink(temp.At("data", "ant", "loop"), temp.At("data"));
        DatasetSplits data = Datasets.Open("folder", temp.At("data"), temp.Options);
        Assert.Equal(["ant", "zebra"], data.Train.ClassNames);
        Assert.Equal([16, 8], data.Train.ClassCounts());
        Assert.Equal([4, 2], data.Test.ClassCounts());
        Assert.Equal(("own", 6, 8), (data.Source.Kind, data.Train.Height, data.Train.Width));
        // PNG is lossless: every source image is there exactly once.
        string[] wanted = [.. Enumerable.Range(100, 10).Concat(Enumerable.Range(200, 20)).Select(s => Convert.ToHexString(Planes(8, 6, s))).Order()];
        string[] found = [.. new[] { data.Train, data.Test }.SelectMany(s => Enumerable.Range(0, s.Count).Select(i => Convert.ToHexString(s.Image(i)))).Order()];
        Assert.Equal(wanted, found);
        Assert.True(TestData.SameImages(data.Test, Datasets.Open("folder", temp.At("data"), temp.Options).Test));
        Assert.False(TestData.SameImages(data.Test, Datasets.Open("folder", temp.At("data"), temp.Options with { SplitSeed = 1 }).Test));
        Assert.Equal([10, 5], Datasets.Open("folder", temp.At("data"), temp.Options with { TestShare = 0.5 }).Test.ClassCounts());
    }

    [Theory]
    [InlineData("test")]
    [InlineData("val")]
    public void Train_and_test_folders_are_used_as_they_are(string test)
    {
        using TempFolder temp = new();
        Fill(temp.At("data", "train", "a"), 3);
        Fill(temp.At("data", "train", "b"), 2);
        Fill(temp.At("data", test, "a"), 1);
        Fill(temp.At("data", test, "b"), 4);
        DatasetSplits data = Datasets.Open("folder", temp.At("data"), temp.Options);
        Assert.Equal([3, 2], data.Train.ClassCounts());
        Assert.Equal([1, 4], data.Test.ClassCounts());
    }

    [Fact]
    public void Sizes_that_differ_are_an_error_that_names_the_first_odd_file_unless_a_size_is_given()
    {
        using TempFolder temp = new();
        Fill(temp.At("data", "a"), 4);
        Fill(temp.At("data", "b"), 4);
        byte[] planes = Planes(20, 12, 1);
        File.WriteAllBytes(temp.At("data", "b", "01.png"), ImageCodec.EncodePng(planes, 3, 20, 12));
        File.WriteAllBytes(temp.At("data", "b", "05.JPG"), ImageCodec.EncodeJpeg(Planes(9, 6, 2), 3, 9, 6));
        DataFormatException error = Assert.Throws<DataFormatException>(() => Datasets.Open("folder", temp.At("data"), temp.Options with { TestShare = 0.01 }));
        Assert.EndsWith("01.png", error.File);
        Assert.Contains("20x12, not 8x6", error.Message);
        Assert.Contains("--size", error.Message);
        DatasetSplits data = Datasets.Open("folder", temp.At("data"), temp.Options with { Size = 5 });
        Assert.Equal((5, 5), (data.Train.Height, data.Train.Width));
    }

    [Fact]
    public void Layouts_that_make_no_sense_are_the_users_errors()
    {
        using TempFolder temp = new();
        void Fails(string text, OpenOptions? options = null) =>
            Assert.Contains(text, Assert.ThrowsAny<GMixInputException>(() => Datasets.Open("folder", temp.At("data"), options ?? temp.Options)).Message);

        Directory.CreateDirectory(temp.At("data"));
        Fails("0 class folders");
        Fill(temp.At("data", "a"), 4);
        Fails("1 class folders");
        Directory.CreateDirectory(temp.At("data", "b"));
        Fails("no PNG or JPEG");
        Fill(temp.At("data", "b"), 1);
        Fails("one image cannot be split");
        Fill(temp.At("data", "b"), 3);
        Fails("test share", temp.Options with { TestShare = 1 });
        Fails("image size", temp.Options with { Size = 0 });
        File.WriteAllText(temp.At("data", "b", "00.png"), "no image at all");
        Fails("00.png");
    }

    [Fact]
    public void Resizing_keeps_flat_images_flat_and_crops_the_centre()
    {
        byte[] flat = new byte[3 * 40 * 30];
        flat.AsSpan().Fill(77);
        byte[] small = new byte[3 * 7 * 7];
        ImageResize.CropAndResize(flat, 40, 30, small, 7, 7);
        Assert.All(small, b => Assert.Equal(77, b));

        // 12x4 with bright thirds at the sides: the centred 4x4 is dark.
        byte[] sides = new byte[3 * 12 * 4];
        for (int i = 0; i < sides.Length; i++)
        {
            sides[i] = i % 12 is < 4 or >= 8 ? (byte)255 : (byte)10;
        }
        byte[] centre = new byte[3 * 4 * 4];
        ImageResize.CropAndResize(sides, 12, 4, centre, 4, 4);
        Assert.All(centre, b => Assert.Equal(10, b));

        // Halving averages with the triangle's weights: a ramp stays a ramp.
        byte[] ramp = [.. Enumerable.Range(0, 3 * 16 * 16).Select(i => (byte)(i % 16 * 10))];
        byte[] half = new byte[3 * 8 * 8];
        ImageResize.CropAndResize(ramp, 16, 16, half, 8, 8);
        Assert.Equal([25, 45, 65, 85, 105, 125], half[9..15].Select(b => (int)b));
    }
}
