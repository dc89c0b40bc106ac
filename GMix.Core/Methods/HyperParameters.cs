using System.Globalization;

namespace GMix.Methods;

/// <summary>All hyper-parameters of all methods: flags, ranges, meanings and the usual defaults. A method's row in the catalog may have another default.</summary>
public static class HyperParameters
{
    private const string Reading = "a reading; no published value";

    /// <summary>α of Beta(α, α).</summary>
    public static HyperParameter<double> Alpha { get; } = Real("alpha", 1, "at least 0 (0 means no mixing)", a => a >= 0, "alpha of Beta(alpha, alpha), from which lambda is drawn", "facebookresearch/mixup-cifar10",
        o => o.Alpha, (o, v) => o with { Alpha = v });
    /// <summary>One λ per example.</summary>
    public static HyperParameter<bool> LambdaPerSample { get; } = Switch("lambda-per-sample", "draws one lambda per example instead of one per batch", "facebookresearch/mixup-cifar10", o => o.LambdaPerSample, (o, v) => o with { LambdaPerSample = v });
    /// <summary>max(λ, 1−λ).</summary>
    public static HyperParameter<bool> FoldLambda { get; } = Switch("fold-lambda", "replaces lambda by max(lambda, 1 - lambda)", "facebookresearch/mixup-cifar10; on in google-research/sam", o => o.FoldLambda, (o, v) => o with { FoldLambda = v });
    /// <summary>CutMix's q.</summary>
    public static HyperParameter<double> MixProbability { get; } = Real("mix-probability", 0.5, "from 0 to 1", p => p is >= 0 and <= 1, "how often a batch is mixed", "clovaai/CutMix-PyTorch on CIFAR; 1 on ImageNet",
        o => o.MixProbability, (o, v) => o with { MixProbability = v });
    /// <summary>Manifold Mixup's stages.</summary>
    public static HyperParameter<IReadOnlyList<int>> Layers { get; } = new()
    {
        Flag = "layers", Default = ManifoldMixup.DefaultLayers, Range = "stages separated by commas, each 0 (the image) or more, such as 0,1,2", Meaning = "stages one of which is mixed at each step",
        Source = "vikasverma1077/manifold_mixup", Allows = l => l.Count > 0 && l.All(s => s >= 0), Given = o => (o.Layers is not null, o.Layers), Set = (o, v) => o with { Layers = v },
        Parse = t => t.Split(',').Select(Whole).ToArray() is var found && found.All(f => f.Item1) ? (true, found.Select(f => f.Item2).ToArray()) : (false, null),
    };
    /// <summary>MaxUp's m.</summary>
    public static HyperParameter<int> Copies { get; } = Integer("copies", 4, "at least 1", m => m >= 1, "copies of each example, of which the worst is trained on", "reimplementations that cite the paper", o => o.Copies, (o, v) => o with { Copies = v });
    /// <summary>MaxUp's copies.</summary>
    public static HyperParameter<CopyKind> Copy { get; } = Choice("copy", CopyKind.CutMix, "what makes a copy", "reimplementations that cite the paper", o => o.Copy, (o, v) => o with { Copy = v });
    /// <summary>σ of Gaussian copies.</summary>
    public static HyperParameter<double> Sigma { get; } = Real("sigma", 0.1, "at least 0", s => s >= 0, "standard deviation of Gaussian copies, in units of the normalised image", Reading, o => o.Sigma, (o, v) => o with { Sigma = v });

