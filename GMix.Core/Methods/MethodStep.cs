using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>Everything a step found out. Tensors live in the scope the step ran in.</summary>
/// <param name="Direction">d, (d): what the optimizer is given.</param>
/// <param name="Logits">(n, classes) of the first pass.</param>
/// <param name="Batch">The vicinal batch.</param>
/// <param name="LossesAtW">l_i(w), (n).</param>
/// <param name="GradientNorm">|g| of the first pass, a float64 scalar.</param>
public sealed record StepResult(Tensor Direction, Tensor Logits, VicinalBatch Batch, Tensor LossesAtW, Tensor GradientNorm)
{
    /// <summary>l_i(w+ε), (n); null for a step without perturbation.</summary>
    public Tensor? LossesAtPerturbed { get; init; }

    /// <summary>Indices of B₊, ascending; null where nothing was selected.</summary>
    public Tensor? Selected { get; init; }

    /// <summary>|ε|, a float64 scalar; null for a step without perturbation.</summary>
    public Tensor? EpsilonNorm { get; init; }

    /// <summary>What else the method found (<c>projection</c>: DG-Mix's c), by name.</summary>
    public IReadOnlyDictionary<string, Tensor> Found { get; init; } = new Dictionary<string, Tensor>();
}

/// <summary>
/// Runs one step of any method: draw, mix, gradient at w, perturb, losses at w + ε, combine, restore. The optimizer's update comes after.
/// It never asks the device for a number.
/// </summary>
public sealed class MethodStep : IScorer, IDisposable
{
    private readonly Generator _generator;
    private readonly Loss _loss;

    /// <param name="network">The network; its BatchNorm statistics move once a step, in the first pass.</param>
    /// <param name="method">Its words must fit together, see <see cref="Method.Check"/>.</param>
    /// <param name="loss">Per-example loss.</param>
    public MethodStep(Network network, Method method, Loss? loss = null)
    {
        method.Check();
        (Network, Method, _loss) = (network, method, loss ?? new Loss());
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

        VicinalBatch vicinal;
        using (Autograd.NoGrad()) vicinal = mix.Apply(batch, at.Draw, this);
        var (losses, logits) = Losses(vicinal, at.Draw, null, BatchNormMode.Train);
        var lossesAtW = losses.Detach();

        if (!perturb.Active || !perturb.When.Perturbs(at))
        {
            var g = Network.Parameters.Gradient(losses.Mean());
            using (Autograd.NoGrad())
                return new StepResult(combine.Between(g, State), logits.Detach(), vicinal, lossesAtW, g.Norm()) { Found = vicinal.Found };
        }

        // where the ascent follows another loss, a method that also wants ∇L(w) costs one more backward through the same graph
        var own = !perturb.AscendsTrainingLoss && combine.NeedsGradient ? Network.Parameters.Gradient(losses.Mean(), retainGraph: true) : null;
        var ascent = Network.Parameters.Gradient(perturb.AscentLosses(logits, vicinal.Targets, losses).Mean());
        Tensor epsilon;
        using (Autograd.NoGrad()) epsilon = perturb.Epsilon(Network.Parameters, ascent, at);

        SecondPass second;
        Tensor direction;
        using (var away = Network.Parameters.Perturbed(epsilon))
        {
            second = new SecondPass(this, vicinal, lossesAtW, own ?? ascent, away.Home, at);
            direction = combine.Direction(second);
        }

        using (Autograd.NoGrad())
            return new StepResult(direction, logits.Detach(), vicinal, lossesAtW, ascent.Norm())
            {
                LossesAtPerturbed = second.LossesAtPerturbed,
                Selected = second.Selected,
                EpsilonNorm = epsilon.Norm(),
                Found = second.Found.Count == 0 ? vicinal.Found : second.Found.Concat(vicinal.Found).ToDictionary(),
            };
    }

    /// <summary>Per-example losses and logits of the batch, or of some of its rows, at the weights as they are.</summary>
    internal (Tensor Losses, Tensor Logits) Losses(VicinalBatch batch, Draw draw, Tensor? rows, BatchNormMode mode = BatchNormMode.TrainFrozen)
    {
        var pass = new ForwardPass(mode) { Dropout = _generator, DropoutSeed = draw.Seed, Rows = rows, FullCount = batch.Count, AtStage = batch.AtStage };
        var inputs = rows is null ? batch.Inputs : batch.Inputs.Rows(rows);
        var targets = rows is null ? batch.Targets : batch.Targets.Rows(rows);
        var logits = Network.Logits(inputs, pass);
        return (_loss.PerExample(logits, targets), logits);
    }

    /// <inheritdoc/>
    public Tensor Score(VicinalBatch batch)
    {
        using var noGrad = Autograd.NoGrad();
        return Losses(batch, Draw.None, null).Losses;
    }

    /// <summary>Frees the generator and the carried state.</summary>
    public void Dispose()
    {
        _generator.Dispose();
        State.Dispose();
    }
}
