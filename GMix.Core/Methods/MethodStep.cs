using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>
/// Runs one step of any method: draw, mix, gradient at w, perturb, losses at w + ε, combine, restore. The optimizer's update comes after.
/// It never asks the device for a number.
/// </summary>
public sealed class MethodStep : IScorer, IDisposable
{
    private readonly Generator _generator;
    private readonly Loss _loss;
    private readonly BatchNormMode _laterPasses;
    private Tensor? _scope;
    private Draw _draw = Draw.None;
    private int _count;
    private double _forwards, _backwards;

    /// <param name="network">The network; its BatchNorm statistics move once a step, in the first pass.</param>
    /// <param name="method">Its words must fit together, see <see cref="Method.Check"/>.</param>
    /// <param name="loss">Per-example loss; the method's own when not given.</param>
    public MethodStep(Network network, Method method, Loss? loss = null)
    {
        method.Check();
        (Network, Method, _loss) = (network, method, loss ?? method.Loss);
        _loss.Check();
        _laterPasses = method.LaterStatistics == LaterStatistics.Update ? BatchNormMode.Train : BatchNormMode.TrainFrozen;
        _generator = new Generator(network.Device);
    }

    /// <summary>The network that is trained.</summary>
    public Network Network { get; }

    /// <summary>How.</summary>
    public Method Method { get; }

    /// <summary>What the method carries from step to step.</summary>
    public MethodState State { get; } = new();

    /// <summary>The step's direction on a batch with a given draw. Weights end where they started, bit for bit.</summary>
    public StepResult Run(Batch batch, StepContext at)
    {
        var (mix, perturb, combine) = (Method.Mix, Method.Perturb, Method.Combine);
        (_draw, _count, _forwards, _backwards) = (at.Draw, batch.Count, 0, 0);

        VicinalBatch vicinal;
        using (Profiler.Span("mix"))
        using (Autograd.NoGrad()) vicinal = mix.Apply(batch, at.Draw, this);
        var perturbs = perturb.Active && perturb.When.Perturbs(at);
        var ascentBatch = perturbs && perturb.AscentOn == AscentBatch.Clean ? new VicinalBatch(batch.Images, new Targets(batch.Labels)) : vicinal;
        var elsewhere = ascentBatch != vicinal && !vicinal.IsThe(batch);

        // the first pass is the one whose losses, logits and statistics count; it needs no graph where the ascent has a pass of its own
        Tensor losses, logits;
        using (Profiler.Span("first pass"))
        using (elsewhere && !combine.NeedsGradient ? Autograd.NoGrad() : Autograd.WithGrad())
            (losses, logits) = Losses(vicinal, null, BatchNormMode.Train);
        var lossesAtW = losses.Detach();

        if (!perturbs)
        {
            Tensor g;
            using (Profiler.Span("first pass")) g = Gradient(losses);
            using (Autograd.NoGrad())
                return Counted(new StepResult(combine.Between(g, State), logits.Detach(), vicinal, lossesAtW, Vectors.Norm(g)) { Found = vicinal.Found });
        }

        // where the ascent follows another loss, a method that also wants ∇L(w) costs one more backward
        var ownGraph = elsewhere || !perturb.AscendsTrainingLoss;
        Tensor? own = null, factor, epsilon = null;
        Tensor ascent, ascentNorm, direction;
        using (Profiler.Span("first pass"))
        {
            if (ownGraph && combine.NeedsGradient) own = Gradient(losses, retainGraph: !elsewhere);
            ascent = elsewhere ? AscentGradient(ascentBatch) : Gradient(perturb.AscentLosses(logits, vicinal.Targets, losses, at.Draw));
        }
        using (Profiler.Span("perturb"))
        {
            using (Autograd.NoGrad())
            {
                ascentNorm = Vectors.Norm(ascent);
                factor = perturb.Ascents == 1 && perturb.Scope == PerturbScope.All ? perturb.Factor(ascentNorm, at) : null;
            }
            if (factor is null) epsilon = Climb(ascentBatch, ascent, at);
        }

        SecondPass second;
        using (var away = epsilon is null ? Network.Parameters.Perturbed(ascent, factor!) : Network.Parameters.Perturbed(epsilon))
        using (Profiler.Span("second pass"))
        {
            second = new SecondPass(this, vicinal, lossesAtW, ownGraph ? own : ascent, away.Home, at);
            direction = combine.Direction(second);
        }

        using (Autograd.NoGrad())
            return Counted(new StepResult(direction, logits.Detach(), vicinal, lossesAtW, ascentNorm)
            {
                LossesAtPerturbed = second.LossesAtPerturbed,
                Selected = second.Selected,
                FindEpsilonNorm = () => Vectors.Norm(epsilon ?? ascent * factor!.To(ascent.DType)),
                Found = second.Found.Count == 0 ? vicinal.Found : second.Found.Concat(vicinal.Found).ToDictionary(),
            });
    }

