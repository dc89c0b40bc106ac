using GMix.Methods;
using GMix.Torch;

namespace GMix.Training;

/// <summary>What one step's selection in the training's arithmetic has in common with the one that float32 makes at the same weights, on the same batch.</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="Overlap">|B₊ ∩ B₊'| / |B₊|, in [0, 1]; a random selection has γ.</param>
/// <param name="RankCorrelation">Spearman's correlation of the sensitivities, in [−1, 1].</param>
/// <param name="Noise">Standard deviation of the sensitivities' difference over that of the float32 sensitivities.</param>
public sealed record Agreement(int Epoch, double Overlap, double RankCorrelation, double Noise);

/// <summary>
/// Measures, along real training, whether bfloat16 decides selections by rounding: a sensitivity is a difference of close numbers. It watches a
/// method; training itself does not change. Each step costs two float32 forwards more.
/// </summary>
public sealed class SelectionAgreement
{
    private readonly List<Agreement> _steps = [];

    /// <summary>Every watched step that selected, in order.</summary>
    public IReadOnlyList<Agreement> Steps => _steps;

    /// <summary>The method with every selection compared.</summary>
    public Method Watch(Method method) => method with { Combine = new Watched(method.Combine, this) };

    private void Compare(SecondPass pass, Selection selection)
    {
        if (pass.Selected is null || pass.LossesAtPerturbed is null) return;
        using var noGrad = Autograd.NoGrad();
        var (before, after) = pass.FullPrecisionLosses();
        var (plus, _) = selection.Split(before, after, 0);
        var chosen = pass.Selected.ToArray<long>().ToHashSet();
        var overlap = plus.ToArray<long>().Count(chosen.Contains) / (double)chosen.Count;
        var rounded = (pass.LossesAtPerturbed - pass.LossesAtW).ToDoubles();
        var exact = (after - before).ToDoubles();
        var spread = Deviation(exact);
        _steps.Add(new Agreement(pass.At.Epoch, overlap, Correlation(Ranks(rounded), Ranks(exact)), spread == 0 ? 0 : Deviation([.. rounded.Zip(exact, (a, b) => a - b)]) / spread));
    }

    private static double[] Ranks(double[] values)
    {
        var order = Enumerable.Range(0, values.Length).OrderBy(i => values[i]).ToArray();
        var ranks = new double[values.Length];
        for (var i = 0; i < order.Length; i++) ranks[order[i]] = i;
        return ranks;
    }

    private static double Deviation(double[] values)
    {
        var mean = values.Average();
        return Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / values.Length);
    }

    private static double Correlation(double[] a, double[] b)
    {
        var (meanA, meanB, deviations) = (a.Average(), b.Average(), Deviation(a) * Deviation(b));
        return deviations == 0 ? 1 : a.Zip(b, (x, y) => (x - meanA) * (y - meanB)).Average() / deviations;
    }

    /// <summary>The same combination, with a look at what it selected.</summary>
    private sealed record Watched(Combine Inner, SelectionAgreement Seen) : Combine
    {
        public override bool NeedsPerturb => Inner.NeedsPerturb;
        public override bool RunsParts => Inner.RunsParts;
        public override string PartsAdvice => Inner.PartsAdvice;
        public override bool NeedsGradient => Inner.NeedsGradient;
        public override Cost Cost => Inner.Cost;
        public override Tensor Between(Tensor gradient, MethodState state) => Inner.Between(gradient, state);

        public override Tensor Direction(SecondPass pass)
        {
            var direction = Inner.Direction(pass);
            var selection = Inner switch
            {
                Binary b => new Selection(b.Gamma, b.Score, b.Rounding),
                Decomposed d => new Selection(d.Gamma, d.Score, d.Rounding),
                _ => null,
            };
            if (selection is not null) Seen.Compare(pass, selection);
            return direction;
        }

        public override string ToString() => Inner.ToString()!;
    }
}
