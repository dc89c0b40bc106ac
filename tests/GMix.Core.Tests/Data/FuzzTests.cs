using System.Buffers.Binary;
using System.Formats.Tar;
using System.IO.Compression;
using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

/// <summary>Every reader against damaged bytes: see <see cref="Fuzz"/>.</summary>
public sealed class FuzzTests
{
    // One file of a set is damaged at a time, its choice part of the case.
    private static void FuzzFiles(string name, MemoryFolder folder, Func<MemoryFolder, object> read, int[] boundaries, params string[] files)
    {
        int cases = 0;
        foreach (string file in files)
        {
            Fuzz.Run($"{name} {file}", folder.Contents[file], bytes =>
            {
                cases++;
                read(folder.With(file, bytes));
            }, boundaries);
        }
        Assert.True(cases >= Fuzz.Cases || Environment.GetEnvironmentVariable("GMIX_FUZZ_SEED") is not null);
    }

    [Fact]
    public void Cifar10() => FuzzFiles("cifar10", TestData.MadeInMemory("cifar10", 5, 1), f => Cifar10Reader.Read(f),
        [0, 3073, 6146, 9 * 3073, 30730], "data_batch_2.bin", "batches.meta.txt");

    [Fact]
    public void Cifar100() => FuzzFiles("cifar100", TestData.MadeInMemory("cifar100", 1, 1), f => Cifar100Reader.Read(f),
        [0, 1, 3074, 6148, 99 * 3074, 100 * 3074], "test.bin", "fine_label_names.txt");

    [Fact]
    public void Stl10() => FuzzFiles("stl10", TestData.MadeInMemory("stl10", 1, 1), f => Stl10Reader.Read(f),
        [0, 1, 9, 10, 27648, 9 * 27648, 10 * 27648], "test_X.bin", "test_y.bin");

    [Fact]
    public void Svhn_compressed()
    {
        MemoryFolder folder = TestData.MadeInMemory("svhn", 1, 1);
        int second = 136 + BitConverter.ToInt32(folder.Contents["test_32x32.mat"], 132);
        FuzzFiles("svhn", folder, f => SvhnReader.Read(f), [124, 126, 128, 132, 136, 138, second, second + 4, second + 8], "test_32x32.mat");
    }

    [Fact]
    public void Svhn_plain()
    {
        // What the zlib layer hides from damage: the elements themselves, uncompressed.
        MemoryFolder folder = TestData.MadeInMemory("svhn", 1, 1);
        byte[] packed = folder.Contents["test_32x32.mat"];
        MemoryStream plain = new();
        plain.Write(packed.AsSpan(0, 128));
        for (int at = 128; at < packed.Length;)
        {
            int size = BitConverter.ToInt32(packed, at + 4);
            using ZLibStream zlib = new(new MemoryStream(packed, at + 8, size), CompressionMode.Decompress);
            zlib.CopyTo(plain);
            plain.Write(new byte[(8 - plain.Length % 8) % 8]);
            at += 8 + size;
        }
        int y = 128 + 8 + BitConverter.ToInt32(plain.ToArray(), 132);
        FuzzFiles("svhn plain", folder.With("test_32x32.mat", plain.ToArray()), f => SvhnReader.Read(f),
            [128, 132, 136, 144, 152, 156, 160, 164, 168, 172, 176, 180, 184, 188, 192, 200, y, y + 4, y + 8, y + 16, y + 24, y + 32, y + 40, y + 48], "test_32x32.mat");
    }

    [Fact]
    public void Tiny_imagenet_lists()
    {
        MemoryFolder folder = TestData.MadeInMemory("tiny-imagenet", 1, 1);
        // Small flat grey images decode fast: this is about the lists.
        byte[] flat = ImageCodec.EncodeJpeg(new byte[4096], 1, 64, 64, 50);
        MemoryFolder light = new(folder.Contents.Select(f => ImageCodec.IsImageName(f.Key) ? KeyValuePair.Create(f.Key, flat) : f));
        FuzzFiles("tiny", light, f => TinyImageNetReader.Read(f), [0, 10, 20], "val/val_annotations.txt", "wnids.txt");
    }

