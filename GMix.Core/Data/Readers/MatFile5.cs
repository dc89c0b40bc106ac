using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace GMix.Data;

/// <summary>One numeric array of a MAT-file.</summary>
/// <param name="Name">Variable name.</param>
/// <param name="ArrayClass">MATLAB class of the array: 6 double, 7 single, 8 int8, 9 uint8, 10–15 wider integers.</param>
/// <param name="Dimensions">Sizes; elements are column-major, the first index fastest.</param>
/// <param name="DataType">How elements are stored, possibly narrower than the class: 1 int8, 2 uint8, 3 int16, 4 uint16, 5 int32, 6 uint32, 7 single, 9 double.</param>
/// <param name="Data">The stored elements, little-endian.</param>
public sealed record MatVariable(string Name, int ArrayClass, int[] Dimensions, int DataType, byte[] Data)
{
    /// <summary>Number of elements.</summary>
    public long Count => Dimensions.Aggregate(1L, (n, d) => n * d);

    /// <summary>Element <paramref name="index"/> as a number.</summary>
    public double this[int index] => DataType switch
    {
        1 => (sbyte)Data[index],
        2 => Data[index],
        3 => BinaryPrimitives.ReadInt16LittleEndian(Data.AsSpan(2 * index)),
        4 => BinaryPrimitives.ReadUInt16LittleEndian(Data.AsSpan(2 * index)),
        5 => BinaryPrimitives.ReadInt32LittleEndian(Data.AsSpan(4 * index)),
        6 => BinaryPrimitives.ReadUInt32LittleEndian(Data.AsSpan(4 * index)),
        7 => BinaryPrimitives.ReadSingleLittleEndian(Data.AsSpan(4 * index)),
        _ => BinaryPrimitives.ReadDoubleLittleEndian(Data.AsSpan(8 * index)),
    };

    /// <summary>Bytes of one element of a stored type; 0 for types that hold no numbers.</summary>
    internal static int ElementBytes(int dataType) => dataType switch { 1 or 2 => 1, 3 or 4 => 2, 5 or 6 or 7 => 4, 9 => 8, _ => 0 };
}

/// <summary>
/// Reads numeric arrays by name from MATLAB level-5 files (little-endian), plain or compressed element by element; layout after
/// "MAT-File Format", The MathWorks.
/// </summary>
public static class MatFile5
{
    /// <summary>Largest file accepted: an array cannot be longer.</summary>
    public const long MaxFile = 2_000_000_000;

    private const int Compressed = 15, Matrix = 14, Int8 = 1, Int32 = 5, UInt32 = 6;

