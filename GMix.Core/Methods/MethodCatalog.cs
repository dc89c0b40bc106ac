using static GMix.Methods.HyperParameters;

namespace GMix.Methods;

/// <summary>One row of the catalog.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Title">In tables.</param>
/// <param name="Summary">One line for help.</param>
/// <param name="Parameters">Its hyper-parameters with its own defaults; those of <see cref="MethodCatalog.Common"/> come on top.</param>
/// <param name="Words">Its three words for given settings.</param>
public sealed record CatalogEntry(string Name, string Title, string Summary, IReadOnlyList<HyperParameter> Parameters, Func<Settings, (Mix, Perturb, Combine)> Words)
{
    /// <summary>The method for given options.</summary>
    public Method Make(MethodOptions options)
    {
        var settings = new Settings(this, options);
        var (mix, perturb, combine) = Words(settings);
        return new Method(Name, Title, mix, perturb, combine) { Loss = new Loss(settings.Of(LabelSmoothing), settings.Of(LossOf)), LaterStatistics = settings.Of(Statistics) };
    }
}

/// <summary>Hyper-parameters of a row: what was given, else the row's defaults.</summary>
/// <param name="Entry">The row.</param>
/// <param name="Options">What was given.</param>
public sealed record Settings(CatalogEntry Entry, MethodOptions Options)
{
    /// <summary>The value of one.</summary>
    public T Of<T>(HyperParameter<T> parameter) where T : notnull =>
        (Entry.Parameters.Concat(MethodCatalog.Common).FirstOrDefault(p => p.Flag == parameter.Flag) as HyperParameter<T>
            ?? throw new InvalidOperationException($"{Entry.Name} has no hyper-parameter --{parameter.Flag}")).In(Options);

    internal When When => new(Of(Every), Of(FromEpoch));
    internal Sam Sam => new(Of(Rho)) { When = When, Scope = Of(Scope) };
    internal Sam SamOnMixed => Sam with { AscentOn = Of(AscentOn) };
    internal Mixup Mixup => new(Of(Alpha), Of(LambdaPerSample), Of(FoldLambda));
    internal Binary Binary => new(Of(Gamma), Of(Score), Of(Rounding), Of(Subset), Of(ScoringPrecision));
}

/// <summary>All methods by name. A new method is its file of words plus one row here; the row brings the battery of tests.</summary>
public static class MethodCatalog
{
    private static readonly NoMix none = new();
    private static readonly NoPerturb still = new();
    private static readonly All all = new();

    private static readonly HyperParameter[] mixes = [Alpha, LambdaPerSample, FoldLambda];
    private static readonly HyperParameter[] selects = [Subset, Score, ScoringPrecision, Rounding];
    private static readonly HyperParameter[] perturbs = [Every, FromEpoch, Scope];

    /// <summary>Hyper-parameters that every method has.</summary>
    public static IReadOnlyList<HyperParameter> Common { get; } = [LossOf, LabelSmoothing, Statistics];

