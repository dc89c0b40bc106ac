namespace GMix.Data;

/// <summary>Decodes lists of JPEG and PNG files into one set, with all cores.</summary>
internal static class EncodedImages
{
    /// <summary>Largest encoded image accepted, in bytes.</summary>
    public const long MaxFile = 64 << 20;

    /// <summary>Decodes images of one known size; grey ones become three equal planes.</summary>
    /// <param name="folder">Where the files are.</param>
    /// <param name="files">The files, in order.</param>
    /// <param name="labels">One class index per file.</param>
    /// <param name="name">Name of the set.</param>
    /// <param name="classNames">Class names by index.</param>
    /// <param name="height">Rows that every image has, or gets.</param>
    /// <param name="width">Columns that every image has, or gets.</param>
    /// <param name="resize">Centre-crop and resize images of another size; else they are an error.</param>
    /// <param name="sizeAdvice">End of the message about an image of another size.</param>
    /// <param name="scratch">Folder for pixels that exceed an array.</param>
    public static ImageSet Decode(DataFolder folder, IReadOnlyList<string> files, int[] labels, string name, IReadOnlyList<string> classNames,
        int height, int width, bool resize, string sizeAdvice, string scratch)
    {
        int bytesPerImage = checked(3 * height * width);
        PixelBuffer pixels = Reserve((long)files.Count * bytesPerImage, scratch);
        // The first error by order, not by chance of threads: a user fixes files one by one.
        int firstBad = int.MaxValue;
        DataFormatException? error = null;
        object gate = new();
        Parallel.For(0, files.Count, (i, loop) =>
        {
            if (i > Volatile.Read(ref firstBad))
            {
                return;
            }
            try
            {
                DecodeOne(folder, files[i], pixels.Writable((long)i * bytesPerImage, bytesPerImage), height, width, resize, sizeAdvice);
            }
            catch (DataFormatException e)
            {
                lock (gate)
                {
                    if (i < firstBad)
                    {
                        firstBad = i;
                        error = e;
                    }
                }
            }
        });
        if (error is not null)
        {
            throw error;
        }
        return new ImageSet(name, pixels, files.Count, 3, height, width, labels, classNames);
    }

    private static PixelBuffer Reserve(long length, string scratch)
    {
        try
        {
            return PixelBuffer.AllocateScratch(length, scratch, Array.MaxLength);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GMixInputException($"no room for {length} bytes of decoded images in {scratch}: {DataFormatException.Printable(e.Message)}", e);
        }
    }

    private static void DecodeOne(DataFolder folder, string file, Span<byte> target, int height, int width, bool resize, string sizeAdvice)
    {
        string where = folder.Describe(file);
        byte[] data = folder.ReadAll(file, MaxFile);
        (int w, int h) = ImageCodec.Size(data, where);
        if (w == width && h == height)
        {
            ImageCodec.Decode(data, target, w, h, where);
            return;
        }
        if (!resize)
        {
            throw new DataFormatException(where, -1, $"the image is {w}x{h}, not {width}x{height}{sizeAdvice}");
        }
        byte[] whole = GC.AllocateUninitializedArray<byte>(checked(3 * w * h));
        ImageCodec.Decode(data, whole, w, h, where);
        ImageResize.CropAndResize(whole, w, h, target, width, height);
    }
}
