using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>
/// What one step drew: a value, made once a step from (seed, epoch, step) and used by all passes. A test hands in its own.
/// Each method uses the parts it needs.
/// </summary>
public sealed record Draw
{
    /// <summary>Weight of each example itself; the partner has 1 − λ.</summary>
    public double Lambda { get; init; } = 1;

    /// <summary>One λ per example, where a method draws them so; else null.</summary>
    public double[]? Lambdas { get; init; }

    /// <summary>π: the partner of each example; null for no mixing.</summary>
    public long[]? Permutation { get; init; }

    /// <summary>CutMix: the pasted rectangle.</summary>
    public Rectangle? Box { get; init; }

    /// <summary>Manifold Mixup: the stage whose activations are mixed.</summary>
    public int Stage { get; init; }

    /// <summary>MaxUp: copies of the whole batch (m, n, c, h, w), where they are given instead of drawn.</summary>
    public Tensor? Copies { get; init; }

    /// <summary>Seed of what the device draws: dropout masks, noise, weight masks.</summary>
    public ulong Seed { get; init; }

    /// <summary>The other draws of a step that mixes several times (MaxUp's copies).</summary>
    public IReadOnlyList<Draw> More { get; init; } = [];

    /// <summary>The seed of one use, so that noise, masks and random selections of a step do not share numbers.</summary>
    internal ulong SeedFor(DrawStream use) => new CounterRandom((long)Seed, use).NextUInt64();

    /// <summary>A step that draws nothing.</summary>
    public static Draw None { get; } = new();
}

/// <summary>Pixels [Top, Bottom) × [Left, Right).</summary>
public readonly record struct Rectangle(int Top, int Bottom, int Left, int Right)
{
    /// <summary>Pixels inside.</summary>
    public int Area => (Bottom - Top) * (Right - Left);
}
