namespace GMix.Methods;

/// <summary>What BatchNorm's running statistics do in the passes of a step after the first. Every pass normalises with its batch.</summary>
public enum LaterStatistics
{
    /// <summary>They stay: one move per step (google-research/sam, davda54/sam).</summary>
    Freeze,
    /// <summary>They move in every pass (SamsungLabs/ASAM, dydjw9/Efficient_SAM).</summary>
    Update,
}

/// <summary>A training method: a sentence of three words.</summary>
/// <param name="Name">As on the command line, e.g. <c>dgmix</c>.</param>
/// <param name="Title">As in tables, e.g. <c>DG-Mix</c>.</param>
/// <param name="Mix">Which vicinal batch is trained on.</param>
/// <param name="Perturb">At which weights the gradient is taken.</param>
/// <param name="Combine">Whose gradients count.</param>
public sealed record Method(string Name, string Title, Mix Mix, Perturb Perturb, Combine Combine)
{
    /// <summary>What is minimised, per example.</summary>
    public Loss Loss { get; init; } = new();

    /// <summary>What BatchNorm's running statistics do after the first pass.</summary>
    public LaterStatistics LaterStatistics { get; init; }

    /// <summary>
    /// Mean cost of a step, over the steps from <see cref="When.FromEpoch"/> on. Exact where γ n is whole; |B₊| is rounded otherwise.
    /// </summary>
    public Cost Cost
    {
        get
        {
            var plain = new Cost(1 + Mix.Forwards, 1);
            if (!Perturb.Active) return plain;
            // an ascent on another batch or loss cannot share the training loss's passes
            var elsewhere = Perturb.AscentOn == AscentBatch.Clean && Mix is not NoMix;
            var own = elsewhere ? new Cost(1, Combine.NeedsGradient ? 1 : 0) : new Cost(0, Combine.NeedsGradient && !Perturb.AscendsTrainingLoss ? 1 : 0);
            return plain + 1.0 / Perturb.When.Every * (own + new Cost(Perturb.Ascents - 1, Perturb.Ascents - 1) + Combine.Cost);
        }
    }

    /// <summary>Refuses words that do not fit together, by name and with the reason.</summary>
    /// <exception cref="GMixInputException">They do not.</exception>
    public void Check()
    {
        if (Mix.Problem is { } problem) throw new GMixInputException($"{Title}: {problem}");
        if (Combine.NeedsPerturb && !Perturb.Active)
            throw new GMixInputException($"{Title}: Combine {Combine} needs a Perturb such as SAM: it works on gradients at perturbed weights");
        if (Combine.RunsParts && !Mix.RowsAreIndependent)
            throw new GMixInputException($"{Title}: Mix {Mix} cannot run a part of the batch by itself, since a row's hidden activations need its partner's; {Combine.PartsAdvice}");
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Title} = {Mix} · {Perturb}{(Perturb.When == When.EveryStep ? "" : " " + Perturb.When)} · {Combine}";
}
