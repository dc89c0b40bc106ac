using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

/// <summary>
/// Damages bytes in seeded ways and checks that a reader answers with a result or a <see cref="DataFormatException"/> that names a file, in
/// bounded time and memory. 500 cases a reader, 10,000 with GMIX_TEST_LONG=1. A failure names its seed; GMIX_FUZZ_SEED=n runs that case alone.
/// </summary>
public static class Fuzz
{
    /// <summary>Cases a reader.</summary>
    public static int Cases => TestData.Long ? 10_000 : 500;

    private static readonly byte[][] Extremes =
    [
        [0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0x7F], [0, 0, 0, 0x80], [1, 0, 0, 0], [0, 0, 0x10, 0], [0xFF, 0xFF], [0, 1], [0x40, 0x42, 0x0F, 0],
    ];

    /// <param name="name">Reader, for messages.</param>
    /// <param name="good">Bytes that the reader accepts.</param>
    /// <param name="read">Reads damaged bytes.</param>
    /// <param name="boundaries">Places where the format's parts begin: truncations and extreme numbers go there more often.</param>
    public static void Run(string name, byte[] good, Action<byte[]> read, params int[] boundaries)
    {
        read(good);
        string? only = Environment.GetEnvironmentVariable("GMIX_FUZZ_SEED");
        (ulong first, ulong last) = only is null ? (0, (ulong)Cases) : (ulong.Parse(only), ulong.Parse(only) + 1);
        for (ulong seed = first; seed < last; seed++)
        {
            byte[] bad = Damage(good, new SplitMix64(SplitMix64.Mix(99, seed)), boundaries);
            long before = GC.GetTotalAllocatedBytes();
            // Processor time: a machine that is busy or suspended is no reader's fault.
            TimeSpan start = Environment.CpuUsage.TotalTime;
            string replay = $"{name}: replay with GMIX_FUZZ_SEED={seed}";
            try
            {
                read(bad);
            }
            catch (DataFormatException e)
            {
                Assert.False(string.IsNullOrEmpty(e.File), replay);
                Assert.True(e.Message.StartsWith(e.File, StringComparison.Ordinal) && !e.Message.Any(char.IsControl), $"{replay}: {e.Message}");
            }
            catch (Exception e)
            {
                Assert.Fail($"{replay}: {e}");
            }
            long allocated = GC.GetTotalAllocatedBytes() - before;
            // What inflation may always yield, its growing buffer, and a generous multiple of the file.
            Assert.True(allocated < (160L << 20) + 200L * bad.Length, $"{replay}: {allocated} bytes allocated for a file of {bad.Length}");
            TimeSpan used = Environment.CpuUsage.TotalTime - start;
            Assert.True(used < TimeSpan.FromSeconds(20), $"{replay}: took {used} of processor time");
        }
    }

    private static byte[] Damage(byte[] good, SplitMix64 random, int[] boundaries)
    {
        byte[] bad = [.. good];
        int Place() => boundaries.Length > 0 && random.Below(2) == 0
            ? Math.Clamp(boundaries[random.Below(boundaries.Length)] + random.Below(9) - 4, 0, bad.Length - 1)
            : random.Below(bad.Length);

        switch (random.Below(6))
        {
            case 0:
                return bad[..Place()];
            case 1:
            case 2:
                for (int flips = 1 + random.Below(8); flips > 0; flips--)
                {
                    bad[Place()] ^= (byte)(1 << random.Below(8));
                }
                return bad;
            case 3:
                for (int writes = 1 + random.Below(3); writes > 0; writes--)
                {
                    byte[] extreme = Extremes[random.Below(Extremes.Length)];
                    int at = Place();
                    extreme.AsSpan(0, Math.Min(extreme.Length, bad.Length - at)).CopyTo(bad.AsSpan(at));
                }
                return bad;
            case 4:
                int from = Place(), length = random.Below(Math.Min(600, bad.Length - from) + 1);
                return [.. bad[..from], .. bad[(from + length)..]];
            default:
                int start = Place(), count = random.Below(Math.Min(600, bad.Length - start) + 1), to = Place();
                return [.. bad[..to], .. bad[start..(start + count)], .. bad[to..]];
        }
    }
}
