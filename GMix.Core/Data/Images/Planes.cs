namespace GMix.Data;

/// <summary>Rearranging the planes of an image.</summary>
internal static class Planes
{
    /// <summary>Turns square planes from column-major to row-major, or back: <c>to[r, c] = from[c, r]</c> in every plane.</summary>
    public static void Transpose(ReadOnlySpan<byte> from, Span<byte> to, int side)
    {
        int plane = side * side;
        for (int start = 0; start < from.Length; start += plane)
        {
            ReadOnlySpan<byte> source = from.Slice(start, plane);
            Span<byte> target = to.Slice(start, plane);
            for (int r = 0; r < side; r++)
            {
                for (int c = 0; c < side; c++)
                {
                    target[r * side + c] = source[c * side + r];
                }
            }
        }
    }
}
