using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;

namespace GMix.Data;

/// <summary>
/// Decoded image sets as files that are mapped into memory: a header with the hash of the source, sizes, labels, class names and a
/// checksum, then the uint8 pixels. A file whose hash or checksum does not fit is rebuilt; writing goes to a temporary file that is renamed.
/// </summary>
public static class DecodedCache
{
    /// <summary>Raised whenever the layout or the decoding changes, so that older files count as stale.</summary>
    private const int Version = 1;

    private const int Alignment = 4096;
    private const int FixedHeader = 8 + 4 + 4 + 8 + 8;
    private static readonly byte[] Magic = "GMIXPIX\n"u8.ToArray();

    /// <summary>The default place: <c>~/.cache/gmix/decoded</c>.</summary>
    public static string DefaultDirectory =>
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache", "gmix", "decoded");

    /// <summary>
    /// Both splits of a data set, from the cache where it holds them for exactly this source, else from <paramref name="build"/>, which are
    /// then cached. Where the cache cannot be written the built sets are returned all the same.
    /// </summary>
    /// <param name="directory">Cache folder; null for <see cref="DefaultDirectory"/>.</param>
    /// <param name="dataset">Name of the data set and of the choices that change its decoding.</param>
    /// <param name="folder">The source; its path names the file, its fingerprint is kept inside.</param>
    /// <param name="build">Reads and decodes the source; its note (anything worth keeping about the source) is stored with the sets.</param>
    public static (ImageSet Train, ImageSet Test, string Note) GetOrBuild(
        string? directory, string dataset, DataFolder folder, Func<(ImageSet Train, ImageSet Test, string Note)> build)
    {
        directory ??= DefaultDirectory;
        byte[] source = SHA256.HashData(Encoding.UTF8.GetBytes($"{Version}\n{dataset}\n{folder.Fingerprint()}"));
        string place = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{dataset}\n{Path.GetFullPath(folder.Path)}")))[..16];
        string stem = Path.Combine(directory, $"{dataset.Split(' ')[0]}-{place}");
        string trainFile = stem + "-train.pix", testFile = stem + "-test.pix";
        if (TryLoad(trainFile, source) is var (cachedTrain, note) && TryLoad(testFile, source) is var (cachedTest, _))
        {
            return (cachedTrain, cachedTest, note);
        }
        (ImageSet train, ImageSet test, note) = build();
        try
        {
            Directory.CreateDirectory(directory);
            Save(trainFile, source, train, note);
            Save(testFile, source, test, note);
            // What was decoded into a scratch file is now on disk twice.
            train = Reload(trainFile, source, train);
            test = Reload(testFile, source, test);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A full disk or a read-only home costs the next start its speed, not this one its data.
        }
        return (train, test, note);
    }

    private static ImageSet Reload(string file, byte[] source, ImageSet built)
    {
        if (!built.Pixels.IsMapped || TryLoad(file, source) is not var (loaded, _))
        {
            return built;
        }
        built.Pixels.Dispose();
        return loaded;
    }

