using System.Runtime.CompilerServices;
using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>
/// What one step drew: a value, made once a step from (seed, epoch, step) and used by all passes. A test hands in its own.
/// Each method uses the parts it needs.
/// </summary>
/// <remarks>
/// A word that hands its numbers to the device by <see cref="OnDevice"/>, instead of reading them itself, can be part of a step that is recorded once
/// and replayed with other numbers (a CUDA graph). Reading them in such a step is an error, and the step runs unrecorded.
/// </remarks>
public sealed record Draw
{
    private readonly long[]? _permutation;
    private readonly Rectangle? _box;
    private readonly Tensor? _copies;

    /// <summary>Weight of each example itself; the partner has 1 − λ.</summary>
    public double Lambda { get => OnHost(field); init; } = 1;

    /// <summary>One λ per example, where a method draws them so; else null.</summary>
    public double[]? Lambdas { get => OnHost(field); init; }

    /// <summary>π: the partner of each example; null for no mixing.</summary>
    public long[]? Permutation { get => OnHost(_permutation); init => _permutation = value; }

    /// <summary>Whether there is a <see cref="Permutation"/>.</summary>
    public bool HasPartners => _permutation is not null;

    /// <summary>CutMix: the pasted rectangle.</summary>
    public Rectangle? Box { get => OnHost(_box); init => _box = value; }

    /// <summary>Whether there is a <see cref="Box"/>.</summary>
    public bool HasBox => _box is not null;

    /// <summary>Manifold Mixup: the stage whose activations are mixed. Part of a step's <see cref="Form"/>: a recorded step may read it.</summary>
    public int Stage { get; init; }

    /// <summary>MaxUp: copies of the whole batch (m, n, c, h, w), where they are given instead of drawn.</summary>
    public Tensor? Copies { get => OnHost(_copies); init => _copies = value; }

    /// <summary>Seed of what the device draws: dropout masks, noise, weight masks.</summary>
    public ulong Seed { get => OnHost(field); init; }

    /// <summary>The other draws of a step that mixes several times (MaxUp's copies).</summary>
    public IReadOnlyList<Draw> More { get; init; } = [];

    /// <summary>The seed of one use, so that noise, masks and random selections of a step do not share numbers.</summary>
    internal ulong SeedFor(DrawStream use) => new CounterRandom((long)Seed, use).NextUInt64();

    /// <summary>A step that draws nothing.</summary>
    public static Draw None { get; } = new();

    /// <summary>
    /// A tensor of numbers that this draw decides: made by <paramref name="make"/>, or, in a step that is replayed, filled with the new step's numbers
    /// before every replay.
    /// </summary>
    /// <param name="name">What it is; one name stands for one tensor within a draw.</param>
    /// <param name="device">Where it is wanted; what comes from the host is moved there.</param>
    /// <param name="make">Makes it from a draw. It may keep settings, but nothing that differs from step to step.</param>
    public Tensor OnDevice(string name, Device device, Func<Draw, Tensor> make) => Numbers(name, device, (_, d) => make(d), null);

    internal Tensor Numbers(string name, Device device, Func<StepContext?, Draw, Tensor> make, StepContext? at)
    {
        if (Buffers is not null) return Buffers.Get(name, device, make);
        var made = make(at, this);
        return made.Device == device ? made : made.Uploaded(device);
    }

    /// <summary>Where a replayed step finds its numbers; null in other steps.</summary>
    internal StepBuffers? Buffers { get; init; }

    /// <summary>What decides which operators run, apart from the numbers: steps of one form can be replays of one recording. Null where none can.</summary>
    internal string? Form
    {
        get
        {
            if (_copies is not null) return null;
            var mine = $"{(HasPartners ? "π" : "")}{(HasBox ? "□" : "")}{Stage}";
            if (More.Count == 0) return mine;
            var forms = More.Select(d => d.Form).ToArray();
            return forms.Contains(null) ? null : $"{mine}({string.Join(",", forms)})";
        }
    }

    internal T OnHost<T>(T value, [CallerMemberName] string name = "")
    {
        if (Buffers is not null) Recording.Refuse($"read {name} on the host: hand it over by OnDevice");
        return value;
    }
}

/// <summary>Pixels [Top, Bottom) × [Left, Right).</summary>
public readonly record struct Rectangle(int Top, int Bottom, int Left, int Right)
{
    /// <summary>Pixels inside.</summary>
    public int Area => (Bottom - Top) * (Right - Left);
}
