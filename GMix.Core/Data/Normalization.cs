using System.Runtime.InteropServices;

namespace GMix.Data;

/// <summary>Per-channel mean and population standard deviation of pixels scaled to [0, 1].</summary>
/// <param name="Mean">Mean per channel.</param>
/// <param name="Std">Standard deviation per channel over all pixels of all images.</param>
public sealed record Normalization(double[] Mean, double[] Std)
{
    /// <summary>
    /// Mean and population deviation over all pixels of <paramref name="set"/>. Sums are exact integers; a channel that never varies gets
    /// deviation 1/255 (one grey level), so that dividing by it stays defined.
    /// </summary>
    public static Normalization Compute(ImageSet set)
    {
        long[] sums = new long[set.Channels];
        long[] squares = new long[set.Channels];
        int plane = set.Height * set.Width;
        object gate = new();
        int parts = Math.Min(set.Count, Math.Max(1, Environment.ProcessorCount));
        Parallel.For(0, parts, part =>
        {
            Span<long> sum = stackalloc long[16];
            Span<long> square = stackalloc long[16];
            int channels = set.Channels;
            if (channels > 16)
            {
                sum = new long[channels];
                square = new long[channels];
            }
            int from = (int)((long)set.Count * part / parts), to = (int)((long)set.Count * (part + 1) / parts);
            for (int i = from; i < to; i++)
            {
                ReadOnlySpan<byte> image = set.Image(i);
                for (int c = 0; c < channels; c++)
                {
                    Accumulate(image.Slice(c * plane, plane), ref sum[c], ref square[c]);
                }
            }
            lock (gate)
            {
                for (int c = 0; c < channels; c++)
                {
                    sums[c] += sum[c];
                    squares[c] += square[c];
                }
            }
        });
        double n = (double)set.Count * plane;
        double[] mean = new double[set.Channels], std = new double[set.Channels];
        for (int c = 0; c < mean.Length; c++)
        {
            double m = sums[c] / n;
            double variance = squares[c] / n - m * m;
            mean[c] = m / 255.0;
            std[c] = variance > 0 ? Math.Sqrt(variance) / 255.0 : 1.0 / 255.0;
        }
        return new Normalization(mean, std);
    }

    /// <summary>The largest absolute difference of any mean or deviation.</summary>
    public double Distance(Normalization other) =>
        Mean.Zip(other.Mean).Concat(Std.Zip(other.Std)).Max(p => Math.Abs(p.First - p.Second));

    private static void Accumulate(ReadOnlySpan<byte> bytes, ref long sum, ref long square)
    {
        long s = 0, q = 0;
        int i = 0;
        if (System.Numerics.Vector.IsHardwareAccelerated)
        {
            int lanes = System.Numerics.Vector<byte>.Count;
            while (i + lanes <= bytes.Length)
            {
                // 4,096 rounds of four products of at most 255² stay below 2³² in every lane.
                int stop = (int)Math.Min(bytes.Length, i + 4096L * lanes);
                var vs = System.Numerics.Vector<uint>.Zero;
                var vq = System.Numerics.Vector<uint>.Zero;
                for (; i + lanes <= stop; i += lanes)
                {
                    var v = MemoryMarshal.Read<System.Numerics.Vector<byte>>(MemoryMarshal.AsBytes(bytes[i..]));
                    System.Numerics.Vector.Widen(v, out System.Numerics.Vector<ushort> low, out System.Numerics.Vector<ushort> high);
                    // 255² fits 16 bits.
                    System.Numerics.Vector.Widen(low + high, out System.Numerics.Vector<uint> a, out System.Numerics.Vector<uint> b);
                    vs += a + b;
                    System.Numerics.Vector.Widen(low * low, out a, out b);
                    vq += a + b;
                    System.Numerics.Vector.Widen(high * high, out a, out b);
                    vq += a + b;
                }
                s += SumLanes(vs);
                q += SumLanes(vq);
            }
        }
        for (; i < bytes.Length; i++)
        {
            int v = bytes[i];
            s += v;
            q += v * v;
        }
        sum += s;
        square += q;
    }

    private static long SumLanes(System.Numerics.Vector<uint> lanes)
    {
        long total = 0;
        for (int i = 0; i < System.Numerics.Vector<uint>.Count; i++)
        {
            total += lanes[i];
        }
        return total;
    }
}