    [Fact]
    public void Jpeg()
    {
        byte[] planes = new byte[3 * 64 * 64];
        SyntheticImages.Draw(planes, 64, 6, 1);
        byte[] jpeg = ImageCodec.EncodeJpeg(planes, 3, 64, 64);
        Fuzz.Run("jpeg", jpeg, Decode, [.. Markers(jpeg)]);
        byte[] grey = ImageCodec.EncodeJpeg(planes.AsSpan(0, 4096), 1, 64, 64);
        Fuzz.Run("grey jpeg", grey, Decode, [.. Markers(grey)]);
    }

    [Fact]
    public void Png()
    {
        byte[] planes = new byte[3 * 32 * 32];
        SyntheticImages.Draw(planes, 32, 6, 1);
        byte[] png = ImageCodec.EncodePng(planes, 3, 32, 32);
        int[] parts = [0, 8, 12, 16, 20, 24, 25, 28, 29, 33, 37, 41];
        Fuzz.Run("png", png, Decode, parts);
        // With right checksums, damage gets past the chunks' walls.
        Fuzz.Run("png, checksums right", png, bytes => Decode(WithPngChecksums(bytes)), parts);
    }

    [Fact]
    public void Image_folder()
    {
        using TempFolder temp = new();
        byte[] planes = new byte[3 * 16 * 16];
        foreach (string file in new[] { "a/1.png", "a/2.png", "b/1.png", "b/2.png" })
        {
            Directory.CreateDirectory(temp.At("data", file[..1]));
            SyntheticImages.Draw(planes, 16, 4, (ulong)file[2]);
            File.WriteAllBytes(temp.At("data", file), ImageCodec.EncodePng(planes, 3, 16, 16));
        }
        byte[] good = File.ReadAllBytes(temp.At("data", "b/2.png"));
        Fuzz.Run("image folder", good, bytes =>
        {
            File.WriteAllBytes(temp.At("data", "b/2.png"), bytes);
            ImageFolderReader.Read(temp.At("data"), new OpenOptions { Size = 8 });
        }, 0, 8, 16, 20, 24, 29, 33);
    }

    [Theory]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    public void Tar(TarEntryFormat format)
    {
        using TempFolder temp = TestData.Made("cifar10", 1, 1);
        Archives.TarFolder(temp.At("cifar-10-batches-bin"), temp.At("a.tar.gz"), format);
        using MemoryStream plain = new();
        using (GZipStream gzip = new(File.OpenRead(temp.At("a.tar.gz")), CompressionMode.Decompress))
        {
            gzip.CopyTo(plain);
        }
        byte[] bare = plain.ToArray();
        int[] headers = [.. Enumerable.Range(0, bare.Length / 512).Where(i => bare.AsSpan(512 * i + 257, 5).SequenceEqual("ustar"u8))
            .SelectMany(i => new[] { 512 * i, 512 * i + 124, 512 * i + 148, 512 * i + 156, 512 * i + 257, 512 * i + 345, 512 * i + 512 })];
        Fuzz.Run($"tar {format}", bare, bytes => ReadArchive(temp.At("x.tar"), bytes), headers);
        Fuzz.Run($"tar {format}, checksums right", bare, bytes =>
        {
            FixChecksums(bytes);
            ReadArchive(temp.At("x.tar"), bytes);
        }, headers);
        // And around the compression.
        Fuzz.Run($"tar.gz {format}", File.ReadAllBytes(temp.At("a.tar.gz")), bytes => ReadArchive(temp.At("x.tar.gz"), bytes), 0, 3, 10, 12);
    }

