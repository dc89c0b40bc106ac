using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace GMix.Data;

/// <summary>Writes numeric arrays as compressed elements of a MATLAB level-5 file, the way MATLAB writes SVHN's files.</summary>
public static class MatFile5Writer
{
    /// <summary>Writes <paramref name="variables"/> in order.</summary>
    public static void Write(string path, params MatVariable[] variables)
    {
        using FileStream file = new(path, FileMode.Create, FileAccess.Write);
        byte[] header = new byte[128];
        header.AsSpan(0, 116).Fill((byte)' ');
        Encoding.ASCII.GetBytes("MATLAB 5.0 MAT-file, written by GMix", header);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(124), 0x0100);
        "IM"u8.CopyTo(header.AsSpan(126));
        file.Write(header);
        foreach (MatVariable variable in variables)
        {
            using MemoryStream compressed = new();
            using (ZLibStream zlib = new(compressed, CompressionLevel.Fastest, leaveOpen: true))
            {
                byte[] matrix = Matrix(variable);
                WriteTag(zlib, 14, matrix.Length);
                zlib.Write(matrix);
            }
            WriteTag(file, 15, (int)compressed.Length);
            compressed.WriteTo(file);
        }
    }

    private static byte[] Matrix(MatVariable variable)
    {
        using MemoryStream stream = new();
        byte[] flags = new byte[8];
        flags[0] = (byte)variable.ArrayClass;
        WriteElement(stream, 6, flags);
        byte[] dims = new byte[4 * variable.Dimensions.Length];
        for (int i = 0; i < variable.Dimensions.Length; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(dims.AsSpan(4 * i), variable.Dimensions[i]);
        }
        WriteElement(stream, 5, dims);
        WriteElement(stream, 1, Encoding.ASCII.GetBytes(variable.Name));
        WriteElement(stream, variable.DataType, variable.Data);
        return stream.ToArray();
    }

    private static void WriteElement(Stream stream, int type, byte[] data)
    {
        Span<byte> zeros = stackalloc byte[8];
        if (data.Length is > 0 and <= 4)
        {
            // The small form: type and length share the first word, the payload fills the second.
            BinaryPrimitives.WriteUInt32LittleEndian(zeros, (uint)type | (uint)data.Length << 16);
            data.CopyTo(zeros[4..]);
            stream.Write(zeros);
            return;
        }
        WriteTag(stream, type, data.Length);
        stream.Write(data);
        stream.Write(zeros[..((8 - data.Length % 8) % 8)]);
    }

    private static void WriteTag(Stream stream, int type, int length)
    {
        Span<byte> tag = stackalloc byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(tag, type);
        BinaryPrimitives.WriteInt32LittleEndian(tag[4..], length);
        stream.Write(tag);
    }
}
