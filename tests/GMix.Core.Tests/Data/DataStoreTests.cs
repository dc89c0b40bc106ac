using System.Net;
using System.Security.Cryptography;
using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

/// <summary>An HTTP server on loopback that serves one file, and misbehaves on request.</summary>
public sealed class TestServer : IDisposable
{
    private readonly HttpListener _listener = new();
    private readonly byte[] _content;

    public TestServer(byte[] content)
    {
        _content = content;
        for (int port = 20000 + Environment.ProcessId % 20000; ; port++)
        {
            Url = $"http://127.0.0.1:{port}/";
            _listener.Prefixes.Clear();
            _listener.Prefixes.Add(Url);
            try
            {
                _listener.Start();
                break;
            }
            catch (HttpListenerException) when (port < 60000)
            {
            }
        }
        _ = ServeAsync();
    }

    public string Url { get; }

    /// <summary>Requests seen, as the first byte asked for.</summary>
    public List<long> Requests { get; } = [];

    /// <summary>Breaks each of the first connections after this many bytes.</summary>
    public int BreakAfter { get; set; } = int.MaxValue;

    /// <summary>How many connections break.</summary>
    public int Breaks { get; set; }

    public HttpStatusCode Status { get; set; } = HttpStatusCode.OK;

    public bool IgnoresRanges { get; set; }

    public void Dispose() => _listener.Abort();

    private async Task ServeAsync()
    {
        while (true)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }
            string? range = context.Request.Headers["Range"];
            long from = range is null || IgnoresRanges ? 0 : long.Parse(range["bytes=".Length..].TrimEnd('-'));
            lock (Requests)
            {
                Requests.Add(from);
            }
            HttpListenerResponse response = context.Response;
            try
            {
                if (Status != HttpStatusCode.OK)
                {
                    response.StatusCode = (int)Status;
                    response.Close();
                    continue;
                }
                response.StatusCode = from > 0 ? 206 : 200;
                if (from > 0)
                {
                    response.AddHeader("Content-Range", $"bytes {from}-{_content.Length - 1}/{_content.Length}");
                }
                response.ContentLength64 = _content.Length - from;
                bool breaks = Breaks-- > 0;
                int count = (int)Math.Min(_content.Length - from, breaks ? BreakAfter : int.MaxValue);
                await response.OutputStream.WriteAsync(_content.AsMemory((int)from, count));
                await response.OutputStream.FlushAsync();
                if (breaks)
                {
                    response.Abort();
                }
                else
                {
                    response.Close();
                }
            }
            catch (Exception e) when (e is HttpListenerException or IOException)
            {
                response.Abort();
            }
        }
    }
}

