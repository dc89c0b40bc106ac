using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class ImageCodecTests
{
    [Fact]
    public void Png_is_exact_and_grey_becomes_three_planes()
    {
        byte[] colour = [.. Enumerable.Range(0, 3 * 5 * 7).Select(i => (byte)(i * 37))], back = new byte[3 * 5 * 7];
        byte[] png = ImageCodec.EncodePng(colour, 3, 5, 7);
        Assert.Equal((5, 7), ImageCodec.Size(png, "x"));
        ImageCodec.Decode(png, back, 5, 7, "x");
        Assert.Equal(colour, back);
        ImageCodec.Decode(ImageCodec.EncodePng(colour.AsSpan(0, 35), 1, 5, 7), back, 5, 7, "x");
        Assert.Equal([.. colour[..35], .. colour[..35], .. colour[..35]], back);
    }

    [Fact]
    public void Jpeg_is_close_and_grey_becomes_three_equal_planes()
    {
        byte[] planes = new byte[3 * 64 * 64], back = new byte[3 * 64 * 64];
        SyntheticImages.Draw(planes, 64, 3, 1);
        byte[] jpeg = ImageCodec.EncodeJpeg(planes, 3, 64, 64, 95);
        Assert.Equal((64, 64), ImageCodec.Size(jpeg, "x"));
        ImageCodec.Decode(jpeg, back, 64, 64, "x");
        Assert.InRange(planes.Zip(back).Average(p => Math.Abs(p.First - p.Second)), 0, 6);
        ImageCodec.Decode(ImageCodec.EncodeJpeg(planes.AsSpan(0, 4096), 1, 64, 64), back, 64, 64, "x");
        Assert.True(back.AsSpan(0, 4096).SequenceEqual(back.AsSpan(4096, 4096)) && back.AsSpan(0, 4096).SequenceEqual(back.AsSpan(8192)));
    }

    [Fact]
    public void Headers_that_claim_more_than_the_bytes_can_hold_are_refused()
    {
        byte[] png = ImageCodec.EncodePng(new byte[3 * 8 * 8], 3, 8, 8);
        // Width and height stand big-endian at 16 and 20 of a PNG; the header's checksum is at 29.
        foreach ((int width, int height) in new[] { (16000, 16000), (20000, 1), (0x7FFFFFFF, 0x7FFFFFFF) })
        {
            byte[] bad = [.. png];
            System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(bad.AsSpan(16), width);
            System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(bad.AsSpan(20), height);
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(bad.AsSpan(29), Crc32.Of(bad.AsSpan(12, 17)));
            Assert.Equal("huge.png", Assert.Throws<DataFormatException>(() => ImageCodec.Size(bad, "huge.png")).File);
        }
        byte[] jpeg = ImageCodec.EncodeJpeg(new byte[3 * 8 * 8], 3, 8, 8);
        int frame = jpeg.AsSpan().IndexOf([(byte)0xFF, (byte)0xC0]);
        byte[] tall = [.. jpeg];
        (tall[frame + 5], tall[frame + 6], tall[frame + 7], tall[frame + 8]) = (0x3F, 0xFF, 0x3F, 0xFF);
        Assert.Contains("more than", Assert.Throws<DataFormatException>(() => ImageCodec.Size(tall, "huge.jpg")).Message);
    }

    [Fact]
    public void Truncated_and_empty_images_are_errors()
    {
        byte[] planes = new byte[3 * 32 * 32], back = new byte[3 * 32 * 32];
        SyntheticImages.Draw(planes, 32, 6, 1);
        foreach (byte[] good in new[] { ImageCodec.EncodeJpeg(planes, 3, 32, 32), ImageCodec.EncodePng(planes, 3, 32, 32) })
        {
            for (int length = 0; length < good.Length - 16; length += 13)
            {
                byte[] cut = good[..length];
                Assert.Throws<DataFormatException>(() => ImageCodec.Decode(cut, back, 32, 32, "cut"));
                // What one image did must not be seen in the next.
                ImageCodec.Decode(good, back, 32, 32, "good");
            }
        }
    }

    [Fact]
    public void Stray_bytes_between_markers_are_harmless_and_lost_pixels_are_not()
    {
        byte[] planes = new byte[3 * 32 * 32], back = new byte[3 * 32 * 32], stray = new byte[3 * 32 * 32];
        SyntheticImages.Draw(planes, 32, 6, 1);
        byte[] jpeg = ImageCodec.EncodeJpeg(planes, 3, 32, 32);
        ImageCodec.Decode(jpeg, back, 32, 32, "x");
        // Three bytes before the end-of-image marker, as some cameras leave them.
        ImageCodec.Decode([.. jpeg[..^2], 1, 2, 3, .. jpeg[^2..]], stray, 32, 32, "x");
        Assert.Equal(back, stray);
        Assert.Contains("remature end", Assert.Throws<DataFormatException>(() => ImageCodec.Decode([.. jpeg[..^60], .. jpeg[^2..]], back, 32, 32, "x")).Message);
    }
}