    /// <summary>ρ.</summary>
    public static HyperParameter<double> Rho { get; } = Real("rho", 0.05, "at least 0", r => r >= 0, "radius of the perturbation", "davda54/sam; SamsungLabs/ASAM has 0.1 on CIFAR-100", o => o.Rho, (o, v) => o with { Rho = v });
    /// <summary>ρ at learning rate 0.</summary>
    public static HyperParameter<double> RhoMin { get; } = Real("rho-min", 0.01, "at least 0", r => r >= 0, "radius at learning rate 0; in between it follows the learning rate", Reading, o => o.RhoMin, (o, v) => o with { RhoMin = v });
    /// <summary>Every k-th step.</summary>
    public static HyperParameter<int> Every { get; } = Integer("every", 1, "at least 1", k => k >= 1, "perturbs every k-th step only", "Foret et al. 2021", o => o.Every, (o, v) => o with { Every = v });
    /// <summary>From an epoch on.</summary>
    public static HyperParameter<int> FromEpoch { get; } = Integer("from-epoch", 0, "at least 0", e => e >= 0, "perturbs from this epoch on, counted from 0", "Foret et al. 2021; late phases are enough, arXiv 2410.10373", o => o.FromEpoch, (o, v) => o with { FromEpoch = v });
    /// <summary>Which weights are perturbed.</summary>
    public static HyperParameter<PerturbScope> Scope { get; } = Choice("perturb", PerturbScope.All, "which weights are perturbed; weights leaves BatchNorm and biases out", "davda54/sam", o => o.PerturbScope, (o, v) => o with { PerturbScope = v });
    /// <summary>Whose loss the ascent climbs.</summary>
    public static HyperParameter<AscentBatch> AscentOn { get; } = Choice("ascent-on", AscentBatch.Mixed, "whose loss the ascent climbs; clean costs one more forward", "Li and Tang 2023, Algorithm 1", o => o.AscentOn, (o, v) => o with { AscentOn = v });
    /// <summary>ASAM's η.</summary>
    public static HyperParameter<double> Eta { get; } = Real("eta", 0.01, "at least 0", e => e >= 0, "added to |w| in the scale of the ascent", "SamsungLabs/ASAM's class; 0 in its script", o => o.Eta, (o, v) => o with { Eta = v });
    /// <summary>T = 1 for biases.</summary>
    public static HyperParameter<bool> AsamWeightsOnly { get; } = Switch("asam-weights-only", "leaves biases unscaled", "scaling all is invariant; SamsungLabs/ASAM leaves biases unscaled", o => o.AsamWeightsOnly, (o, v) => o with { AsamWeightsOnly = v });
    /// <summary>|ε| = ρ.</summary>
    public static HyperParameter<bool> Normalize { get; } = Switch("normalize", "makes the perturbation's length rho, whatever the gradient's", "T-Ratchatorn/AACE", o => o.Normalize, (o, v) => o with { Normalize = v });
    /// <summary>What the ascent moves towards.</summary>
    public static HyperParameter<AaceTarget> Towards { get; } = Choice("aace-target", AaceTarget.Adaptive, "wrong classes that the ascent moves towards", "T-Ratchatorn/AACE", o => o.AaceTarget, (o, v) => o with { AaceTarget = v });
    /// <summary>What the true class keeps.</summary>
    public static HyperParameter<double> AaceThreshold { get; } = Real("aace-threshold", 0, "from 0 to 1", t => t is >= 0 and <= 1, "the most that the true class keeps of the target", "T-Ratchatorn/AACE", o => o.AaceThreshold, (o, v) => o with { AaceThreshold = v });
    /// <summary>ESAM's β.</summary>
    public static HyperParameter<double> Beta { get; } = Real("beta", 0.6, "above 0 and at most 1", b => b is > 0 and <= 1, "probability that a weight is perturbed", "dydjw9/Efficient_SAM; 0.5 for its WideResNet", o => o.Beta, (o, v) => o with { Beta = v });
    /// <summary>Masks per element.</summary>
    public static HyperParameter<bool> MaskPerElement { get; } = Switch("mask-per-element", "draws the mask per element instead of per tensor", "dydjw9/Efficient_SAM", o => o.MaskPerElement, (o, v) => o with { MaskPerElement = v });
    /// <summary>AMP's ζ.</summary>
    public static HyperParameter<double> StepSize { get; } = Real("step-size", 1, "above 0", z => z > 0, "length of an ascent step, in units of the gradient", "hiyouga/AMP-Regularizer", o => o.StepSize, (o, v) => o with { StepSize = v });
    /// <summary>AMP's N.</summary>
    public static HyperParameter<int> AscentSteps { get; } = Integer("ascent-steps", 1, "at least 0", n => n >= 0, "ascent steps before the training gradient", "hiyouga/AMP-Regularizer", o => o.AscentSteps, (o, v) => o with { AscentSteps = v });
    /// <summary>A ball per tensor.</summary>
    public static HyperParameter<bool> BallPerTensor { get; } = Switch("ball-per-tensor", "limits each parameter tensor by itself instead of all together", "the paper; hiyouga/AMP-Regularizer has a ball per tensor", o => o.BallPerTensor, (o, v) => o with { BallPerTensor = v });

