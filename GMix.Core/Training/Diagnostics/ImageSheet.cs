using GMix.Data;

namespace GMix.Training;

/// <summary>Many small pictures on one: a contact sheet, as PNG.</summary>
public static class ImageSheet
{
    private const int Gap = 4, BarHeight = 4;

    /// <summary>
    /// Draws pictures in rows from left to right, each enlarged by whole pixels, with a bar below whose filled part is its share (λ).
    /// </summary>
    /// <param name="pictures">channels · height · width bytes each, at least one. Of another number of channels than 1 or 3 the first is drawn in grey.</param>
    /// <param name="channels">Planes of a picture.</param>
    /// <param name="height">Pixels.</param>
    /// <param name="width">Pixels.</param>
    /// <param name="shares">One share in [0, 1] per picture.</param>
    /// <param name="columns">Pictures in a row.</param>
    /// <param name="scale">Enlargement, at least 1; null for what makes a picture about 64 pixels wide.</param>
    /// <returns>An 8-bit PNG, grey on white for a single channel.</returns>
    public static byte[] Png(IReadOnlyList<byte[]> pictures, int channels, int height, int width, IReadOnlyList<double> shares, int columns, int? scale = null)
    {
        if (pictures.Count == 0 || shares.Count != pictures.Count || columns < 1) throw new ArgumentException($"{pictures.Count} pictures, {shares.Count} shares, {columns} columns: a sheet needs a picture, and a share for each", nameof(pictures));
        if (pictures.Any(p => p.Length != channels * height * width)) throw new ArgumentException($"every picture must have {channels * height * width} bytes", nameof(pictures));
        var s = scale ?? Math.Max(1, 64 / width);
        var planes = channels == 3 ? 3 : 1;
        var (cellWidth, cellHeight) = (width * s + Gap, height * s + Gap + BarHeight + Gap);
        columns = Math.Min(columns, pictures.Count);
        var rows = (pictures.Count + columns - 1) / columns;
        var (sheetWidth, sheetHeight) = (columns * cellWidth + Gap, rows * cellHeight + Gap);
        var sheet = new byte[planes * sheetHeight * sheetWidth];
        Array.Fill(sheet, byte.MaxValue);

        for (var n = 0; n < pictures.Count; n++)
        {
            var (left, top) = (Gap + n % columns * cellWidth, Gap + n / columns * cellHeight);
            var filled = (int)Math.Round(Math.Clamp(shares[n], 0, 1) * width * s);
            for (var c = 0; c < planes; c++)
            {
                var plane = sheet.AsSpan(c * sheetHeight * sheetWidth, sheetHeight * sheetWidth);
                for (var y = 0; y < height * s; y++)
                    for (var x = 0; x < width * s; x++)
                        plane[(top + y) * sheetWidth + left + x] = pictures[n][(c * height + y / s) * width + x / s];
                for (var y = 0; y < BarHeight; y++)
                {
                    var bar = plane.Slice((top + height * s + Gap / 2 + y) * sheetWidth + left, width * s);
                    bar[..filled].Fill(60);
                    bar[filled..].Fill(210);
                }
            }
        }
        return ImageCodec.EncodePng(sheet, planes, sheetWidth, sheetHeight);
    }
}
