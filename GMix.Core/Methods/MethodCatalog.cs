namespace GMix.Methods;

/// <summary>Hyper-parameters as the command line and configurations give them; a value that is not given takes the method's default.</summary>
public sealed record MethodOptions
{
    /// <summary>Which of the two published readings decides defaults that differ, see <see cref="Preset"/>.</summary>
    public Preset Preset { get; init; } = Preset.Fair;
    /// <summary>α ≥ 0 of Beta(α, α).</summary>
    public double? Alpha { get; init; }
    /// <summary>ρ ≥ 0.</summary>
    public double? Rho { get; init; }
    /// <summary>γ in (0, 1].</summary>
    public double? Gamma { get; init; }
    /// <summary>DG-Mix's κ.</summary>
    public double? Kappa { get; init; }
    /// <summary>How B₊ is run.</summary>
    public SubsetForward? Subset { get; init; }
    /// <summary>What ranks examples.</summary>
    public SelectionScore? Score { get; init; }
    /// <summary>How γ n is rounded.</summary>
    public SelectionRounding? Rounding { get; init; }
    /// <summary>Perturb every k-th step.</summary>
    public int? Every { get; init; }
    /// <summary>Perturb from this epoch on, from 0.</summary>
    public int? FromEpoch { get; init; }

    /// <summary>The same values under another preset (F# has no <c>with</c> for C# records).</summary>
    public MethodOptions ForPreset(Preset preset) => this with { Preset = preset };
}

/// <summary>Two ways to read the paper's protocol: <c>Fair</c> trains all methods on one augmentation; <c>Paper</c> leaves crop and flip out for methods that do not mix.</summary>
public enum Preset { Fair, Paper }

/// <summary>One row of the catalog.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Title">In tables.</param>
/// <param name="Summary">One line for help.</param>
/// <param name="Make">The method for given options.</param>
public sealed record CatalogEntry(string Name, string Title, string Summary, Func<MethodOptions, (Mix, Perturb, Combine)> Make);

/// <summary>All methods by name. A new method is its file of words plus one row here; the row brings the battery of tests.</summary>
public static class MethodCatalog
{
    private static readonly NoMix none = new();
    private static readonly NoPerturb still = new();
    private static readonly All all = new();

    /// <summary>The rows.</summary>
    public static IReadOnlyList<CatalogEntry> Entries { get; } =
    [
        new("vanilla", "Vanilla", "empirical risk minimisation", o => (none, still, all)),
        new("sam", "SAM", "gradient at the worst nearby weights", o => (none, SamOf(o), all)),
        new("mixup", "Mixup", "convex combinations of examples", o => (MixupOf(o), still, all)),
        new("gmix", "G-Mix", "Mixup and SAM", o => (MixupOf(o), SamOf(o), all)),
        new("bgmix", "BG-Mix", "G-Mix on the examples that react most", o => (MixupOf(o), SamOf(o), BinaryOf(o))),
        new("dgmix", "DG-Mix", "BG-Mix plus the orthogonal part of the others' gradient", o => (MixupOf(o), SamOf(o), DecomposedOf(o))),
    ];

    /// <summary>The method of that name.</summary>
    /// <exception cref="GMixInputException">No such name, or a hyper-parameter out of its range.</exception>
    public static Method Get(string name, MethodOptions? options = null)
    {
        var entry = Entries.FirstOrDefault(e => e.Name == name)
            ?? throw new GMixInputException($"--method {name}: no such method; choose from {string.Join(" ", Entries.Select(e => e.Name))}");
        var o = options ?? new MethodOptions();
        Check("rho", o.Rho, r => r >= 0, "at least 0");
        Check("alpha", o.Alpha, a => a >= 0, "at least 0 (0 means no mixing)");
        Check("gamma", o.Gamma, g => g is > 0 and <= 1, "above 0 and at most 1");
        Check("kappa", o.Kappa, _ => true, "a number");
        if (o.Every is < 1) throw new GMixInputException($"--every {o.Every}: must be at least 1");
        if (o.FromEpoch is < 0) throw new GMixInputException($"--from-epoch {o.FromEpoch}: must be at least 0");
        var (mix, perturb, combine) = entry.Make(o);
        var method = new Method(entry.Name, entry.Title, mix, perturb, combine);
        method.Check();
        return method;
    }

    private static void Check(string flag, double? value, Func<double, bool> good, string range)
    {
        if (value is { } v && (!double.IsFinite(v) || !good(v))) throw new GMixInputException($"--{flag} {v:R}: must be {range}");
    }

    private static When WhenOf(MethodOptions o) => new(o.Every ?? 1, o.FromEpoch ?? 0);
    private static Mixup MixupOf(MethodOptions o) => new(o.Alpha ?? 1);
    private static Sam SamOf(MethodOptions o) => new(o.Rho ?? 0.05) { When = WhenOf(o) };
    private static Binary BinaryOf(MethodOptions o) => new(o.Gamma ?? (o.Preset == Preset.Paper ? 0.5 : 0.8), o.Score ?? default, o.Rounding ?? default, o.Subset ?? default);
    private static Decomposed DecomposedOf(MethodOptions o) => new(o.Gamma ?? 0.5, o.Kappa ?? 1, o.Score ?? default, o.Rounding ?? default, o.Subset ?? default);
}