    /// <summary>γ.</summary>
    public static HyperParameter<double> Gamma { get; } = Real("gamma", 0.5, "above 0 and at most 1", g => g is > 0 and <= 1, "share of the batch that is kept as sensitive", "ESAM's setting; the paper's value is lost", o => o.Gamma, (o, v) => o with { Gamma = v });
    /// <summary>κ.</summary>
    public static HyperParameter<double> Kappa { get; } = Real("kappa", 1, "a finite number", _ => true, "weight of the orthogonal part", "no coefficient among the paper's hyper-parameters", o => o.Kappa, (o, v) => o with { Kappa = v });
    /// <summary>How B₊ is run.</summary>
    public static HyperParameter<SubsetForward> Subset { get; } = Choice("subset", SubsetForward.Recompute, "runs the selected part by itself, or goes back through the scoring pass", "dydjw9/Efficient_SAM", o => o.Subset, (o, v) => o with { Subset = v });
    /// <summary>What ranks examples.</summary>
    public static HyperParameter<SelectionScore> Score { get; } = Choice("score", SelectionScore.Sharpness, "what ranks examples", "Li and Tang 2023, eq. 11", o => o.Score, (o, v) => o with { Score = v });
    /// <summary>How sensitivities are computed under bfloat16.</summary>
    public static HyperParameter<ScorePrecision> ScoringPrecision { get; } = Choice("score-precision", ScorePrecision.Training, "in which arithmetic sensitivities are computed; float32 costs two more forward passes where training is in bf16", "measured: see the card", o => o.ScorePrecision, (o, v) => o with { ScorePrecision = v });
    /// <summary>How γ n is rounded.</summary>
    public static HyperParameter<SelectionRounding> Rounding { get; } = Choice("rounding", SelectionRounding.Floor, "how gamma times the batch becomes a whole number", "dydjw9/Efficient_SAM", o => o.Rounding, (o, v) => o with { Rounding = v });
    /// <summary>g₋ at w.</summary>
    public static HyperParameter<bool> MinusAtBase { get; } = Switch("minus-at-base", "takes the others' gradient at w instead of w + epsilon", "Li and Tang 2023, eq. 16", o => o.MinusAtBase, (o, v) => o with { MinusAtBase = v });
    /// <summary>g₋ by its share.</summary>
    public static HyperParameter<bool> MinusByBatch { get; } = Switch("minus-by-batch", "weights the others' gradient by their share of the batch", "Li and Tang 2023, eq. 16", o => o.MinusByBatch, (o, v) => o with { MinusByBatch = v });
    /// <summary>α_g.</summary>
    public static HyperParameter<double> AlphaG { get; } = Real("alpha-g", 0.4, "a finite number", _ => true, "how much of the clean gradient's orthogonal part is taken off", "juntang-zhuang/GSAM's example", o => o.AlphaG, (o, v) => o with { AlphaG = v });
    /// <summary>a of the gradient-norm penalty.</summary>
    public static HyperParameter<double> Balance { get; } = Real("balance", 0.8, "from 0 to 1", a => a is >= 0 and <= 1, "weight of the perturbed gradient against the clean one", "zhaoyang-0204/gnp", o => o.Balance, (o, v) => o with { Balance = v });
    /// <summary>g / |g|.</summary>
    public static HyperParameter<bool> NormalizeBase { get; } = Switch("normalize-base", "takes the clean gradient at length 1", "the README of zhaoyang-0204/gnp; its flag is on by default", o => o.NormalizeBase, (o, v) => o with { NormalizeBase = v });
    /// <summary>a of LookSAM.</summary>
    public static HyperParameter<double> LookAlpha { get; } = Real("look-alpha", 0.7, "at least 0", a => a >= 0, "length of the reused sharp direction relative to the gradient", "a reimplementation's usage", o => o.LookAlpha, (o, v) => o with { LookAlpha = v });

