using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace GMix.Data;

/// <summary>How far a download or another long job is.</summary>
/// <param name="Stage"><c>download</c>, <c>check</c>, <c>extract</c> or <c>read</c>.</param>
/// <param name="File">What is worked on.</param>
/// <param name="Done">Bytes done.</param>
/// <param name="Total">Bytes in all; 0 where unknown.</param>
public sealed record DataProgress(string Stage, string File, long Done, long Total);

/// <summary>
/// Downloads one official file: to <c>NAME.part</c>, resumed where an earlier attempt broke off, held against size and MD5, then renamed.
/// </summary>
public sealed class Downloader(HttpMessageHandler? handler = null)
{
    /// <summary>Attempts after a broken connection.</summary>
    public int Attempts { get; init; } = 5;

    /// <summary>A connection without data for this long counts as broken.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Pause before the second attempt; doubled for every further one.</summary>
    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Fetches <paramref name="file"/> into <paramref name="directory"/>; returns its path. Does nothing where it is already there and right.</summary>
    /// <exception cref="GMixInputException">It cannot be fetched or is not the official file; the message says which file to put where.</exception>
    public async Task<string> FetchAsync(OfficialFile file, string directory, Action<DataProgress>? progress = null, CancellationToken cancel = default)
    {
        string target = Path.Combine(directory, file.Name), part = target + ".part";
        try
        {
            Directory.CreateDirectory(directory);
            if (File.Exists(target) && new FileInfo(target).Length == file.Bytes && await Md5Async(target, file.Name, progress, cancel).ConfigureAwait(false) == file.Md5)
            {
                return target;
            }
            await DownloadAsync(file, part, progress, cancel).ConfigureAwait(false);
            string md5 = await Md5Async(part, file.Name, progress, cancel).ConfigureAwait(false);
            if (md5 != file.Md5)
            {
                // Resuming a wrong file would only make it longer.
                File.Delete(part);
                throw new GMixInputException($"{file.Url} has MD5 {md5}, not {file.Md5}: it is not the official file or was damaged on the way; {Advice(file, target)}");
            }
            File.Move(part, target, overwrite: true);
            return target;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GMixInputException($"cannot write {part}: {DataFormatException.Printable(e.Message)}", e);
        }
    }

    /// <summary>MD5 of a file in lower-case hexadecimal.</summary>
    internal static async Task<string> Md5Async(string path, string name, Action<DataProgress>? progress, CancellationToken cancel)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.SequentialScan);
        byte[] buffer = new byte[1 << 20];
        for (long done = 0; await stream.ReadAsync(buffer, cancel).ConfigureAwait(false) is int got and > 0;)
        {
            hash.AppendData(buffer, 0, got);
            progress?.Invoke(new DataProgress("check", name, done += got, stream.Length));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Advice(OfficialFile file, string target) =>
        $"fetch it by other means and put it at {target} ({file.Bytes} bytes, MD5 {file.Md5})";

    private async Task DownloadAsync(OfficialFile file, string part, Action<DataProgress>? progress, CancellationToken cancel)
    {
        using HttpClient client = handler is null ? new HttpClient() : new HttpClient(handler, disposeHandler: false);
        // The whole may take hours; stalls are watched for read by read.
        client.Timeout = Timeout.InfiniteTimeSpan;
        string target = part[..^".part".Length];
        for (int attempt = 1; ; attempt++)
        {
            string reason;
            try
            {
                if (await TryDownloadAsync(client, file, part, progress, cancel).ConfigureAwait(false))
                {
                    return;
                }
                reason = "the connection closed early";
            }
            catch (HttpRequestException e) when (e.StatusCode is { } status && (int)status is < 500 and not (408 or 429))
            {
                throw new GMixInputException($"{file.Url} answers {(int)status} {status}; {Advice(file, target)}", e);
            }
            catch (HttpRequestException e)
            {
                reason = e.Message;
            }
            catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
            {
                reason = FormattableString.Invariant($"no data for {StallTimeout.TotalSeconds:g} s");
            }
            if (attempt >= Attempts)
            {
                throw new GMixInputException($"cannot download {file.Url}: {DataFormatException.Printable(reason)}; run again to resume, or {Advice(file, target)}");
            }
            await Task.Delay(Pause * (1 << Math.Min(attempt - 1, 6)), cancel).ConfigureAwait(false);
        }
    }

    /// <summary>One connection; true where the file is complete afterwards.</summary>
    private async Task<bool> TryDownloadAsync(HttpClient client, OfficialFile file, string part, Action<DataProgress>? progress, CancellationToken cancel)
    {
        using FileStream output = new(part, FileMode.OpenOrCreate, FileAccess.Write, FileShare.None, 1);
        if (output.Length > file.Bytes)
        {
            output.SetLength(0);
        }
        if (output.Length == file.Bytes)
        {
            return true;
        }
        using CancellationTokenSource stall = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        stall.CancelAfter(StallTimeout);
        using HttpRequestMessage request = new(HttpMethod.Get, file.Url);
        if (output.Length > 0)
        {
            request.Headers.Range = new RangeHeaderValue(output.Length, null);
        }
        using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && output.Length > 0)
        {
            // The server's file is shorter than what is here: start over with the next attempt.
            output.SetLength(0);
            return false;
        }
        response.EnsureSuccessStatusCode();
        bool resumes = response.StatusCode == HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From == output.Length;
        if (!resumes)
        {
            output.SetLength(0);
        }
        if (response.Content.Headers.ContentLength is { } length && output.Length + length != file.Bytes)
        {
            throw new GMixInputException(
                $"{file.Url} offers {output.Length + length} bytes, not {file.Bytes}: it is not the official file; {Advice(file, part[..^".part".Length])}");
        }
        output.Position = output.Length;
        using Stream input = await response.Content.ReadAsStreamAsync(stall.Token).ConfigureAwait(false);
        byte[] buffer = new byte[1 << 17];
        while (true)
        {
            stall.CancelAfter(StallTimeout);
            int got;
            try
            {
                got = await input.ReadAsync(buffer, stall.Token).ConfigureAwait(false);
            }
            catch (IOException e)
            {
                // The network's trouble, to be told from the disk's.
                throw new HttpRequestException(e.Message, e);
            }
            if (got == 0)
            {
                return output.Length == file.Bytes;
            }
            if (output.Length + got > file.Bytes)
            {
                output.SetLength(0);
                throw new GMixInputException($"{file.Url} sends more than {file.Bytes} bytes: it is not the official file; {Advice(file, part[..^".part".Length])}");
            }
            output.Write(buffer, 0, got);
            progress?.Invoke(new DataProgress("download", file.Name, output.Length, file.Bytes));
        }
    }
}
