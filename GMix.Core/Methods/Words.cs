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
}

/// <summary>What a <see cref="Mix"/> may ask of the network.</summary>
public interface IScorer
{
    /// <summary>Per-example losses (n) at the current weights, without a graph; BatchNorm uses the batch and keeps its running statistics.</summary>
    Tensor Score(VicinalBatch batch);
}

/// <summary>Second word of a method: at which weights is the gradient taken?</summary>
public abstract record Perturb
{
    /// <summary>When the perturbation happens; every step unless said otherwise.</summary>
    public When When { get; init; } = When.EveryStep;

    /// <summary>Whether there is a perturbation at all.</summary>
    public virtual bool Active => true;

    /// <summary>Radius ρ, where the method has one.</summary>
    public virtual double Radius => 0;

    /// <summary>The per-example losses whose mean the ascent gradient is taken of: the training losses, unless a method ascends another loss.</summary>
    public virtual Tensor AscentLosses(Tensor logits, Targets targets, Tensor losses) => losses;

    /// <summary>Whether <see cref="AscentLosses"/> are the training losses.</summary>
    public virtual bool AscendsTrainingLoss => true;

    /// <summary>ε, shape (d).</summary>
    /// <param name="weights">w, with the parameters' names and places.</param>
    /// <param name="gradient">Gradient of the mean ascent loss at w, shape (d).</param>
    /// <param name="at">Where training is (for a radius that follows the learning rate) and what was drawn.</param>
    public abstract Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at);
}

/// <summary>Third word of a method: whose gradients count, and how do they add up?</summary>
public abstract record Combine
{
    /// <summary>Whether it only makes sense at perturbed weights.</summary>
    public virtual bool NeedsPerturb => true;

    /// <summary>Whether it runs a part of the batch by itself.</summary>
    public virtual bool RunsParts => false;

    /// <summary>Whether it uses the training loss's gradient at w.</summary>
    public virtual bool NeedsGradient => false;

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
public sealed record StepContext(int Epoch, long Step, double LearningRate, double PeakLearningRate, Draw Draw);

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
