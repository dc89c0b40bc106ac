namespace GMix.Methods;

/// <summary>A training method: a sentence of three words.</summary>
/// <param name="Name">As on the command line, e.g. <c>dgmix</c>.</param>
/// <param name="Title">As in tables, e.g. <c>DG-Mix</c>.</param>
/// <param name="Mix">Which vicinal batch is trained on.</param>
/// <param name="Perturb">At which weights the gradient is taken.</param>
/// <param name="Combine">Whose gradients count.</param>
public sealed record Method(string Name, string Title, Mix Mix, Perturb Perturb, Combine Combine)
{
    /// <summary>Refuses words that do not fit together, by name and with the reason.</summary>
    /// <exception cref="GMixInputException">They do not.</exception>
    public void Check()
    {
        if (Combine.NeedsPerturb && !Perturb.Active)
            throw new GMixInputException($"{Title}: Combine {Combine} needs a Perturb such as SAM: it works on gradients at perturbed weights");
        if (Combine.RunsParts && !Mix.RowsAreIndependent)
            throw new GMixInputException($"{Title}: Mix {Mix} cannot run a part of the batch by itself, since a row's hidden activations need its partner's; use subset = reuse");
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Title} = {Mix} · {Perturb}{(Perturb.When == When.EveryStep ? "" : $" ({Perturb.When})")} · {Combine}";
}
