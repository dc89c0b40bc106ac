using System.Text;

namespace GMix.Data;

/// <summary>What a tar entry is.</summary>
public enum TarEntryKind
{
    /// <summary>A regular file.</summary>
    File,

    /// <summary>A folder.</summary>
    Directory,

    /// <summary>A hard or symbolic link.</summary>
    Link,

    /// <summary>A device, pipe or another thing that no data set contains.</summary>
    Other,
}

/// <summary>One entry of a tar archive.</summary>
/// <param name="Name">Path as stored.</param>
/// <param name="Kind">File, folder, link or other.</param>
/// <param name="Size">Content bytes.</param>
/// <param name="HeaderOffset">Byte offset of its header in the uncompressed archive.</param>
public sealed record TarEntryHeader(string Name, TarEntryKind Kind, long Size, long HeaderOffset);

/// <summary>
/// Reads tar archives (POSIX ustar, pax and GNU long names) front to back from a stream.
/// The framework's TarReader would do for honest archives; this reader reports the byte offset of what is wrong, and no header can make
/// it allocate more than <see cref="MaxMetadata"/> bytes (TarReader rents as much as an extended header claims).
/// </summary>
public sealed class TarEntries(Stream stream, string file)
{
    /// <summary>Largest extended header or long name, in bytes.</summary>
    public const int MaxMetadata = 64 * 1024;

    private const int Block = 512;
    private readonly byte[] _header = new byte[Block];
    private readonly byte[] _skip = new byte[32 * 1024];
    private long _position;
    private long _contentLeft;
    private long _paddingLeft;

    /// <summary>Content bytes of the current entry not yet read.</summary>
    public long ContentLeft => _contentLeft;

    /// <summary>Moves to the next entry; null at the end of the archive.</summary>
    /// <exception cref="DataFormatException">The archive is truncated or damaged.</exception>
    public TarEntryHeader? Next()
    {
        string? longName = null;
        long? paxSize = null;
        while (true)
        {
            Skip(_contentLeft + _paddingLeft);
            _contentLeft = _paddingLeft = 0;
            long offset = _position;
            int got = ReadSome(_header);
            if (got == 0 && longName is null)
            {
                // Some writers leave the two closing zero blocks out; the end of the stream after a whole entry is an end all the same.
                return null;
            }
            if (got < Block)
            {
                throw Bad(offset, "the archive ends inside an entry's header; it is truncated, fetch it again");
            }
            if (!_header.AsSpan().ContainsAnyExcept((byte)0))
            {
                // Reading on to the end of the file makes an inflater compare the checksum at its tail.
                while (ReadStream(_skip) > 0)
                {
                }
                return null;
            }
            CheckSum(offset);
            long size = Number(_header.AsSpan(124, 12), offset + 124);
            char type = (char)_header[156];
            if (type is 'x' or 'L' or 'K' or 'g')
            {
                SetContent(size);
                if (type is 'g' or 'K')
                {
                    continue;
                }
                byte[] metadata = ReadMetadata(size, offset);
                if (type == 'L')
                {
                    longName = Text(metadata);
                }
                else
                {
                    ReadPax(metadata, offset, ref longName, ref paxSize);
                }
                continue;
            }
            TarEntryKind kind = type switch
            {
                '0' or '\0' or '7' => TarEntryKind.File,
                '5' => TarEntryKind.Directory,
                '1' or '2' => TarEntryKind.Link,
                _ => TarEntryKind.Other,
            };
            string name = longName ?? UstarName();
            if (kind == TarEntryKind.File && name.EndsWith('/'))
            {
                kind = TarEntryKind.Directory;
            }
            size = paxSize ?? size;
            // Links and folders carry no content whatever their size field says.
            SetContent(kind is TarEntryKind.Link or TarEntryKind.Directory ? 0 : size);
            return new TarEntryHeader(name, kind, _contentLeft, offset);
        }
    }

    /// <summary>Reads content of the current entry; 0 at its end.</summary>
    /// <exception cref="DataFormatException">The archive ends before the entry does.</exception>
    public int Read(Span<byte> buffer)
    {
        int want = (int)Math.Min(buffer.Length, _contentLeft);
        if (want == 0)
        {
            return 0;
        }
        int got = ReadStream(buffer[..want]);
        if (got == 0)
        {
            throw Bad(_position, $"the archive ends {_contentLeft} bytes before the entry does; it is truncated, fetch it again");
        }
        _contentLeft -= got;
        return got;
    }

