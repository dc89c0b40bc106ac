using System.Formats.Tar;
using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class ArchiveTests
{
    public static TheoryData<string> HostileNames => ["../evil", "a/../../evil", "/tmp/evil", "a//b", "a\\..\\evil", "C:evil", "a/./b", "x/" + new string('n', 300), "a\nb"];

    [Theory]
    [MemberData(nameof(HostileNames))]
    public void Names_that_leave_the_folder_are_refused(string name)
    {
        using TempFolder temp = new();
        Archives.Tar(temp.At("a.tar.gz"), Archives.FileEntry("fine", [1]), Archives.FileEntry(name, [1]));
        Archives.Zip(temp.At("a.zip"), 0x81A4, ("fine", [1]), (name, [1]));
        foreach (string archive in new[] { temp.At("a.tar.gz"), temp.At("a.zip") })
        {
            string target = Directory.CreateDirectory(temp.At("out", Path.GetExtension(archive))).FullName;
            DataFormatException error = Assert.Throws<DataFormatException>(() => SafeArchive.Extract(archive, target, 1 << 20, null, TestContext.Current.CancellationToken));
            Assert.StartsWith(archive + "!", error.File);
            Assert.Equal(["fine"], Directory.GetFileSystemEntries(target, "*", SearchOption.AllDirectories).Select(Path.GetFileName));
        }
        Assert.False(File.Exists("/tmp/evil"));
        Assert.Empty(Directory.GetFiles(temp.Path, "evil", SearchOption.AllDirectories));
    }

    [Fact]
    public void Links_devices_duplicates_and_bombs_are_refused()
    {
        using TempFolder temp = new();
        int made = 0;
        void Fails(string archive, string text, long limit = 1 << 20)
        {
            string target = Directory.CreateDirectory(temp.At($"out{made++}")).FullName;
            Assert.Contains(text, Assert.Throws<DataFormatException>(() => SafeArchive.Extract(archive, target, limit, null, TestContext.Current.CancellationToken)).Message);
        }

        string tar = temp.At("a.tar.gz"), zip = temp.At("a.zip");
        Archives.Tar(tar, Archives.Link("link", "/etc/passwd"));
        Fails(tar, "link or device");
        Archives.Tar(tar, Archives.FileEntry("a", [1]), Archives.Link("b", "a", TarEntryType.HardLink));
        Fails(tar, "link or device");
        Archives.Tar(tar, new PaxTarEntry(TarEntryType.Fifo, "pipe"));
        Fails(tar, "link or device");
        Archives.Zip(zip, 0xA1FF, ("link", "/etc/passwd"u8.ToArray()));
        Fails(zip, "link or device");
        Archives.Tar(tar, Archives.FileEntry("a", [1]), Archives.FileEntry("a", [2]));
        Fails(tar, "twice");
        Archives.Tar(tar, Archives.FileEntry("a", [1]), Archives.FileEntry("a/b", [2]));
        Fails(tar, "folder");
        Archives.Tar(tar, Archives.FileEntry("a", new byte[2 << 20]));
        Fails(tar, "more than 1048576 bytes");
        byte[] zeros = new byte[64 << 20];
        Archives.Tar(tar, Archives.FileEntry("a", zeros));
        Fails(tar, "expand", 1L << 30);
        Archives.Zip(zip, 0x81A4, ("a", zeros));
        Fails(zip, "expand", 1L << 30);
    }

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void Every_tar_format_reads_as_the_framework_wrote_it(TarEntryFormat format)
    {
        using TempFolder temp = TestData.Made("cifar10", 5, 1);
        string folder = temp.At("cifar-10-batches-bin");
        if (format != TarEntryFormat.V7)
        {
            // Too long for a name field: a prefix, an extended header or a long-name entry must be understood.
            string deep = Directory.CreateDirectory(Path.Combine(folder, new string('d', 90))).FullName;
            File.WriteAllText(Path.Combine(deep, new string('f', 60)), "deep");
        }
        Archives.TarFolder(folder, temp.At("a.tar.gz"), format);
        string target = Directory.CreateDirectory(temp.At("out")).FullName;
        SafeArchive.Extract(temp.At("a.tar.gz"), target, 1 << 20, null, TestContext.Current.CancellationToken);
        DiskFolder before = new(folder), after = new(Path.Combine(target, "cifar-10-batches-bin"));
        Assert.Equal(before.Files(""), after.Files(""));
        Assert.All(before.Files(""), f => Assert.Equal(before.ReadAll(f, 1 << 20), after.ReadAll(f, 1 << 20)));
    }

    [Fact]
    public void Sets_open_from_archives_and_links_inside_them_are_not_followed()
    {
        foreach (string name in new[] { "cifar10", "cifar100", "svhn", "stl10", "tiny-imagenet" })
        {
            using TempFolder temp = TestData.Made(name, name == "cifar10" ? 5 : 1, 1);
            string top = Datasets.Get(name).Folder;
            ImageSet expected = Datasets.Open(name, temp.Path, temp.Options).Train;
            Directory.CreateDirectory(temp.At("tar"));
            Directory.CreateDirectory(temp.At("zip"));
            Archives.TarFolder(temp.At(top), temp.At("tar", "some-name.tar.gz"));
            Archives.ZipFolder(temp.At(top), temp.At("zip", "other.zip"));
            foreach (string dir in new[] { temp.At("tar"), temp.At("zip"), temp.At("tar", "some-name.tar.gz") })
            {
                DatasetSplits data = Datasets.Open(name, dir, temp.Options);
                Assert.True(TestData.SameImages(expected, data.Train));
                Assert.Equal("synthetic", data.Source.Kind);
            }
        }
        using TempFolder hostile = new();
        Archives.Tar(hostile.At("a.tar.gz"), Archives.Link("cifar-10-batches-bin/data_batch_1.bin", "/dev/zero"));
        DataFormatException error = Assert.Throws<DataFormatException>(() => Datasets.Open("cifar10", hostile.Path, hostile.Options));
        Assert.Contains("link", error.Message);
    }

    [Fact]
    public void Wrong_checksums_of_archives_are_found()
    {
        using TempFolder temp = TestData.Made("cifar10", 5, 1);
        Directory.CreateDirectory(temp.At("cut"));
        Archives.TarFolder(temp.At("cifar-10-batches-bin"), temp.At("cut", "a.tar.gz"));
        byte[] gzip = File.ReadAllBytes(temp.At("cut", "a.tar.gz"));
        gzip[^8] ^= 1;
        File.WriteAllBytes(temp.At("cut", "a.tar.gz"), gzip);
        Assert.Throws<DataFormatException>(() => Datasets.Open("cifar10", temp.At("cut"), temp.Options));
        File.Delete(temp.At("cut", "a.tar.gz"));

        // Stored without compression, a changed pixel is nothing that inflating could notice.
        System.IO.Compression.ZipFile.CreateFromDirectory(temp.At("cifar-10-batches-bin"), temp.At("cut", "a.zip"), System.IO.Compression.CompressionLevel.NoCompression, true);
        byte[] zip = File.ReadAllBytes(temp.At("cut", "a.zip"));
        byte[] pixels = File.ReadAllBytes(temp.At("cifar-10-batches-bin", "data_batch_2.bin"));
        zip[zip.AsSpan().IndexOf(pixels.AsSpan(100, 64)) + 5] ^= 1;
        File.WriteAllBytes(temp.At("cut", "a.zip"), zip);
        DataFormatException error = Assert.Throws<DataFormatException>(() => Datasets.Open("cifar10", temp.At("cut"), temp.Options));
        Assert.EndsWith("data_batch_2.bin", error.File);
        Assert.Contains("checksum", error.Message);
    }

    [Fact]
    public void Archives_that_open_with_a_dot_or_small_files_are_found_and_others_are_not()
    {
        using TempFolder temp = new();
        TarEntry wanted = Archives.FileEntry("./stl10_binary/class_names.txt", [1]);
        Archives.Tar(temp.At("a.tgz"), new PaxTarEntry(TarEntryType.Directory, "./"), Archives.FileEntry("._stl10_binary", [0]), wanted);
        Archives.Tar(temp.At("b.tgz"), Archives.FileEntry("stl10_binary_other/x", [1]));
        Assert.True(ArchiveFolder.Holds(temp.At("a.tgz"), "stl10_binary"));
        Assert.False(ArchiveFolder.Holds(temp.At("b.tgz"), "stl10_binary"));
        Assert.False(ArchiveFolder.Holds(temp.At("none.tgz"), "stl10_binary"));
    }

    [Fact]
    public void A_relative_folder_lists_its_files_like_an_absolute_one()
    {
        using TempFolder temp = TestData.Made("cifar10", 1, 1);
        DiskFolder absolute = new(temp.At("cifar-10-batches-bin")), relative = new(Path.GetRelativePath(Environment.CurrentDirectory, temp.At("cifar-10-batches-bin")) + "/");
        Assert.Equal(absolute.Files(""), relative.Files(""));
        Assert.Contains("data_batch_1.bin", relative.Files(""));
        Assert.Equal(absolute.Fingerprint(), relative.Fingerprint());
    }

    [Fact]
    public void A_truncated_archive_says_where()
    {
        using TempFolder temp = TestData.Made("cifar10", 5, 1);
        Archives.TarFolder(temp.At("cifar-10-batches-bin"), temp.At("a.tar.gz"));
        byte[] bytes = File.ReadAllBytes(temp.At("a.tar.gz"));
        Directory.CreateDirectory(temp.At("cut"));
        foreach (int length in new[] { 0, 5, 200, bytes.Length / 2, bytes.Length - 20 })
        {
            string archive = temp.At("cut", "cifar-10-binary.tar.gz");
            File.WriteAllBytes(archive, bytes[..length]);
            DataFormatException error = Assert.Throws<DataFormatException>(() => Datasets.Open("cifar10", temp.At("cut"), temp.Options));
            Assert.StartsWith(archive, error.Message);
        }
    }
}
