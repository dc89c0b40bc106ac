using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>First word of a method: which vicinal batch is trained on?</summary>
public abstract record Mix
{
    /// <summary>Draws what <see cref="Apply"/> will need.</summary>
    /// <param name="random">The step's own stream.</param>
    /// <param name="count">Examples in the batch, n.</param>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    public abstract Draw Draw(CounterRandom random, int count, int height, int width);

    /// <summary>Makes the vicinal batch.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="draw">What was drawn.</param>
    /// <param name="scorer">Runs the network without a graph, for methods that choose by loss.</param>
    public abstract VicinalBatch Apply(Batch batch, Draw draw, IScorer scorer);

    /// <summary>Whether training labels are mixed, so that the training accuracy is the vicinal one.</summary>
    public virtual bool MixesLabels => true;

    /// <summary>Whether the rows of the vicinal batch can run by themselves; not so where a row's activations need another row's.</summary>
    public virtual bool RowsAreIndependent => true;

    /// <summary>Forward passes of the whole batch that making the vicinal batch takes.</summary>
    public virtual double Forwards => 0;

    /// <summary>Why these settings cannot work, in words that finish 'TITLE: '; null where they can.</summary>
    public virtual string? Problem => null;
}

/// <summary>What a <see cref="Mix"/> may ask of the network.</summary>
public interface IScorer
{
    /// <summary>Per-example losses (n) at the current weights, without a graph; BatchNorm uses the batch and keeps its running statistics.</summary>
    Tensor Score(VicinalBatch batch);
}

/// <summary>Which weights are perturbed.</summary>
public enum PerturbScope
{
    /// <summary>All that are trained, BatchNorm and biases included.</summary>
    All,
    /// <summary>Convolution and linear weights; BatchNorm and biases stay.</summary>
    Weights,
}

/// <summary>Whose loss the ascent climbs, where a method mixes.</summary>
public enum AscentBatch
{
    /// <summary>The vicinal batch's, as G-Mix's algorithm says.</summary>
    Mixed,
    /// <summary>The batch's as it is, by a pass of its own.</summary>
    Clean,
}

/// <summary>Second word of a method: at which weights is the gradient taken?</summary>
public abstract record Perturb
{
    /// <summary>When the perturbation happens; every step unless said otherwise.</summary>
    public When When { get; init; } = When.EveryStep;

    /// <summary>The same perturbation at other steps (F# has no <c>with</c> for C# records).</summary>
    public Perturb At(When when) => this with { When = when };

    /// <summary>Which weights it moves; all unless said otherwise.</summary>
    public PerturbScope Scope { get; init; }

    /// <summary>Whose loss it climbs; the vicinal batch's unless said otherwise.</summary>
    public AscentBatch AscentOn { get; init; }

    /// <summary>Whether there is a perturbation at all.</summary>
    public virtual bool Active => true;

    /// <summary>Radius ρ, where the method has one.</summary>
    public virtual double Radius => 0;

    /// <summary>Ascent steps; each after the first costs a forward and a backward.</summary>
    public virtual int Ascents => 1;

    /// <summary>The per-example losses whose mean the ascent gradient is taken of: the training losses, unless a method ascends another loss.</summary>
    /// <param name="logits">(n, classes), with a graph.</param>
    /// <param name="targets">The labels.</param>
    /// <param name="losses">Training losses (n), with the same graph.</param>
    /// <param name="draw">What the step drew.</param>
    public virtual Tensor AscentLosses(Tensor logits, Targets targets, Tensor losses, Draw draw) => losses;

    /// <summary>Whether <see cref="AscentLosses"/> are the training losses.</summary>
    public virtual bool AscendsTrainingLoss => true;

    /// <summary>ε, shape (d).</summary>
    /// <param name="weights">w, with the parameters' names and places.</param>
    /// <param name="gradient">Gradient of the mean ascent loss at w, shape (d).</param>
    /// <param name="at">Where training is (for a radius that follows the learning rate) and what was drawn.</param>
    public abstract Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at);

    /// <summary>The number f with ε = f · gradient, a float64 scalar, where ε is a multiple of the gradient: then ε need not be written down. Else null.</summary>
    /// <param name="gradientNorm">|gradient|, a float64 scalar.</param>
    /// <param name="at">Where training is, and what was drawn.</param>
    public virtual Tensor? Factor(Tensor gradientNorm, StepContext at) => null;

    /// <summary>The next ε of a perturbation of several <see cref="Ascents"/>.</summary>
    /// <param name="weights">w.</param>
    /// <param name="epsilon">ε so far, (d).</param>
    /// <param name="gradient">Gradient of the mean ascent loss at w + ε, (d).</param>
    /// <param name="at">Where training is, and what was drawn.</param>
    public virtual Tensor Further(ParameterVector weights, Tensor epsilon, Tensor gradient, StepContext at) => throw new InvalidOperationException($"{this} is one ascent step");

    /// <summary>What follows the settings in <see cref="object.ToString"/>: scope and ascent batch where they differ from the defaults.</summary>
    protected string Details => (Scope == PerturbScope.All ? "" : ", perturb=weights") + (AscentOn == AscentBatch.Mixed ? "" : ", ascentOn=clean");
}