public sealed class DataStoreTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private static readonly Downloader Quick = new() { Pause = TimeSpan.FromMilliseconds(5), StallTimeout = TimeSpan.FromSeconds(5) };

    /// <summary>A made CIFAR-10 as an archive and its description, served by a server of one's own.</summary>
    private static (byte[] Archive, DatasetInfo Info) Cifar()
    {
        using TempFolder temp = TestData.Made("cifar10", 5, 1);
        Archives.TarFolder(temp.At("cifar-10-batches-bin"), temp.At("a.tar.gz"));
        return Serve(File.ReadAllBytes(temp.At("a.tar.gz")));
    }

    private static (byte[] Archive, DatasetInfo Info) Serve(byte[] archive) =>
        (archive, Datasets.Get("cifar10") with { Files = [new OfficialFile("cifar-10-binary.tar.gz", "", archive.Length, Convert.ToHexStringLower(MD5.HashData(archive)))] });

    private static DatasetInfo At(DatasetInfo info, string url) => info with { Files = [info.Files[0] with { Url = url + info.Files[0].Name }] };

    [Fact]
    public async Task A_data_set_is_fetched_checked_unpacked_and_opened()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive);
        using TempFolder temp = new();
        List<DataProgress> seen = [];
        string folder = await DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick, Progress = p => { lock (seen) { seen.Add(p); } } }, Cancel);
        Assert.Equal(temp.At("cifar-10-batches-bin"), folder);
        Assert.Equal([folder], Directory.GetFileSystemEntries(temp.Path));
        Assert.Equal(["download", "check", "extract"], seen.Select(p => p.Stage).Distinct());
        Assert.Equal(archive.Length, seen.Last(p => p.Stage == "download").Done);
        Assert.Equal(50, Datasets.Open("cifar10", temp.Path, temp.Options).Train.Count);
        // What is there is not fetched again.
        await DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick }, Cancel);
        Assert.Equal([0], server.Requests);
    }

    [Fact]
    public async Task A_broken_download_goes_on_where_it_stopped()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive) { Breaks = 2, BreakAfter = 20_000 };
        using TempFolder temp = new();
        await DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick, KeepArchive = true }, Cancel);
        Assert.Equal(3, server.Requests.Count);
        Assert.Equal(0, server.Requests[0]);
        Assert.True(server.Requests[1] > 0 && server.Requests[2] > server.Requests[1], string.Join(" ", server.Requests));
        Assert.Equal(archive, File.ReadAllBytes(temp.At("cifar-10-binary.tar.gz")));
    }

    [Fact]
    public async Task A_download_given_up_is_resumed_by_the_next_call()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive) { Breaks = 1, BreakAfter = 30_000 };
        using TempFolder temp = new();
        GetOptions once = new() { Downloader = new Downloader { Attempts = 1 } };
        string message = (await Assert.ThrowsAsync<GMixInputException>(() => DataStore.GetAsync(At(info, server.Url), temp.Path, once, Cancel))).Message;
        Assert.Contains("run again to resume", message);
        Assert.Contains(temp.At("cifar-10-binary.tar.gz"), message);
        long part = new FileInfo(temp.At("cifar-10-binary.tar.gz.part")).Length;
        Assert.InRange(part, 1, 30_000);
        await DataStore.GetAsync(At(info, server.Url), temp.Path, once, Cancel);
        Assert.Equal([0, part], server.Requests);
        Assert.True(Directory.Exists(temp.At("cifar-10-batches-bin")));
    }

    [Fact]
    public async Task A_server_without_ranges_starts_over()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive) { Breaks = 1, BreakAfter = 30_000, IgnoresRanges = true };
        using TempFolder temp = new();
        await DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick }, Cancel);
        Assert.Equal(2, server.Requests.Count);
        Assert.True(Directory.Exists(temp.At("cifar-10-batches-bin")));
    }

    [Fact]
    public async Task Wrong_files_are_refused_and_leave_nothing()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TempFolder temp = new();
        byte[] other = [.. archive];
        other[^1] ^= 1;
        async Task Fails(byte[] served, string text, HttpStatusCode status = HttpStatusCode.OK)
        {
            using TestServer server = new(served) { Status = status };
            GMixInputException error = await Assert.ThrowsAsync<GMixInputException>(() =>
                DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick }, Cancel));
            Assert.Contains(text, error.Message);
            Assert.Contains($"put it at {temp.At("cifar-10-binary.tar.gz")} ({archive.Length} bytes, MD5 {info.Files[0].Md5})", error.Message);
            Assert.DoesNotContain('\n', error.Message);
            Assert.All(Directory.GetFileSystemEntries(temp.Path), f => Assert.True(f.EndsWith(".part", StringComparison.Ordinal) && new FileInfo(f).Length == 0));
        }

        await Fails(other, "MD5");
        await Fails(archive[..^7], $"offers {archive.Length - 7} bytes");
        await Fails(archive, "404", HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_server_in_trouble_is_asked_again_and_then_given_up()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive) { Status = HttpStatusCode.ServiceUnavailable };
        using TempFolder temp = new();
        Downloader downloader = new() { Attempts = 3, Pause = TimeSpan.FromMilliseconds(1) };
        await Assert.ThrowsAsync<GMixInputException>(() => DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = downloader }, Cancel));
        Assert.Equal(3, server.Requests.Count);
    }

    [Fact]
    public async Task Without_a_network_the_message_says_which_file_to_put_where()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TempFolder temp = new();
        string url;
        using (TestServer gone = new([]))
        {
            url = gone.Url;
        }
        Downloader downloader = new() { Attempts = 2, Pause = TimeSpan.FromMilliseconds(1) };
        string message = (await Assert.ThrowsAsync<GMixInputException>(() => DataStore.GetAsync(At(info, url), temp.Path, new GetOptions { Downloader = downloader }, Cancel))).Message;
        Assert.Contains(temp.At("cifar-10-binary.tar.gz"), message);
        // The file put there by hand is taken, checked and unpacked without any request.
        File.WriteAllBytes(temp.At("cifar-10-binary.tar.gz"), archive);
        await DataStore.GetAsync(At(info, url), temp.Path, new GetOptions { Downloader = downloader }, Cancel);
        Assert.True(Directory.Exists(temp.At("cifar-10-batches-bin")));
    }

    [Fact]
    public async Task A_hostile_archive_installs_nothing()
    {
        using TempFolder made = new();
        Archives.Tar(made.At("a.tar.gz"), Archives.FileEntry("cifar-10-batches-bin/data_batch_1.bin", [1]), Archives.FileEntry("../escaped", [1]));
        (byte[] archive, DatasetInfo info) = Serve(File.ReadAllBytes(made.At("a.tar.gz")));
        using TestServer server = new(archive);
        using TempFolder temp = new();
        string data = temp.At("data");
        await Assert.ThrowsAsync<DataFormatException>(() => DataStore.GetAsync(At(info, server.Url), data, new GetOptions { Downloader = Quick }, Cancel));
        Assert.Equal([Path.Combine(data, "cifar-10-binary.tar.gz")], Directory.GetFileSystemEntries(data));
        Assert.Equal([data], Directory.GetFileSystemEntries(temp.Path));
    }

    [Fact]
    public async Task Two_downloads_of_one_file_do_not_mix()
    {
        (byte[] archive, DatasetInfo info) = Cifar();
        using TestServer server = new(archive);
        using TempFolder temp = new();
        using FileStream held = new(temp.At("cifar-10-binary.tar.gz.part"), FileMode.Create, FileAccess.Write, FileShare.None);
        GMixInputException error = await Assert.ThrowsAsync<GMixInputException>(() => DataStore.GetAsync(At(info, server.Url), temp.Path, new GetOptions { Downloader = Quick }, Cancel));
        Assert.StartsWith("cannot write", error.Message);
    }

    [Fact]
    public void Verify_tells_missing_made_subset_and_damaged_apart()
    {
        using TempFolder temp = new();
        Assert.Equal("missing", DataStore.Verify("cifar10", temp.Path, cancel: Cancel).State);
        Assert.All(DataStore.List(temp.Path), s => Assert.Equal("missing", s.State));
        Assert.Equal(["svhn", "cifar10", "cifar100", "stl10", "tiny-imagenet"], DataStore.List(temp.Path).Select(s => s.Name));
        string folder = DataStore.Make("cifar10", temp.Path, new MakeOptions { TrainPerClass = 5, TestPerClass = 1 });
        Assert.Equal("present", DataStore.List(temp.Path).Single(s => s.Name == "cifar10").State);
        Assert.Equal("synthetic", DataStore.Verify("cifar10", temp.Path, cancel: Cancel).State);
        Assert.Contains("already there", Assert.Throws<GMixInputException>(() => DataStore.Make("cifar10", temp.Path)).Message);
        File.Delete(Path.Combine(folder, OfficialFormats.SyntheticMarker));
        DataStatus subset = DataStore.Verify("cifar10", temp.Path, cancel: Cancel);
        Assert.Equal(("subset", folder), (subset.State, subset.Path));
        Assert.Contains("the official set has 50000 and 10000", subset.Reasons);
        File.AppendAllText(Path.Combine(folder, "test_batch.bin"), "x");
        DataStatus damaged = DataStore.Verify("cifar10", temp.Path, cancel: Cancel);
        Assert.Equal("damaged", damaged.State);
        Assert.Contains("test_batch.bin", damaged.Reasons.Single());
        File.WriteAllText(temp.At("cifar-100-binary.tar.gz"), "nonsense");
        Assert.Equal("damaged", DataStore.Verify("cifar100", temp.Path, cancel: Cancel).State);
        Assert.Contains("no files", Assert.Throws<GMixInputException>(() => DataStore.Verify("synthetic", temp.Path, cancel: Cancel)).Message);
    }

    [Theory]
    [InlineData("cifar10")]
    [InlineData("cifar100")]
    public void Official_counts_need_the_official_pixels(string name)
    {
        using TempFolder temp = TestData.Made(name, 5, 1);
        File.Delete(temp.At(Datasets.Get(name).Folder, OfficialFormats.SyntheticMarker));
        // A description whose official counts are those of the made set, first with the real set's normalisation.
        DatasetInfo info = Datasets.Get(name);
        info = info with { TrainCount = 5 * info.ClassCount, TestCount = info.ClassCount };
        DataStatus other = DataVerifier.Verify(info, temp.Path, null, Cancel);
        Assert.Equal("damaged", other.State);
        Assert.Contains("not the official images", Datasets.OpenOfficial(info, temp.Path, temp.Options).Source.Description);

        DatasetSplits data = Datasets.Open(name, temp.Path, temp.Options);
        info = info with { Published = Normalization.Compute(data.Train) };
        DatasetSplits same = Datasets.OpenOfficial(info, temp.Path, temp.Options);
        Assert.Equal("official", same.Source.Kind);
        Assert.DoesNotContain("not the official", same.Source.Description);
        DataStatus status = DataVerifier.Verify(info, temp.Path, null, Cancel);
        if (name == "cifar100")
        {
            // Sums of its files are known, and cannot be met by made ones.
            Assert.Equal("damaged", status.State);
            Assert.Contains(status.Reasons, r => r.StartsWith("train.bin: MD5", StringComparison.Ordinal));
        }
        else
        {
            Assert.Equal("official", status.State);
        }
        // A name that fits and bytes that do not: an archive of the official size, checked by its sum.
        Archives.TarFolder(temp.At(info.Folder), temp.At("zz.tar.gz"));
        Directory.CreateDirectory(temp.At("only"));
        File.Move(temp.At("zz.tar.gz"), temp.At("only", info.Files[0].Name));
        byte[] bytes = File.ReadAllBytes(temp.At("only", info.Files[0].Name));
        DatasetInfo archived = info with { Files = [info.Files[0] with { Bytes = bytes.Length }] };
        Assert.Equal("damaged", DataVerifier.Verify(archived, temp.At("only"), null, Cancel).State);
        archived = info with { Files = [info.Files[0] with { Bytes = bytes.Length, Md5 = Convert.ToHexStringLower(MD5.HashData(bytes)) }] };
        Assert.Equal("official", DataVerifier.Verify(archived, temp.At("only"), null, Cancel).State);
    }

    [Fact]
    public void Real_samples_verify_as_subsets()
    {
        string dir = Path.GetDirectoryName(TestData.Sample("cifar10-subset.tar.gz"))!;
        foreach (string name in new[] { "cifar10", "svhn", "stl10" })
        {
            Assert.Equal("subset", DataStore.Verify(name, dir, cancel: Cancel).State);
        }
    }
}
