namespace GMix.Draws;

/// <summary>Independent random streams of one seed: what one of them draws never shifts another.</summary>
public enum DrawStream : uint { Init = 1, Shuffle = 2, Augment = 3, Mix = 4, Metric = 5, Dropout = 6, Noise = 7, WeightMask = 8, Subset = 9, Diagnostics = 10 }

/// <summary>
/// Random numbers as a function of (seed, stream, epoch, step) and of the position within that, by the counter-based generator
/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011). There is no state to save:
/// a run that is resumed draws what it would have drawn.
/// </summary>
public sealed class CounterRandom
{
    private readonly uint _key0, _key1, _stream, _epoch, _step;
    private readonly uint[] _block = new uint[4];
    private uint _blockIndex;
    private int _used = 4;
    private double _spareNormal = double.NaN;

    /// <param name="seed">The run's seed.</param>
    /// <param name="stream">What the numbers are for.</param>
    /// <param name="epoch">Epoch, from 0.</param>
    /// <param name="step">Step within the epoch, from 0.</param>
    public CounterRandom(long seed, DrawStream stream, int epoch = 0, long step = 0)
    {
        (_key0, _key1) = ((uint)seed, (uint)(seed >> 32));
        (_stream, _epoch, _step) = ((uint)stream, (uint)epoch, (uint)step);
    }

    /// <summary>One block of Philox4x32-10.</summary>
    internal static void Philox(Span<uint> counter, uint key0, uint key1)
    {
        var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3]);
        for (var round = 0; round < 10; round++)
        {
            var p0 = 0xD2511F53UL * c0;
            var p1 = 0xCD9E8D57UL * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ key0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ key1, (uint)p0);
            key0 += 0x9E3779B9;
            key1 += 0xBB67AE85;
        }
        (counter[0], counter[1], counter[2], counter[3]) = (c0, c1, c2, c3);
    }

    /// <summary>32 random bits.</summary>
    public uint NextUInt32()
    {
        if (_used == 4)
        {
            (_block[0], _block[1], _block[2], _block[3]) = (_blockIndex++, _step, _epoch, _stream);
            Philox(_block, _key0, _key1);
            _used = 0;
        }
        return _block[_used++];
    }

    /// <summary>64 random bits, e.g. as the seed of a device generator.</summary>
    public ulong NextUInt64() => ((ulong)NextUInt32() << 32) | NextUInt32();

    /// <summary>Uniform in [0, 1), 53 bits.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Uniform in {0, …, bound − 1}, without bias.</summary>
    public int NextInt(int bound)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bound);
        // Lemire's method: reject the few products that would favour small results
        var limit = (uint)-bound % (uint)bound;
        while (true)
        {
            var product = (ulong)NextUInt32() * (uint)bound;
            if ((uint)product >= limit) return (int)(product >> 32);
        }
    }

    /// <summary>Standard normal (Box–Muller; the second of each pair is kept for the next call).</summary>
    public double NextNormal()
    {
        if (!double.IsNaN(_spareNormal))
        {
            var spare = _spareNormal;
            _spareNormal = double.NaN;
            return spare;
        }
        var radius = Math.Sqrt(-2 * Math.Log(1 - NextDouble()));
        var (sin, cos) = Math.SinCos(2 * Math.PI * NextDouble());
        _spareNormal = radius * sin;
        return radius * cos;
    }

    /// <summary>ln X for X ~ Gamma(shape, 1), by Marsaglia and Tsang (2000); in logarithms, since small shapes underflow.</summary>
    private double NextLogGamma(double shape)
    {
        if (shape < 1) return NextLogGamma(shape + 1) + Math.Log(1 - NextDouble()) / shape;
        var d = shape - 1.0 / 3;
        var c = 1 / Math.Sqrt(9 * d);
        while (true)
        {
            var x = NextNormal();
            var v = 1 + c * x;
            if (v <= 0) continue;
            v = v * v * v;
            if (Math.Log(1 - NextDouble()) < 0.5 * x * x + d - d * v + d * Math.Log(v)) return Math.Log(d) + Math.Log(v);
        }
    }

    /// <summary>Beta(a, b) for a, b &gt; 0.</summary>
    public double NextBeta(double a, double b)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(a);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(b);
        if (a == 1 && b == 1) return NextDouble();
        var (x, y) = (NextLogGamma(a), NextLogGamma(b));
        return 1 / (1 + Math.Exp(y - x));
    }

    /// <summary>A uniform permutation of 0 … n − 1 (Fisher–Yates); fixed points are allowed.</summary>
    public long[] Permutation(int n)
    {
        var p = new long[n];
        for (var i = 0; i < n; i++)
        {
            var j = NextInt(i + 1);
            p[i] = p[j];
            p[j] = i;
        }
        return p;
    }
}
