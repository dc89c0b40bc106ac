namespace GMix.Data;

/// <summary>Centre crop and resize of uint8 planes.</summary>
public static class ImageResize
{
    /// <summary>
    /// Crops the largest centred part with the target's aspect ratio and resizes it with a triangle filter that widens when shrinking
    /// (bilinear with anti-aliasing), the same in every plane.
    /// </summary>
    /// <param name="source">3 planes of <paramref name="height"/>×<paramref name="width"/>.</param>
    /// <param name="width">Columns of the source.</param>
    /// <param name="height">Rows of the source.</param>
    /// <param name="target">3 planes to fill.</param>
    /// <param name="targetWidth">Columns of the target.</param>
    /// <param name="targetHeight">Rows of the target.</param>
    public static void CropAndResize(ReadOnlySpan<byte> source, int width, int height, Span<byte> target, int targetWidth, int targetHeight)
    {
        long wide = (long)width * targetHeight, tall = (long)height * targetWidth;
        int cropWidth = wide > tall ? Math.Max(1, (int)(tall / targetHeight)) : width;
        int cropHeight = tall > wide ? Math.Max(1, (int)(wide / targetWidth)) : height;
        int left = (width - cropWidth) / 2, top = (height - cropHeight) / 2;
        Taps[] columns = Filter(cropWidth, targetWidth), rows = Filter(cropHeight, targetHeight);
        float[] narrow = new float[cropHeight * targetWidth];
        for (int c = 0; c < 3; c++)
        {
            ReadOnlySpan<byte> plane = source.Slice(c * width * height, width * height);
            for (int y = 0; y < cropHeight; y++)
            {
                ReadOnlySpan<byte> row = plane.Slice((top + y) * width + left, cropWidth);
                for (int x = 0; x < targetWidth; x++)
                {
                    Taps taps = columns[x];
                    float sum = 0;
                    for (int k = 0; k < taps.Weights.Length; k++)
                    {
                        sum += taps.Weights[k] * row[taps.First + k];
                    }
                    narrow[y * targetWidth + x] = sum;
                }
            }
            Span<byte> output = target.Slice(c * targetWidth * targetHeight, targetWidth * targetHeight);
            for (int y = 0; y < targetHeight; y++)
            {
                Taps taps = rows[y];
                for (int x = 0; x < targetWidth; x++)
                {
                    float sum = 0;
                    for (int k = 0; k < taps.Weights.Length; k++)
                    {
                        sum += taps.Weights[k] * narrow[(taps.First + k) * targetWidth + x];
                    }
                    output[y * targetWidth + x] = (byte)Math.Clamp(sum + 0.5f, 0, 255);
                }
            }
        }
    }

    private readonly record struct Taps(int First, float[] Weights);

    private static Taps[] Filter(int from, int to)
    {
        double scale = (double)from / to, radius = Math.Max(1, scale);
        Taps[] taps = new Taps[to];
        for (int i = 0; i < to; i++)
        {
            double center = (i + 0.5) * scale;
            int first = Math.Max(0, (int)Math.Floor(center - radius)), last = Math.Min(from - 1, (int)Math.Ceiling(center + radius));
            double[] weights = new double[last - first + 1];
            double total = 0;
            for (int k = 0; k < weights.Length; k++)
            {
                weights[k] = Math.Max(0, 1 - Math.Abs(first + k + 0.5 - center) / radius);
                total += weights[k];
            }
            taps[i] = new Taps(first, Array.ConvertAll(weights, w => (float)(w / total)));
        }
        return taps;
    }
}
