using System.Runtime.InteropServices;

namespace GMix.Data;

/// <summary>
/// JPEG (libturbojpeg) and PNG (libpng) through the native shim. Decoded pixels are always three uint8 planes R, G, B, each row-major.
/// Every function may be called from several threads at once.
/// </summary>
public static unsafe partial class ImageCodec
{
    private const string Library = "gmix_native";
    private const int MessageBytes = 256;
    private static readonly Lazy<string?> Unavailable = new(Probe);

    /// <summary>Whether a file name ends in <c>.png</c>, <c>.jpg</c> or <c>.jpeg</c>, in any case.</summary>
    public static bool IsImageName(string name) => IsPng(name) || IsJpeg(name);

    /// <summary>Width and height from the image's header.</summary>
    /// <param name="data">The encoded image: PNG where it opens with PNG's signature, else JPEG.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="DataFormatException">Not a readable image, or larger than 16,384 pixels a side or than its bytes can hold.</exception>
    public static (int Width, int Height) Size(ReadOnlySpan<byte> data, string file)
    {
        Require();
        byte* message = stackalloc byte[MessageBytes];
        int width, height;
        fixed (byte* bytes = data)
        {
            Check(HasPngSignature(data)
                ? gmx_png_size(bytes, (nuint)data.Length, &width, &height, message, MessageBytes)
                : gmx_jpeg_size(bytes, (nuint)data.Length, &width, &height, message, MessageBytes), message, file);
        }
        return (width, height);
    }

    /// <summary>Decodes an image into three planes.</summary>
    /// <param name="data">The encoded image.</param>
    /// <param name="planes">3 · height · width bytes to fill.</param>
    /// <param name="width">Its width, as <see cref="Size"/> gives it.</param>
    /// <param name="height">Its height.</param>
    /// <param name="file">Its name, for messages.</param>
    /// <exception cref="DataFormatException">The image is damaged or of another size.</exception>
    public static void Decode(ReadOnlySpan<byte> data, Span<byte> planes, int width, int height, string file)
    {
        if (width < 1 || height < 1 || planes.Length < 3L * width * height)
        {
            throw new ArgumentException($"{planes.Length} bytes do not hold 3 planes of {width}x{height}.", nameof(planes));
        }
        Require();
        byte* message = stackalloc byte[MessageBytes];
        fixed (byte* bytes = data, target = planes)
        {
            Check(HasPngSignature(data)
                ? gmx_png_decode(bytes, (nuint)data.Length, target, width, height, message, MessageBytes)
                : gmx_jpeg_decode(bytes, (nuint)data.Length, target, width, height, message, MessageBytes), message, file);
        }
    }

    /// <summary>A baseline JPEG of 1 (grey) or 3 planes, without chroma subsampling.</summary>
    /// <param name="planes">channels · height · width bytes.</param>
    /// <param name="channels">1 or 3.</param>
    /// <param name="width">1 to 16,384.</param>
    /// <param name="height">1 to 16,384.</param>
    /// <param name="quality">1 to 100.</param>
    public static byte[] EncodeJpeg(ReadOnlySpan<byte> planes, int channels, int width, int height, int quality = 90)
    {
        CheckPlanes(planes, channels, width, height);
        Require();
        byte* message = stackalloc byte[MessageBytes];
        fixed (byte* source = planes)
        {
            byte[] buffer = new byte[checked((int)gmx_jpeg_bound(width, height))];
            nuint written;
            fixed (byte* target = buffer)
            {
                Check(gmx_jpeg_encode(source, channels, width, height, quality, target, (nuint)buffer.Length, &written, message, MessageBytes), message, "JPEG");
            }
            return buffer[..(int)written];
        }
    }

    /// <summary>An 8-bit PNG of 1 (grey) or 3 planes.</summary>
    /// <param name="planes">channels · height · width bytes.</param>
    /// <param name="channels">1 or 3.</param>
    /// <param name="width">1 to 16,384.</param>
    /// <param name="height">1 to 16,384.</param>
    public static byte[] EncodePng(ReadOnlySpan<byte> planes, int channels, int width, int height)
    {
        CheckPlanes(planes, channels, width, height);
        Require();
        byte* message = stackalloc byte[MessageBytes];
        fixed (byte* source = planes)
        {
            // Deflate's stored form adds 5 bytes per 16 KiB and every row a filter byte; chunks and gamma need little more.
            byte[] buffer = new byte[checked(planes.Length + planes.Length / 1000 + height + 4096)];
            nuint written;
            fixed (byte* target = buffer)
            {
                Check(gmx_png_encode(source, channels, width, height, target, (nuint)buffer.Length, &written, message, MessageBytes), message, "PNG");
            }
            return buffer[..(int)written];
        }
    }

    private static void Require()
    {
        if (Unavailable.Value is { } reason)
        {
            throw new GMixInputException(reason);
        }
    }

    private static string? Probe()
    {
        try
        {
            gmx_jpeg_bound(8, 8);
            return null;
        }
        catch (EntryPointNotFoundException)
        {
            return "JPEG and PNG need a native library that was built with them; this one was built with -DGMIX_IMAGES=OFF";
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            return $"JPEG and PNG need the native library, which cannot be loaded ({DataFormatException.Printable(e.Message)}); run `dotnet fsi build.fsx -t Build`";
        }
    }

    private static bool IsPng(string name) => name.EndsWith(".png", StringComparison.OrdinalIgnoreCase);

    private static bool IsJpeg(string name) =>
        name.EndsWith(".jpg", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".jpeg", StringComparison.OrdinalIgnoreCase);

    private static bool HasPngSignature(ReadOnlySpan<byte> data) => data.Length >= 4 && data[0] == 0x89 && data[1..4].SequenceEqual("PNG"u8);

    private static void CheckPlanes(ReadOnlySpan<byte> planes, int channels, int width, int height)
    {
        if (channels is not (1 or 3) || width < 1 || height < 1 || planes.Length != (long)channels * width * height)
        {
            throw new ArgumentException($"{planes.Length} bytes are not {channels} planes of {width}x{height}.", nameof(planes));
        }
    }

    private static void Check(int code, byte* message, string file)
    {
        if (code != 0)
        {
            throw new DataFormatException(file, -1, Marshal.PtrToStringUTF8((nint)message) ?? "cannot be decoded");
        }
    }

    [LibraryImport(Library)]
    private static partial int gmx_jpeg_size(byte* data, nuint length, int* width, int* height, byte* message, int messageLength);

    [LibraryImport(Library)]
    private static partial int gmx_jpeg_decode(byte* data, nuint length, byte* planes, int width, int height, byte* message, int messageLength);

    [LibraryImport(Library)]
    private static partial nuint gmx_jpeg_bound(int width, int height);

    [LibraryImport(Library)]
    private static partial int gmx_jpeg_encode(
        byte* planes, int channels, int width, int height, int quality, byte* output, nuint capacity, nuint* written, byte* message, int messageLength);

    [LibraryImport(Library)]
    private static partial int gmx_png_size(byte* data, nuint length, int* width, int* height, byte* message, int messageLength);

    [LibraryImport(Library)]
    private static partial int gmx_png_decode(byte* data, nuint length, byte* planes, int width, int height, byte* message, int messageLength);

    [LibraryImport(Library)]
    private static partial int gmx_png_encode(
        byte* planes, int channels, int width, int height, byte* output, nuint capacity, nuint* written, byte* message, int messageLength);
}