    private void SetContent(long size)
    {
        _contentLeft = size;
        _paddingLeft = (Block - size % Block) % Block;
    }

    private byte[] ReadMetadata(long size, long offset)
    {
        if (size > MaxMetadata)
        {
            throw Bad(offset + 124, $"an extended header claims {size} bytes; at most {MaxMetadata} are accepted");
        }
        byte[] bytes = new byte[size];
        for (int at = 0; at < bytes.Length;)
        {
            at += Read(bytes.AsSpan(at));
        }
        return bytes;
    }

    private void ReadPax(byte[] bytes, long offset, ref string? name, ref long? size)
    {
        // Records of the form "LENGTH KEY=VALUE\n", LENGTH counting the whole record.
        for (int at = 0; at < bytes.Length;)
        {
            int space = Array.IndexOf(bytes, (byte)' ', at);
            if (space < 0 || space - at > 9 || !int.TryParse(bytes.AsSpan(at, space - at), out int length)
                || length <= space - at + 1 || length > bytes.Length - at || bytes[at + length - 1] != '\n')
            {
                throw Bad(offset + Block + at, "an extended header record is malformed");
            }
            string record = Encoding.UTF8.GetString(bytes, space + 1, length - (space - at) - 2);
            int equals = record.IndexOf('=');
            string value = record[(equals + 1)..];
            switch (equals < 0 ? "" : record[..equals])
            {
                case "path":
                    name = value;
                    break;
                case "size":
                    size = long.TryParse(value, out long parsed) && parsed >= 0 && parsed <= long.MaxValue - Block
                        ? parsed
                        : throw Bad(offset + Block + at, "an extended header gives a size that is not a number");
                    break;
            }
            at += length;
        }
    }

    private string UstarName()
    {
        string name = Text(_header.AsSpan(0, 100));
        bool posix = _header.AsSpan(257, 6).SequenceEqual("ustar\0"u8);
        string prefix = posix ? Text(_header.AsSpan(345, 155)) : "";
        return prefix.Length > 0 ? prefix + "/" + name : name;
    }

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        int end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private void CheckSum(long offset)
    {
        long stored = Number(_header.AsSpan(148, 8), offset + 148);
        long sum = 0;
        for (int i = 0; i < Block; i++)
        {
            sum += i is >= 148 and < 156 ? ' ' : _header[i];
        }
        if (sum != stored)
        {
            throw Bad(offset, "an entry's header has a wrong checksum; this is not a tar archive, or it is damaged");
        }
    }

    private long Number(ReadOnlySpan<byte> field, long offset)
    {
        long value = 0;
        if ((field[0] & 0x80) != 0)
        {
            // GNU's base-256 form for sizes from 8 GiB.
            for (int i = 0; i < field.Length; i++)
            {
                int digit = i == 0 ? field[0] & 0x7F : field[i];
                if (value > (long.MaxValue - Block) >> 9)
                {
                    throw Bad(offset, "a number in an entry's header is absurdly large");
                }
                value = value << 8 | (uint)digit;
            }
            return value;
        }
        bool any = false;
        foreach (byte c in field)
        {
            if (c is (byte)' ' or 0)
            {
                if (any)
                {
                    break;
                }
                continue;
            }
            if (c is < (byte)'0' or > (byte)'7')
            {
                throw Bad(offset, "a number in an entry's header is not octal; this is not a tar archive, or it is damaged");
            }
            any = true;
            value = value << 3 | (uint)(c - '0');
        }
        return value;
    }

    private void Skip(long count)
    {
        while (count > 0)
        {
            int got = ReadStream(_skip.AsSpan(0, (int)Math.Min(_skip.Length, count)));
            if (got == 0)
            {
                throw Bad(_position, $"the archive ends {count} bytes before an entry does; it is truncated, fetch it again");
            }
            count -= got;
        }
    }

    private int ReadSome(Span<byte> buffer)
    {
        int total = 0;
        while (total < buffer.Length && ReadStream(buffer[total..]) is int got and > 0)
        {
            total += got;
        }
        return total;
    }

    private int ReadStream(Span<byte> buffer)
    {
        try
        {
            int got = stream.Read(buffer);
            _position += got;
            return got;
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw Bad(_position, "the compressed data is damaged from here on; fetch the archive again", e);
        }
    }

    private DataFormatException Bad(long offset, string problem, Exception? inner = null) =>
        new(file, offset, "(offset in the uncompressed archive) " + problem, inner);
}
