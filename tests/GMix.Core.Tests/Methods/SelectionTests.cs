using GMix.Methods;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Which examples B₊ has.</summary>
public class SelectionTests
{
    private static Tensor Of(params double[] values) => Tensor.From(values, values.Length);

    [Fact]
    public void Size_is_the_floor_of_gamma_n_and_at_least_one() => Property.Holds(s =>
    {
        // γ is a decimal number: its floor is exact in whole tenths
        var exact = (long)Math.Round(s.Gamma * 10) * s.Count / 10;
        Assert.Equal(Math.Max(1, exact), new Selection(s.Gamma).Size(s.Count));
        Assert.Equal(Math.Max(1, ((long)Math.Round(s.Gamma * 10) * s.Count + 9) / 10), new Selection(s.Gamma, Rounding: SelectionRounding.Ceil).Size(s.Count));
        Assert.Equal(Math.Max(1, ((long)Math.Round(s.Gamma * 10) * s.Count + 5) / 10), new Selection(s.Gamma, Rounding: SelectionRounding.Round).Size(s.Count));
    }, 200);

    [Fact]
    public void Selected_examples_react_at_least_as_much_as_the_others() => Property.Holds(s =>
    {
        using var lab = new Lab(s);
        var r = lab.Step(Lab.Of(new Mixup(s.Alpha), new Sam(s.Rho), new Binary(s.Gamma)));
        var scores = (r.LossesAtPerturbed! - r.LossesAtW).ToDoubles();
        var chosen = r.Selected!.ToArray<long>();
        Assert.Equal(new Selection(s.Gamma).Size(s.Count), chosen.Length);
        Assert.Equal(chosen.Distinct().Order(), chosen);
        var others = Enumerable.Range(0, s.Count).Where(i => !chosen.Contains(i)).ToArray();
        if (others.Length > 0) Assert.True(chosen.Min(i => scores[i]) >= others.Max(i => scores[i]));
    });

    [Fact]
    public void Ties_go_to_the_lower_index()
    {
        var (plus, minus) = new Selection(0.5).Split(Of(0, 0, 0, 0, 0, 0), Of(1, 2, 1, 2, 1, 1), 0);
        Assert.Equal([0L, 1, 3], plus.ToArray<long>());
        Assert.Equal([2L, 4, 5], minus!.ToArray<long>());
        Assert.Equal([0L, 1, 2], new Selection(0.5).Split(Of(1, 1, 1, 1, 1, 1), Of(1, 1, 1, 1, 1, 1), 0).Plus.ToArray<long>());
    }

    [Fact]
    public void Scores_rank_as_named()
    {
        var (before, after) = (Of(1, 2, 3, 9), Of(4, 1, 3.5, 2));
        foreach (var (score, best) in ((SelectionScore, long)[])[(SelectionScore.Sharpness, 0), (SelectionScore.AbsSharpness, 3), (SelectionScore.PerturbedLoss, 0), (SelectionScore.CleanLoss, 3), (SelectionScore.LeastSharpness, 3)])
            Assert.Equal([best], new Selection(0.25, score).Split(before, after, 0).Plus.ToArray<long>());
        var counts = new int[4];
        for (ulong seed = 0; seed < 400; seed++) counts[new Selection(0.25, SelectionScore.Random).Split(before, after, seed).Plus.ToArray<long>()[0]]++;
        Assert.All(counts, c => Assert.InRange(c, 60, 140));
    }

    [Fact]
    public void Everything_selected_leaves_no_others() => Assert.Null(new Selection(1).Split(Of(1, 2), Of(2, 1), 0).Minus);
}
