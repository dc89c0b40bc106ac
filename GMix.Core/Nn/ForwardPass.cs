using GMix.Torch;

namespace GMix.Nn;

/// <summary>What BatchNorm normalises with, and whether its running statistics move.</summary>
public enum BatchNormMode
{
    /// <summary>The batch's statistics; running statistics move. The first pass of a training step.</summary>
    Train,
    /// <summary>The batch's statistics; running statistics stay. Every later pass of the step.</summary>
    TrainFrozen,
    /// <summary>The running statistics.</summary>
    Eval,
}

/// <summary>How one forward pass runs: BatchNorm's mode, dropout's draw, and an optional change of hidden activations.</summary>
public sealed record ForwardPass(BatchNormMode BatchNorm)
{
    private int _dropoutLayers;

    /// <summary>A pass for measuring.</summary>
    public static ForwardPass Eval => new(BatchNormMode.Eval);

    /// <summary>Whether this is a training pass.</summary>
    public bool Training => BatchNorm != BatchNormMode.Eval;

    /// <summary>The generator of dropout masks. It is seeded anew for every layer of every pass, so all passes of a step draw the same masks.</summary>
    public Generator? Dropout { get; init; }

    /// <summary>The step's dropout draw.</summary>
    public ulong DropoutSeed { get; init; }

    /// <summary>Where the mask of that name comes from, given how it is made from a seed; null makes it from <see cref="DropoutSeed"/>.</summary>
    internal Func<string, Func<ulong, Tensor>, Tensor>? Mask { get; init; }

    /// <summary>Rows of the full batch that this pass runs, when it runs a part; null for all. Masks are drawn for the full batch.</summary>
    public Tensor? Rows { get; init; }

    /// <summary>Examples in the full batch, when <see cref="Rows"/> is set.</summary>
    public long FullCount { get; init; }

    /// <summary>Computes in the network's element type where the network would compute in bfloat16.</summary>
    public bool FullPrecision { get; init; }

    /// <summary>Changes the activations at a stage (0: input; k: after the k-th group of blocks), for methods that mix hidden layers.</summary>
    public Func<int, Tensor, Tensor>? AtStage { get; init; }

    /// <summary>A model calls it at each stage boundary with the activations there.</summary>
    public Tensor Stage(int index, Tensor h) => AtStage is null ? h : AtStage(index, h);

    /// <summary>Dropout with probability <paramref name="p"/> (inverted: kept values are scaled by 1/(1−p)); the identity when measuring.</summary>
    public Tensor ApplyDropout(Tensor h, double p)
    {
        if (!Training || p == 0) return h;
        if (Dropout is null) throw new InvalidOperationException("the model has dropout, but the pass was given no generator");
        var (layer, shape, type, device, generator) = (++_dropoutLayers, h.Shape, h.DType, h.Device, Dropout);
        if (Rows is not null) shape[0] = FullCount;
        Tensor Make(ulong seed) => Tensor.Bernoulli(shape, 1 - p, generator.Seed(unchecked(seed + 0x9E3779B97F4A7C15UL * (ulong)layer)), type, device);
        var mask = Mask is null ? Make(DropoutSeed) : Mask($"dropout {layer} {type}", Make);
        if (Rows is not null) mask = mask.Rows(Rows);
        return h * mask * (1 / (1 - p));
    }
}