    /// <summary>Writes a set to a cache file.</summary>
    internal static void Save(string file, ReadOnlySpan<byte> source, ImageSet set, string note)
    {
        byte[] metadata = Metadata(source, set, note);
        string temporary = $"{file}.{Environment.ProcessId}.{Guid.NewGuid():n}.tmp";
        try
        {
            using (FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1))
            {
                Span<byte> header = stackalloc byte[FixedHeader];
                Magic.CopyTo(header);
                BinaryPrimitives.WriteInt32LittleEndian(header[8..], Version);
                BinaryPrimitives.WriteInt32LittleEndian(header[12..], metadata.Length);
                BinaryPrimitives.WriteUInt64LittleEndian(header[16..], Checksum(metadata));
                BinaryPrimitives.WriteUInt64LittleEndian(header[24..], Checksum(set.Pixels));
                stream.Write(header);
                stream.Write(metadata);
                stream.Position = PixelStart(metadata.Length);
                for (long at = 0; at < set.Pixels.Length; at += 1 << 24)
                {
                    stream.Write(set.Pixels.AsSpan(at, (int)Math.Min(1 << 24, set.Pixels.Length - at)));
                }
            }
            File.Move(temporary, file, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Maps a cache file; null where it is absent, of another source, or damaged.</summary>
    internal static (ImageSet Set, string Note)? TryLoad(string file, ReadOnlySpan<byte> source)
    {
        PixelBuffer? pixels = null;
        try
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
            Span<byte> header = stackalloc byte[FixedHeader];
            if (stream.ReadAtLeast(header, FixedHeader, throwOnEndOfStream: false) < FixedHeader || !header.StartsWith(Magic)
                || BinaryPrimitives.ReadInt32LittleEndian(header[8..]) != Version)
            {
                return null;
            }
            int length = BinaryPrimitives.ReadInt32LittleEndian(header[12..]);
            if (length < 32 || length > stream.Length - FixedHeader)
            {
                return null;
            }
            byte[] metadata = new byte[length];
            stream.ReadExactly(metadata);
            if (Checksum(metadata) != BinaryPrimitives.ReadUInt64LittleEndian(header[16..]) || !metadata.AsSpan(0, 32).SequenceEqual(source))
            {
                return null;
            }
            using BinaryReader reader = new(new MemoryStream(metadata, 32, length - 32, writable: false), Encoding.UTF8);
            string name = reader.ReadString(), note = reader.ReadString();
            int count = reader.ReadInt32(), channels = reader.ReadInt32(), height = reader.ReadInt32(), width = reader.ReadInt32();
            string[] classes = new string[Math.Min(reader.ReadInt32(), length)];
            for (int i = 0; i < classes.Length; i++)
            {
                classes[i] = reader.ReadString();
            }
            int[] labels = new int[Math.Min(reader.ReadInt32(), length)];
            for (int i = 0; i < labels.Length; i++)
            {
                labels[i] = reader.ReadInt32();
            }
            long bytes = checked((long)count * channels * height * width);
            if (stream.Length != PixelStart(length) + bytes)
            {
                return null;
            }
            pixels = PixelBuffer.Map(file, PixelStart(length), bytes);
            if (Checksum(pixels) == BinaryPrimitives.ReadUInt64LittleEndian(header[24..]))
            {
                ImageSet set = new(name, pixels, count, channels, height, width, labels, classes);
                pixels = null;
                return (set, note);
            }
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or OverflowException)
        {
            return null;
        }
        finally
        {
            pixels?.Dispose();
        }
    }

    private static byte[] Metadata(ReadOnlySpan<byte> source, ImageSet set, string note)
    {
        using MemoryStream memory = new();
        using BinaryWriter writer = new(memory, Encoding.UTF8);
        writer.Write(source);
        writer.Write(set.Name);
        writer.Write(note);
        foreach (int value in (int[])[set.Count, set.Channels, set.Height, set.Width, set.ClassCount])
        {
            writer.Write(value);
        }
        foreach (string name in set.ClassNames)
        {
            writer.Write(name);
        }
        writer.Write(set.Labels.Length);
        foreach (int label in set.Labels)
        {
            writer.Write(label);
        }
        writer.Flush();
        return memory.ToArray();
    }

    private static long PixelStart(int metadata) => (FixedHeader + (long)metadata + Alignment - 1) / Alignment * Alignment;

    private static ulong Checksum(PixelBuffer pixels)
    {
        const int Block = 1 << 22;
        int blocks = (int)((pixels.Length + Block - 1) / Block);
        ulong[] sums = new ulong[blocks];
        Parallel.For(0, blocks, i => sums[i] = Checksum(pixels.AsSpan((long)i * Block, (int)Math.Min(Block, pixels.Length - (long)i * Block))));
        return Checksum(System.Runtime.InteropServices.MemoryMarshal.AsBytes<ulong>(sums));
    }

    // Four lanes of xor, multiply by an odd number, rotate: each step is one-to-one, so a single changed byte always changes the sum.
    // It guards against accidents, not against forgery; the cache is the user's own file.
    private static ulong Checksum(ReadOnlySpan<byte> bytes)
    {
        const ulong Prime = 0x9E3779B185EBCA87;
        ulong a = (ulong)bytes.Length, b = 1, c = 2, d = 3;
        while (bytes.Length >= 32)
        {
            a = BitOperations.RotateLeft((a ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes)) * Prime, 29);
            b = BitOperations.RotateLeft((b ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..])) * Prime, 29);
            c = BitOperations.RotateLeft((c ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..])) * Prime, 29);
            d = BitOperations.RotateLeft((d ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..])) * Prime, 29);
            bytes = bytes[32..];
        }
        foreach (byte last in bytes)
        {
            a = BitOperations.RotateLeft((a ^ last) * Prime, 29);
        }
        return (((a * Prime ^ b) * Prime ^ c) * Prime ^ d) * Prime;
    }
}