    private StepResult Counted(StepResult result) => result with { Forwards = _forwards, Backwards = _backwards };

    /// <summary>ε by as many ascent steps as the perturbation takes, the first from the gradient at w.</summary>
    private Tensor Climb(VicinalBatch batch, Tensor gradient, StepContext at)
    {
        var perturb = Method.Perturb;
        Tensor epsilon;
        using (Autograd.NoGrad()) epsilon = perturb.Epsilon(Network.Parameters, InScope(gradient), at);
        for (var i = 1; i < perturb.Ascents; i++)
        {
            Tensor further;
            using (Network.Parameters.Perturbed(epsilon)) further = AscentGradient(batch);
            using (Autograd.NoGrad()) epsilon = perturb.Further(Network.Parameters, epsilon, InScope(further), at);
        }
        return epsilon;
    }

    private Tensor AscentGradient(VicinalBatch batch)
    {
        var (losses, logits) = Losses(batch, null);
        return Gradient(Method.Perturb.AscentLosses(logits, batch.Targets, losses, _draw));
    }

    /// <summary>The gradient with zeros at weights that are not perturbed.</summary>
    private Tensor InScope(Tensor gradient)
    {
        if (Method.Perturb.Scope == PerturbScope.All) return gradient;
        _scope ??= TensorScope.Detach(Network.Parameters.PerPart(part => part.Parameter.Shape.Length > 1 ? 1 : 0));
        return gradient * _scope;
    }

    /// <summary>∇ of the mean of per-example losses, (d).</summary>
    /// <param name="losses">With a graph.</param>
    /// <param name="retainGraph">Keep the graph for a further gradient.</param>
    /// <param name="share">The share of the batch that the graph runs through.</param>
    internal Tensor Gradient(Tensor losses, bool retainGraph = false, double share = 1)
    {
        _backwards += share;
        return Network.Parameters.Gradient(losses, retainGraph);
    }

    /// <summary>Per-example losses and logits of the batch, or of some of its rows, at the weights as they are; a pass after the first.</summary>
    internal (Tensor Losses, Tensor Logits) Losses(VicinalBatch batch, Tensor? rows) => Losses(batch, rows, _laterPasses);

    /// <summary>Per-example losses at the weights as they are, without a graph and without bfloat16.</summary>
    internal Tensor FullPrecisionLosses(VicinalBatch batch)
    {
        using var noGrad = Autograd.NoGrad();
        return Losses(batch, null, BatchNormMode.TrainFrozen, fullPrecision: true).Losses;
    }

    private (Tensor Losses, Tensor Logits) Losses(VicinalBatch batch, Tensor? rows, BatchNormMode mode, bool fullPrecision = false)
    {
        _forwards += (rows?.Count ?? batch.Count) / (double)_count;
        var reached = 0;
        var pass = new ForwardPass(mode)
        {
            Dropout = _generator, Mask = DropoutMask, Rows = rows, FullCount = batch.Count, FullPrecision = fullPrecision,
            AtStage = batch.AtStage is not { } change ? null : (stage, h) =>
            {
                reached = Math.Max(reached, stage);
                return change(stage, h);
            },
        };
        var inputs = rows is null ? batch.Inputs : batch.Inputs.Rows(rows);
        var targets = rows is null ? batch.Targets : batch.Targets.Rows(rows);
        var logits = Network.Logits(inputs, pass);
        if (batch.AtStage is not null && batch.Stage > reached)
            throw new GMixInputException($"--layers {batch.Stage}: {Network.Model.GetType().Name} has stages 0 to {reached} only, so {Method.Title} cannot mix there");
        return (_loss.PerExample(logits, targets), logits);
    }

    private Tensor DropoutMask(string name, Func<ulong, Tensor> make) => _draw.OnDevice(name, Network.Device, d => make(d.Seed));

    /// <inheritdoc/>
    public Tensor Score(VicinalBatch batch)
    {
        using var noGrad = Autograd.NoGrad();
        return Losses(batch, null, BatchNormMode.TrainFrozen).Losses;
    }

    /// <summary>Frees the generator and the carried state.</summary>
    public void Dispose()
    {
        _generator.Dispose();
        _scope?.Dispose();
        State.Dispose();
    }
}