/// <summary>Third word of a method: whose gradients count, and how do they add up?</summary>
public abstract record Combine
{
    /// <summary>Whether it only makes sense at perturbed weights.</summary>
    public virtual bool NeedsPerturb => true;

    /// <summary>Whether it runs a part of the batch by itself.</summary>
    public virtual bool RunsParts => false;

    /// <summary>What to do where <see cref="RunsParts"/> stands in the way.</summary>
    public virtual string PartsAdvice => "use --subset reuse";

    /// <summary>Whether it uses the training loss's gradient at w.</summary>
    public virtual bool NeedsGradient => false;

    /// <summary>What the passes at w + ε cost.</summary>
    public virtual Cost Cost => new(1, 1);

    /// <summary>The update direction d, shape (d), from passes at w + ε.</summary>
    public abstract Tensor Direction(SecondPass pass);

    /// <summary>The update direction of a step without perturbation; <paramref name="gradient"/> is the plain one.</summary>
    public virtual Tensor Between(Tensor gradient, MethodState state) => gradient;
}

/// <summary>Where training is when a step runs, and what was drawn.</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="Step">Steps done since the start of training.</param>
/// <param name="LearningRate">Of this step.</param>
/// <param name="PeakLearningRate">The schedule's largest.</param>
/// <param name="Draw">What the step drew.</param>
public sealed record StepContext(int Epoch, long Step, double LearningRate, double PeakLearningRate, Draw Draw)
{
    private readonly int _epoch = Epoch;
    private readonly long _step = Step;

    /// <summary>From 0.</summary>
    public int Epoch { get => Draw.OnHost(_epoch); init => _epoch = value; }

    /// <summary>Steps done since the start of training.</summary>
    public long Step { get => Draw.OnHost(_step); init => _step = value; }

    /// <summary>Of this step.</summary>
    public double LearningRate { get => Draw.OnHost(field); init; } = LearningRate;

    /// <summary>The schedule's largest.</summary>
    public double PeakLearningRate { get => Draw.OnHost(field); init; } = PeakLearningRate;

    /// <summary>A tensor of numbers that the step's place decides, as <see cref="Methods.Draw.OnDevice"/> has those of its draw.</summary>
    /// <param name="name">What it is.</param>
    /// <param name="device">Where it is wanted.</param>
    /// <param name="make">Makes it from a step's context. It may keep settings, but nothing that differs from step to step.</param>
    public Tensor OnDevice(string name, Device device, Func<StepContext, Tensor> make) => Draw.Numbers(name, device, (at, _) => make(at!), this);

    /// <summary>Whether a step at this place perturbs; that is part of a step's form, so a recorded step may ask.</summary>
    internal bool Perturbs(When when) => _epoch >= when.FromEpoch && _step % when.Every == 0;
}

/// <summary>What a method carries from step to step, by name; saved in checkpoints. Most methods carry nothing.</summary>
public sealed class MethodState : IDisposable
{
    private readonly SortedDictionary<string, Tensor> _values = new(StringComparer.Ordinal);

    /// <summary>Everything carried.</summary>
    public IReadOnlyDictionary<string, Tensor> Values => _values;

    /// <summary>The tensor of that name, if the method stored one.</summary>
    public Tensor? this[string name] => _values.GetValueOrDefault(name);

    /// <summary>Stores a copy.</summary>
    public void Set(string name, Tensor value)
    {
        using var noGrad = Autograd.NoGrad();
        if (_values.TryGetValue(name, out var old)) old.CopyFrom(value);
        else _values[name] = TensorScope.Detach(value.Clone());
    }

    /// <summary>Frees it.</summary>
    public void Dispose()
    {
        foreach (var t in _values.Values) t.Dispose();
        _values.Clear();
    }
}