    [Fact]
    public void Zip()
    {
        using TempFolder temp = TestData.Made("cifar10", 1, 1);
        Archives.ZipFolder(temp.At("cifar-10-batches-bin"), temp.At("a.zip"));
        byte[] zip = File.ReadAllBytes(temp.At("a.zip"));
        int[] parts = [.. Enumerable.Range(0, zip.Length - 4).Where(i => zip[i] == 'P' && zip[i + 1] == 'K').SelectMany(i => new[] { i, i + 8, i + 18, i + 22, i + 28, i + 42 }), zip.Length - 1];
        Fuzz.Run("zip", zip, bytes => ReadArchive(temp.At("x.zip"), bytes), parts);
    }

    [Fact]
    public void Extraction_stays_inside_whatever_the_bytes()
    {
        using TempFolder temp = new();
        Archives.Tar(temp.At("a.tar.gz"), Archives.FileEntry("data/one", new byte[600]), Archives.FileEntry("data/" + new string('n', 120), [1]), Archives.FileEntry("data/../two", [1]));
        using MemoryStream plain = new();
        using (GZipStream gzip = new(File.OpenRead(temp.At("a.tar.gz")), CompressionMode.Decompress))
        {
            gzip.CopyTo(plain);
        }
        byte[] bytes = plain.ToArray();
        // As written the archive is hostile; renamed it is a good one to damage.
        int dots = bytes.AsSpan().IndexOf("data/../two"u8);
        while (dots >= 0)
        {
            "data/aa/two"u8.CopyTo(bytes.AsSpan(dots));
            dots = bytes.AsSpan().IndexOf("data/../two"u8);
        }
        FixChecksums(bytes);
        string target = temp.At("in", "target");
        Fuzz.Run("extraction", bytes, bad =>
        {
            FixChecksums(bad);
            File.WriteAllBytes(temp.At("x.tar"), bad);
            Directory.CreateDirectory(target);
            try
            {
                SafeArchive.Extract(temp.At("x.tar"), target, 1 << 20);
            }
            finally
            {
                Directory.Delete(target, recursive: true);
                Assert.Empty(Directory.GetFileSystemEntries(temp.At("in")));
            }
        }, 0, 124, 148, 156, 157, 345, 512, 1024, 1536, 2048);
    }

    private static void FixChecksums(byte[] tar)
    {
        for (int at = 0; at + 512 <= tar.Length; at += 512)
        {
            if (!tar.AsSpan(at + 257, 5).SequenceEqual("ustar"u8))
            {
                continue;
            }
            tar.AsSpan(at + 148, 8).Fill((byte)' ');
            int sum = 0;
            foreach (byte b in tar.AsSpan(at, 512))
            {
                sum += b;
            }
            System.Text.Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ", tar.AsSpan(at + 148, 8));
        }
    }

    private static byte[] WithPngChecksums(byte[] png)
    {
        // Chunks: length, type, content, CRC of type and content; all big-endian.
        for (long at = 8; at + 12 <= png.Length;)
        {
            long length = BinaryPrimitives.ReadUInt32BigEndian(png.AsSpan((int)at));
            if (at + 12 + length > png.Length)
            {
                break;
            }
            BinaryPrimitives.WriteUInt32BigEndian(png.AsSpan((int)(at + 8 + length)), Crc32.Of(png.AsSpan((int)at + 4, (int)length + 4)));
            at += 12 + length;
        }
        return png;
    }

    private static void ReadArchive(string path, byte[] bytes)
    {
        File.WriteAllBytes(path, bytes);
        ArchiveFolder.Holds(path, "no-such-folder");
        Cifar10Reader.Read(new ArchiveFolder(path, "cifar-10-batches-bin", Cifar10Reader.Wanted));
    }

    private static IEnumerable<int> Markers(byte[] jpeg) => Enumerable.Range(0, jpeg.Length - 1).Where(i => jpeg[i] == 0xFF && jpeg[i + 1] != 0).SelectMany(i => new[] { i, i + 5 });

    private static void Decode(byte[] bytes)
    {
        (int width, int height) = ImageCodec.Size(bytes, "image");
        ImageCodec.Decode(bytes, new byte[3 * width * height], width, height, "image");
    }
}
