namespace GMix.Data;

/// <summary>
/// Passes an inflating stream through and stops it when it yields far more than images ever compress to: a decompression bomb.
/// </summary>
/// <param name="inner">The inflating stream; disposed with this one.</param>
/// <param name="compressedBytes">Size of the compressed input.</param>
/// <param name="file">The file, for the message.</param>
internal sealed class BoundedInflation(Stream inner, long compressedBytes, string file) : Stream
{
    /// <summary>Output that is always allowed, in bytes.</summary>
    public const long Free = 32L << 20;

    /// <summary>Largest expansion allowed above <see cref="Free"/>.</summary>
    public const long Ratio = 64;

    private readonly long _limit = Math.Max(Free, compressedBytes > long.MaxValue / Ratio ? long.MaxValue : compressedBytes * Ratio);
    private long _total;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => _total;
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        int got = inner.Read(buffer);
        _total += got;
        if (_total > _limit)
        {
            throw new DataFormatException(file, -1, $"{compressedBytes} compressed bytes expand to more than {_limit}; this is no image data");
        }
        return got;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
        }
        base.Dispose(disposing);
    }
}
