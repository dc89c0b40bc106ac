using GMix.Draws;

namespace GMix.Methods;

// The batch as it is.
//   cost: nothing

/// <summary>Trains on the batch as it is.</summary>
public sealed record NoMix : Mix
{
    /// <inheritdoc/>
    public override bool MixesLabels => false;

    /// <inheritdoc/>
    public override Draw Draw(CounterRandom random, int count, int height, int width) => Methods.Draw.None;

    /// <inheritdoc/>
    public override VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer) => new(batch.Images, new Targets(batch.Labels));

    /// <inheritdoc/>
    public override string ToString() => "none";
}
