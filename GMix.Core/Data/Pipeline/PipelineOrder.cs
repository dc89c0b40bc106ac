using GMix.Draws;

namespace GMix.Data;

/// <summary>Which examples each step of an epoch sees: a permutation drawn from (seed, epoch), cut into batches.</summary>
/// <param name="Seed">The run's seed.</param>
/// <param name="Count">Examples.</param>
/// <param name="BatchSize">Examples per step.</param>
/// <param name="DropLast">Leaves the last, shorter batch out; kept by default, as the paper's protocol does.</param>
public sealed record PipelineOrder(long Seed, int Count, int BatchSize, bool DropLast = false)
{
    /// <summary>Steps of one epoch.</summary>
    public int Steps => DropLast ? Count / BatchSize : (Count + BatchSize - 1) / BatchSize;

    /// <summary>The order of an epoch, from 0.</summary>
    public long[] Epoch(int epoch) => new CounterRandom(Seed, DrawStream.Shuffle, epoch).Permutation(Count);

    /// <summary>The examples of one step of that order.</summary>
    public ReadOnlySpan<long> Step(long[] order, int step) => order.AsSpan(step * BatchSize, Math.Min(BatchSize, Count - step * BatchSize));

    /// <summary>The examples of one step after another, from <paramref name="firstStep"/> to the epoch's end.</summary>
    public IEnumerable<ReadOnlyMemory<long>> Batches(long[] order, int firstStep = 0)
    {
        for (var step = firstStep; step < Steps; step++) yield return order.AsMemory(step * BatchSize, Math.Min(BatchSize, Count - step * BatchSize));
    }

    /// <summary>All of <paramref name="count"/> examples in their own order, for measuring.</summary>
    public static IEnumerable<ReadOnlyMemory<long>> InTurn(int count, int batchSize)
    {
        for (var start = 0; start < count; start += batchSize)
        {
            var indices = new long[Math.Min(batchSize, count - start)];
            for (var i = 0; i < indices.Length; i++) indices[i] = start + i;
            yield return indices;
        }
    }
}
