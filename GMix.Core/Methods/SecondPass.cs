using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>
/// What a <see cref="Combine"/> works with while the weights are at w + ε: losses and gradients on the step's vicinal batch, with BatchNorm on
/// batch statistics and its running statistics at rest.
/// </summary>
public sealed class SecondPass
{
    private readonly MethodStep _step;
    private readonly Tensor _home;

    internal SecondPass(MethodStep step, VicinalBatch batch, Tensor lossesAtW, Tensor? gradientAtW, Tensor home, StepContext at)
    {
        (_step, Batch, LossesAtW, _home, At) = (step, batch, lossesAtW, home, at);
        GradientAtW = gradientAtW;
    }

    /// <summary>The step's vicinal batch.</summary>
    public VicinalBatch Batch { get; }

    /// <summary>l_i(w), (n), from the first pass; without a graph.</summary>
    public Tensor LossesAtW { get; }

    /// <summary>∇ of the mean training loss at w, (d); there where <see cref="Combine.NeedsGradient"/> asks for it.</summary>
    public Tensor? GradientAtW { get; }

    /// <summary>Where training is.</summary>
    public StepContext At { get; }

    /// <summary>What the method carries from step to step.</summary>
    public MethodState State => _step.State;

    /// <summary>l_i(w+ε), (n), once a pass has run.</summary>
    public Tensor? LossesAtPerturbed { get; private set; }

    /// <summary>B₊ once a selection was made; ascending.</summary>
    public Tensor? Selected { get; private set; }

    /// <summary>Scalars and vectors worth showing, by name.</summary>
    public Dictionary<string, Tensor> Found { get; } = [];

    /// <summary>Per-example losses of the whole batch at w + ε, with a graph.</summary>
    public Tensor Losses()
    {
        var losses = _step.Losses(Batch, null).Losses;
        LossesAtPerturbed = losses.Detach();
        return losses;
    }

    /// <summary>∇ of the mean of those losses, (d).</summary>
    public Tensor Gradient(Tensor losses, bool retainGraph = false) => _step.Gradient(losses, retainGraph);

    /// <summary>∇ of the mean over some rows that run by themselves, (d); null for all rows.</summary>
    internal Tensor GradientOfRows(Tensor? rows) => _step.Gradient(_step.Losses(Batch, rows).Losses, share: (double)(rows?.Count ?? Batch.Count) / Batch.Count);

    /// <summary>l_i(w) and l_i(w+ε), (n) each, without bfloat16: two forward passes without a graph. Bit for bit the same network otherwise.</summary>
    public (Tensor AtW, Tensor AtPerturbed) FullPrecisionLosses()
    {
        var after = _step.FullPrecisionLosses(Batch);
        using (_step.Network.Parameters.At(_home)) return (_step.FullPrecisionLosses(Batch), after);
    }

    /// <summary>Scores the batch at w + ε and splits it.</summary>
    public Parts Select(Selection selection)
    {
        Tensor? graph = null;
        var apart = selection.Precision == ScorePrecision.Float32 && _step.Network.Precision == Precision.BFloat16 && selection.Size(Batch.Count) < Batch.Count;
        // where everything is selected, the scoring pass is the pass to go back through
        if (selection.Subset == SubsetForward.Reuse || selection.Size(Batch.Count) == Batch.Count) graph = Losses();
        else
            using (Profiler.Span("score"))
            using (Autograd.NoGrad()) Losses();
        using var noGrad = Autograd.NoGrad();
        var (before, after) = (LossesAtW, LossesAtPerturbed!);
        if (apart)
            using (Profiler.Span("score"))
                (before, after) = FullPrecisionLosses();
        var (plus, minus) = selection.Split(before, after, At.Draw);
        Selected = plus;
        return new Parts(this, plus, minus, graph);
    }

    /// <summary>B₊ and B₋ of a batch, and their gradients.</summary>
    public sealed class Parts : IDisposable
    {
        private readonly SecondPass _pass;
        private readonly Tensor? _graph;

        internal Parts(SecondPass pass, Tensor plus, Tensor? minus, Tensor? graph) => (_pass, Plus, Minus, _graph) = (pass, plus, minus, graph);

        /// <summary>Indices of B₊, ascending.</summary>
        public Tensor Plus { get; }

        /// <summary>Indices of B₋, ascending; null where B₊ is the whole batch.</summary>
        public Tensor? Minus { get; }

        /// <summary>∇ mean_{B₊} l_i(w+ε).</summary>
        public Tensor GradientOfPlus(bool retainGraph = false) => GradientOf(Plus, retainGraph && Minus is not null);

        /// <summary>∇ mean_{B₋} l_i(w+ε).</summary>
        public Tensor GradientOfMinus() => GradientOf(Minus!, false);

        /// <summary>∇ mean_{B₋} l_i(w): the weights go back for this pass.</summary>
        public Tensor GradientOfMinusAtBase()
        {
            using (_pass._step.Network.Parameters.At(_pass._home))
                return _pass.GradientOfRows(Minus);
        }

        private Tensor GradientOf(Tensor rows, bool retainGraph) => _graph is null ? _pass.GradientOfRows(rows) : _pass.Gradient(Minus is null ? _graph : _graph.Rows(rows), retainGraph);

        /// <summary>Drops the graph.</summary>
        public void Dispose() => _graph?.Dispose();
    }
}