    /// <summary>The rows.</summary>
    public static IReadOnlyList<CatalogEntry> Entries { get; } =
    [
        new("vanilla", "Vanilla", "empirical risk minimisation", [], s => (none, still, all)),
        new("mixup", "Mixup", "convex combinations of examples", [.. mixes], s => (s.Mixup, still, all)),
        new("sam", "SAM", "gradient at the worst nearby weights", [Rho, .. perturbs], s => (none, s.Sam, all)),
        new("gmix", "G-Mix", "Mixup and SAM", [.. mixes, Rho, .. perturbs, AscentOn], s => (s.Mixup, s.SamOnMixed, all)),
        new("bgmix", "BG-Mix", "G-Mix on the examples that react most",
            [.. mixes, Rho, .. perturbs, AscentOn, Gamma.Of(0.8, "measured: 0.5, ESAM's setting and the preset paper, converges three times slower on little data") with { PaperDefault = (true, 0.5) }, .. selects],
            s => (s.Mixup, s.SamOnMixed, s.Binary)),
        new("dgmix", "DG-Mix", "BG-Mix plus the orthogonal part of the others' gradient", [.. mixes, Rho, .. perturbs, AscentOn, Gamma, Kappa, .. selects, MinusAtBase, MinusByBatch],
            s => (s.Mixup, s.SamOnMixed, new Decomposed(s.Of(Gamma), s.Of(Kappa), s.Of(Score), s.Of(Rounding), s.Of(Subset), s.Of(MinusAtBase), s.Of(MinusByBatch), s.Of(ScoringPrecision)))),
        new("maxup", "MaxUp", "the worst of several augmented copies", [Copies, Copy, Alpha, Sigma], s => (new MaxUp(s.Of(Copies), CopyOf(s)), still, all)),
        new("cutmix", "CutMix", "a rectangle of another example", [Alpha.Of(1, "clovaai/CutMix-PyTorch"), MixProbability], s => (new CutMix(s.Of(Alpha), s.Of(MixProbability)), still, all)),
        new("manifold", "Manifold Mixup", "Mixup of hidden activations", [Alpha.Of(2, "vikasverma1077/manifold_mixup on CIFAR and SVHN; 0.2 on Tiny-ImageNet"), Layers], s => (new ManifoldMixup(s.Of(Alpha), s.Of(Layers)), still, all)),
        new("asam", "ASAM", "SAM measured relative to each weight's size", [Rho.Of(0.5, "SamsungLabs/ASAM on CIFAR-10; 1 on CIFAR-100"), Eta, AsamWeightsOnly, .. perturbs],
            s => (none, new Asam(s.Of(Rho), s.Of(Eta), s.Of(AsamWeightsOnly)) { When = s.When, Scope = s.Of(Scope) }, all)),
        new("aace", "AACE-SAM", "SAM towards the classes that the network confuses", [Rho.Of(0.2, "T-Ratchatorn/AACE's command line"), Normalize, Towards, AaceThreshold, .. perturbs],
            s => (none, new AaceSam(s.Of(Rho), s.Of(Normalize), s.Of(AaceThreshold), s.Of(Towards)) { When = s.When, Scope = s.Of(Scope) }, all)),
        new("gsam", "GSAM", "SAM that also closes the gap between perturbed and clean loss", [Rho.Of(0.1, "a reading; no CIFAR recipe was published with the port"), RhoMin, AlphaG, .. perturbs],
            s => (none, s.Sam with { RhoMin = Math.Min(s.Of(RhoMin), s.Of(Rho)) }, new Gsam(s.Of(AlphaG)))),
        new("esam", "ESAM", "SAM on random weights and on the examples that react most", [Rho, Beta, MaskPerElement, .. perturbs, Gamma.Of(0.5, "dydjw9/Efficient_SAM"), .. selects],
            s => (none, new MaskedSam(s.Of(Rho), s.Of(Beta), s.Of(MaskPerElement)) { When = s.When, Scope = s.Of(Scope) }, s.Binary)),
        new("gnp", "GNP", "gradient-norm penalty", [Rho.Of(0.1, "zhaoyang-0204/gnp, where it is r"), Balance, NormalizeBase, .. perturbs], s => (none, s.Sam, new GradientNormPenalty(s.Of(Balance), s.Of(NormalizeBase)))),
        new("looksam", "LookSAM", "SAM every k-th step, its sharp direction reused in between", [Rho.Of(0.1, "a reimplementation's usage"), Every.Of(5, "a reimplementation's usage; 10 in two others"), LookAlpha, FromEpoch, Scope],
            s => (none, s.Sam, new LookSam(s.Of(LookAlpha)))),
        new("amp", "AMP", "plain ascent steps within a ball", [Rho.Of(0.5, "hiyouga/AMP-Regularizer, where it is epsilon"), StepSize, AscentSteps, BallPerTensor, .. perturbs],
            s => (none, new Amp(s.Of(Rho), s.Of(StepSize), s.Of(AscentSteps), s.Of(BallPerTensor)) { When = s.When, Scope = s.Of(Scope) }, all)),
    ];

    /// <summary>The row of that name.</summary>
    /// <exception cref="GMixInputException">No such name.</exception>
    public static CatalogEntry Entry(string name) => Entries.FirstOrDefault(e => e.Name == name)
        ?? throw new GMixInputException($"--method {name}: no such method; choose from {string.Join(" ", Entries.Select(e => e.Name))}");

    /// <summary>The method of that name.</summary>
    /// <exception cref="GMixInputException">No such name, or a hyper-parameter out of its range.</exception>
    public static Method Get(string name, MethodOptions? options = null)
    {
        var entry = Entry(name);
        var o = options ?? new MethodOptions();
        foreach (var parameter in HyperParameters.All) parameter.Check(o);
        var method = entry.Make(o);
        method.Check();
        return method;
    }

    private static Mix CopyOf(Settings s) => s.Of(Copy) switch
    {
        CopyKind.Mixup => new Mixup(s.Of(Alpha)),
        CopyKind.Gaussian => new GaussianNoise(s.Of(Sigma)),
        CopyKind.CropFlip => new CropFlip(),
        _ => new CutMix(s.Of(Alpha), 1),
    };
}
