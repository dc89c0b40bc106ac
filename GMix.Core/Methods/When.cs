namespace GMix.Methods;

/// <summary>At which steps a perturbation happens. The others are plain steps on the same vicinal batch.</summary>
/// <param name="Every">Every k-th step, k ≥ 1.</param>
/// <param name="FromEpoch">Not before this epoch, from 0 (late-phase SAM, arXiv 2410.10373).</param>
public sealed record When(int Every = 1, int FromEpoch = 0)
{
    /// <summary>Always.</summary>
    public static When EveryStep { get; } = new();

    /// <summary>Whether the step at that place perturbs.</summary>
    public bool Perturbs(StepContext at) => at.Perturbs(this);

    /// <inheritdoc/>
    public override string ToString() => (Every, FromEpoch) switch
    {
        (1, 0) => "every step",
        (1, _) => $"from epoch {FromEpoch} on",
        (_, 0) => $"every {Every} steps",
        _ => $"every {Every} steps from epoch {FromEpoch} on",
    };
}