    /// <summary>Reads the variables called <paramref name="names"/>; others are skipped.</summary>
    /// <returns>The variables found, by name.</returns>
    /// <exception cref="DataFormatException">The file is missing, not a level-5 MAT-file, truncated or damaged.</exception>
    public static IReadOnlyDictionary<string, MatVariable> Read(DataFolder folder, string file, params string[] names)
    {
        byte[] bytes = folder.ReadAll(file, MaxFile);
        string where = folder.Describe(file);
        CheckHeader(bytes, where);
        Dictionary<string, MatVariable> found = new(StringComparer.Ordinal);
        long at = 128;
        while (at < bytes.Length)
        {
            if (bytes.Length - at < 8)
            {
                // Up to 7 zero bytes may pad the end.
                if (!bytes.AsSpan((int)at).ContainsAnyExcept((byte)0))
                {
                    break;
                }
                throw new DataFormatException(where, at, "the file ends inside an element's tag; it is truncated, download it again");
            }
            uint type = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan((int)at));
            long size = BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan((int)at + 4));
            if (type >> 16 != 0)
            {
                // Small elements hold at most 4 bytes: no array fits, so this is something to step over.
                at += 8;
                continue;
            }
            if (size > bytes.Length - at - 8)
            {
                throw new DataFormatException(where, at, $"an element claims {size} bytes, but only {bytes.Length - at - 8} follow; the file is truncated, download it again");
            }
            MatVariable? variable = null;
            if (type == Compressed)
            {
                variable = ReadCompressed(bytes, (int)at + 8, (int)size, where, names);
            }
            else if (type == Matrix)
            {
                variable = new Parser(new MemoryStream(bytes, (int)at + 8, (int)size, writable: false), where, at + 8, false).ReadMatrix(size, names);
            }
            if (variable is not null)
            {
                found[variable.Name] = variable;
                if (names.All(found.ContainsKey))
                {
                    break;
                }
            }
            // Compressed elements are not padded, others are to 8 bytes.
            at += 8 + (type == Compressed ? size : (size + 7) / 8 * 8);
        }
        return found;
    }

    private static void CheckHeader(byte[] bytes, string where)
    {
        if (bytes.Length < 128)
        {
            throw new DataFormatException(where, bytes.Length, $"the file has {bytes.Length} bytes, less than the 128 of a MAT-file's header; it is truncated, download it again");
        }
        if (bytes[126] == 'M' && bytes[127] == 'I')
        {
            throw new DataFormatException(where, 126, "the MAT-file is big-endian; only little-endian files are read");
        }
        if (bytes[126] != 'I' || bytes[127] != 'M' || BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(124)) != 0x0100)
        {
            throw new DataFormatException(where, 124, "this is no level-5 MAT-file (version 0x0100 and the letters IM are missing)");
        }
    }

    private static MatVariable? ReadCompressed(byte[] bytes, int start, int size, string where, string[] names)
    {
        using BoundedInflation inflated = new(new ZLibStream(new MemoryStream(bytes, start, size, writable: false), CompressionMode.Decompress), size, where);
        try
        {
            Parser parser = new(inflated, where, start, true);
            (uint type, long length, _) = parser.ReadTag();
            if (type != Matrix)
            {
                return null;
            }
            MatVariable? variable = parser.ReadMatrix(length, names);
            // Reading on to the end makes the inflater compare the checksum at the stream's tail.
            if (variable is not null && inflated.ReadByte() >= 0)
            {
                throw new DataFormatException(where, start, "the compressed element holds more than its one array");
            }
            return variable;
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new DataFormatException(where, start, "the compressed element that starts here is damaged; download the file again", e);
        }
    }

    /// <summary>Reads the sub-elements of one matrix from a stream; offsets in messages are the element's place in the file.</summary>
    private sealed class Parser(Stream stream, string where, long element, bool compressed)
    {
        private long _read;

        /// <summary>An element's tag. For the small form the payload bytes come with it.</summary>
        public (uint Type, long Length, byte[]? Small) ReadTag()
        {
            byte[] tag = Take(8);
            uint first = BinaryPrimitives.ReadUInt32LittleEndian(tag);
            if (first >> 16 == 0)
            {
                return (first, BinaryPrimitives.ReadUInt32LittleEndian(tag.AsSpan(4)), null);
            }
            uint length = first >> 16;
            return length <= 4 ? (first & 0xFFFF, length, tag[4..(4 + (int)length)]) : throw Bad($"a small element claims {length} bytes");
        }

        public MatVariable? ReadMatrix(long size, string[] names)
        {
            long start = _read;
            byte[] flags = ReadElement(UInt32, 8, 8, "array flags");
            int arrayClass = flags[0];
            byte[] dims = ReadElement(Int32, 8, 32 * 4, "dimensions");
            byte[] nameBytes = ReadElement(Int8, 0, 1024, "name");
            string name = Encoding.ASCII.GetString(nameBytes);
            if (!names.Contains(name))
            {
                return null;
            }
            if (arrayClass is < 6 or > 15 || (flags[1] & 0x08) != 0)
            {
                throw Bad($"variable {name} is no real numeric array (class {arrayClass})");
            }
            int[] sizes = new int[dims.Length / 4];
            long count = 1;
            for (int i = 0; i < sizes.Length; i++)
            {
                sizes[i] = BinaryPrimitives.ReadInt32LittleEndian(dims.AsSpan(4 * i));
                if (sizes[i] < 0 || sizes[i] > 0 && count > MaxFile / sizes[i])
                {
                    throw Bad($"variable {name} has an absurd dimension {sizes[i]}");
                }
                count *= sizes[i];
            }
            (uint type, long length, byte[]? small) = ReadTag();
            int width = MatVariable.ElementBytes((int)Math.Min(type, 100));
            if (width == 0 || length != count * width)
            {
                throw Bad($"variable {name} stores {length} bytes of type {type} for {count} elements");
            }
            if (small is null && length > size - (_read - start))
            {
                throw Bad($"variable {name} claims {length} bytes, more than its element holds");
            }
            byte[] data = small ?? Take(length);
            if (small is null)
            {
                Take(Math.Min((8 - length % 8) % 8, Math.Max(0, size - (_read - start))));
            }
            return new MatVariable(name, arrayClass, sizes, (int)type, data);
        }

        private byte[] ReadElement(int type, long least, long most, string what)
        {
            (uint got, long length, byte[]? small) = ReadTag();
            if (got != type || length < least || length > most || type == Int32 && length % 4 != 0)
            {
                throw Bad($"expected an array's {what} (type {type}), found type {got} of {length} bytes");
            }
            if (small is not null)
            {
                return small;
            }
            byte[] data = Take(length);
            Take((8 - length % 8) % 8);
            return data;
        }

        private byte[] Take(long count)
        {
            // The count is only a claim: the buffer grows with what really arrives.
            byte[] bytes = GC.AllocateUninitializedArray<byte>((int)Math.Min(count, 1 << 20));
            int at = 0;
            while (at < count)
            {
                if (at == bytes.Length)
                {
                    Array.Resize(ref bytes, (int)Math.Min(count, 2L * bytes.Length));
                }
                int got = stream.Read(bytes, at, bytes.Length - at);
                if (got == 0)
                {
                    throw Bad($"the element ends {count - at} bytes early");
                }
                at += got;
                _read += got;
            }
            return bytes;
        }

        private DataFormatException Bad(string problem) =>
            new(where, compressed ? element : element + _read, (compressed ? $"after {_read} inflated bytes of the element that starts here: " : "") + problem + "; the file is damaged, download it again");
    }
}
