namespace GMix.Methods;

/// <summary>Two ways to read the paper's protocol: <c>Fair</c> trains all methods on one augmentation; <c>Paper</c> leaves crop and flip out for methods that do not mix.</summary>
public enum Preset { Fair, Paper }

/// <summary>What makes MaxUp's copies.</summary>
public enum CopyKind { CutMix, Mixup, Gaussian, CropFlip }

/// <summary>
/// Hyper-parameters as the command line and configurations give them; a value that is not given takes the method's default, and one that a method
/// does not have is ignored by it. <see cref="HyperParameters"/> has their flags, ranges and meanings.
/// </summary>
public sealed record MethodOptions
{
    /// <summary>Which of the two published readings decides defaults that differ, see <see cref="Preset"/>.</summary>
    public Preset Preset { get; init; } = Preset.Fair;

    // mix
    /// <summary>α ≥ 0 of Beta(α, α).</summary>
    public double? Alpha { get; init; }
    /// <summary>Mixup: one λ per example.</summary>
    public bool? LambdaPerSample { get; init; }
    /// <summary>Mixup: λ replaced by max(λ, 1−λ).</summary>
    public bool? FoldLambda { get; init; }
    /// <summary>CutMix: how often a batch is mixed.</summary>
    public double? MixProbability { get; init; }
    /// <summary>Manifold Mixup: stages to choose from.</summary>
    public IReadOnlyList<int>? Layers { get; init; }
    /// <summary>MaxUp: m.</summary>
    public int? Copies { get; init; }
    /// <summary>MaxUp: what makes a copy.</summary>
    public CopyKind? Copy { get; init; }
    /// <summary>MaxUp with Gaussian copies: σ.</summary>
    public double? Sigma { get; init; }

    // perturb
    /// <summary>ρ ≥ 0.</summary>
    public double? Rho { get; init; }
    /// <summary>GSAM: ρ at learning rate 0.</summary>
    public double? RhoMin { get; init; }
    /// <summary>Perturb every k-th step.</summary>
    public int? Every { get; init; }
    /// <summary>Perturb from this epoch on, from 0.</summary>
    public int? FromEpoch { get; init; }
    /// <summary>Which weights are perturbed.</summary>
    public PerturbScope? PerturbScope { get; init; }
    /// <summary>Whose loss the ascent climbs.</summary>
    public AscentBatch? AscentOn { get; init; }
    /// <summary>ASAM's η.</summary>
    public double? Eta { get; init; }
    /// <summary>ASAM: T = 1 for biases.</summary>
    public bool? AsamWeightsOnly { get; init; }
    /// <summary>AACE-SAM: makes |ε| = ρ.</summary>
    public bool? Normalize { get; init; }
    /// <summary>AACE-SAM: what the ascent moves towards.</summary>
    public AaceTarget? AaceTarget { get; init; }
    /// <summary>AACE-SAM: the true class keeps at most this much of the target.</summary>
    public double? AaceThreshold { get; init; }
    /// <summary>ESAM's β.</summary>
    public double? Beta { get; init; }
    /// <summary>ESAM: masks per element instead of per tensor.</summary>
    public bool? MaskPerElement { get; init; }
    /// <summary>AMP's ζ.</summary>
    public double? StepSize { get; init; }
    /// <summary>AMP's N.</summary>
    public int? AscentSteps { get; init; }
    /// <summary>AMP: a ball per tensor.</summary>
    public bool? BallPerTensor { get; init; }

    // combine
    /// <summary>γ in (0, 1].</summary>
    public double? Gamma { get; init; }
    /// <summary>DG-Mix's κ.</summary>
    public double? Kappa { get; init; }
    /// <summary>How B₊ is run.</summary>
    public SubsetForward? Subset { get; init; }
    /// <summary>What ranks examples.</summary>
    public SelectionScore? Score { get; init; }
    /// <summary>How sensitivities are computed under bfloat16.</summary>
    public ScorePrecision? ScorePrecision { get; init; }
    /// <summary>How γ n is rounded.</summary>
    public SelectionRounding? Rounding { get; init; }
    /// <summary>DG-Mix: g₋ at w instead of w + ε.</summary>
    public bool? MinusAtBase { get; init; }
    /// <summary>DG-Mix: g₋ scaled by its share of the batch.</summary>
    public bool? MinusByBatch { get; init; }
    /// <summary>GSAM's α_g.</summary>
    public double? AlphaG { get; init; }
    /// <summary>Gradient-norm penalty: a.</summary>
    public double? Balance { get; init; }
    /// <summary>Gradient-norm penalty: g / |g| in place of g.</summary>
    public bool? NormalizeBase { get; init; }
    /// <summary>LookSAM's a.</summary>
    public double? LookAlpha { get; init; }

    // of every method
    /// <summary>The training loss.</summary>
    public LossKind? Loss { get; init; }
    /// <summary>Label smoothing of the loss.</summary>
    public double? LabelSmoothing { get; init; }
    /// <summary>What BatchNorm's running statistics do after the first pass of a step.</summary>
    public LaterStatistics? LaterStatistics { get; init; }

    /// <summary>The same values under another preset (F# has no <c>with</c> for C# records).</summary>
    public MethodOptions ForPreset(Preset preset) => this with { Preset = preset };
}