    /// <summary>The training loss.</summary>
    public static HyperParameter<LossKind> LossOf { get; } = Choice("loss", LossKind.CrossEntropy, "training loss; Manifold Mixup's published code has the second for all its methods", "facebookresearch/mixup-cifar10", o => o.Loss, (o, v) => o with { Loss = v });
    /// <summary>Label smoothing.</summary>
    public static HyperParameter<double> LabelSmoothing { get; } = Real("label-smoothing", 0, "at least 0 and below 1", s => s is >= 0 and < 1, "share of the label that is spread over all classes", "facebookresearch/mixup-cifar10; 0.1 in davda54/sam", o => o.LabelSmoothing, (o, v) => o with { LabelSmoothing = v });
    /// <summary>BatchNorm after the first pass.</summary>
    public static HyperParameter<LaterStatistics> Statistics { get; } = Choice("later-statistics", LaterStatistics.Freeze, "whether BatchNorm's running statistics move after a step's first pass", "google-research/sam, davda54/sam; SamsungLabs/ASAM and dydjw9/Efficient_SAM update", o => o.LaterStatistics, (o, v) => o with { LaterStatistics = v });

    /// <summary>Every one of them.</summary>
    public static IReadOnlyList<HyperParameter> All { get; } =
    [
        Alpha, LambdaPerSample, FoldLambda, MixProbability, Layers, Copies, Copy, Sigma,
        Rho, RhoMin, Every, FromEpoch, Scope, AscentOn, Eta, AsamWeightsOnly, Normalize, Towards, AaceThreshold, Beta, MaskPerElement, StepSize, AscentSteps, BallPerTensor,
        Gamma, Kappa, Subset, Score, ScoringPrecision, Rounding, MinusAtBase, MinusByBatch, AlphaG, Balance, NormalizeBase, LookAlpha,
        LossOf, LabelSmoothing, Statistics,
    ];

    private static HyperParameter<double> Real(string flag, double standard, string range, Func<double, bool> allows, string meaning, string source, Func<MethodOptions, double?> get, Func<MethodOptions, double, MethodOptions> set) =>
        Make(flag, standard, range, v => double.IsFinite(v) && allows(v), meaning, source, get, set, t => (double.TryParse(t, NumberStyles.Float, CultureInfo.InvariantCulture, out var v), v));

    private static HyperParameter<int> Integer(string flag, int standard, string range, Func<int, bool> allows, string meaning, string source, Func<MethodOptions, int?> get, Func<MethodOptions, int, MethodOptions> set) =>
        Make(flag, standard, "a whole number, " + range, allows, meaning, source, get, set, Whole);

    private static HyperParameter<bool> Switch(string flag, string meaning, string source, Func<MethodOptions, bool?> get, Func<MethodOptions, bool, MethodOptions> set) =>
        Make(flag, false, "true or false", _ => true, meaning, source, get, set, t => (bool.TryParse(t, out var v), v));

    private static HyperParameter<T> Choice<T>(string flag, T standard, string meaning, string source, Func<MethodOptions, T?> get, Func<MethodOptions, T, MethodOptions> set) where T : struct, Enum
    {
        var names = Enum.GetValues<T>().ToDictionary(v => HyperParameter.Show(v));
        return Make(flag, standard, "one of " + string.Join(" ", names.Keys), Enum.IsDefined, meaning, source, get, set, t => (names.TryGetValue(t, out var v), v));
    }

    private static HyperParameter<T> Make<T>(string flag, T standard, string range, Func<T, bool> allows, string meaning, string source, Func<MethodOptions, T?> get, Func<MethodOptions, T, MethodOptions> set, Func<string, (bool, T)> parse) where T : struct =>
        new()
        {
            Flag = flag, Default = standard, Range = range, Allows = allows, Meaning = meaning, Source = source, Set = set,
            Given = o => get(o) is { } v ? (true, v) : (false, default),
            Parse = t => parse(t),
        };

    private static (bool, int) Whole(string text) => (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var v), v);
}
