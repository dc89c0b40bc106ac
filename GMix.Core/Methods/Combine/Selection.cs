using GMix.Draws;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>What ranks examples. Larger means more sensitive.</summary>
public enum SelectionScore
{
    /// <summary>s_i = l_i(w+ε) − l_i(w), the paper's.</summary>
    Sharpness,
    /// <summary>|s_i|.</summary>
    AbsSharpness,
    /// <summary>l_i(w+ε).</summary>
    PerturbedLoss,
    /// <summary>l_i(w).</summary>
    CleanLoss,
    /// <summary>Random, as a control.</summary>
    Random,
    /// <summary>−s_i: the least sensitive, as a control.</summary>
    LeastSharpness,
}

/// <summary>How γ n becomes a whole number.</summary>
public enum SelectionRounding { Floor, Round, Ceil }

/// <summary>How the part of the batch gets its gradient.</summary>
public enum SubsetForward
{
    /// <summary>Score without a graph, then run the part by itself: BatchNorm sees the part only (ESAM's way, the default).</summary>
    Recompute,
    /// <summary>One pass with a graph over the whole batch; backward through the part's losses: BatchNorm sees the whole batch.</summary>
    Reuse,
}

/// <summary>In which arithmetic the losses are computed whose difference ranks examples.</summary>
public enum ScorePrecision
{
    /// <summary>As training computes: bfloat16 inside where training does.</summary>
    Training,
    /// <summary>Never bfloat16: two more forward passes in float32 where training computes in bfloat16, else nothing changes.</summary>
    Float32,
}

/// <summary>
/// Sharpness-sensitive selection (G-Mix paper, eq. 11): B₊ is the γ n examples with the largest score, ties to the lower index.
/// </summary>
/// <param name="Gamma">γ in (0, 1].</param>
/// <param name="Score">What ranks.</param>
/// <param name="Rounding">|B₊| = max(1, rounding(γ n)).</param>
/// <param name="Subset">How the part is run.</param>
/// <param name="Precision">How the losses behind the score are computed.</param>
public sealed record Selection(double Gamma, SelectionScore Score = SelectionScore.Sharpness, SelectionRounding Rounding = SelectionRounding.Floor, SubsetForward Subset = SubsetForward.Recompute,
    ScorePrecision Precision = ScorePrecision.Training)
{
    /// <summary>|B₊| for a batch of n: at least 1, at most n.</summary>
    public int Size(int n)
    {
        var exact = Gamma * n;
        // 0.3 · 10 is 2.9999999999999996 in binary: a hair of slack keeps the floor where paper and pencil put it
        var k = Rounding switch
        {
            SelectionRounding.Floor => Math.Floor(exact + 1e-9),
            SelectionRounding.Ceil => Math.Ceiling(exact - 1e-9),
            _ => Math.Floor(exact + 0.5 + 1e-9),
        };
        return Math.Clamp((int)k, 1, n);
    }

    /// <summary>Indices of B₊ and of B₋, each ascending; B₋ is null where B₊ is everything.</summary>
    /// <param name="lossesAtW">l_i(w), (n).</param>
    /// <param name="lossesAtPerturbed">l_i(w+ε), (n).</param>
    /// <param name="seed">Of the random control.</param>
    public (Tensor Plus, Tensor? Minus) Split(Tensor lossesAtW, Tensor lossesAtPerturbed, ulong seed) =>
        Split(lossesAtW, lossesAtPerturbed, () => Lots(lossesAtW.Count, lossesAtW.DType, lossesAtW.Device, seed));

    /// <summary>The same, the random control seeded by a step's draw.</summary>
    internal (Tensor Plus, Tensor? Minus) Split(Tensor lossesAtW, Tensor lossesAtPerturbed, Draw draw)
    {
        var (count, type, device) = (lossesAtW.Count, lossesAtW.DType, lossesAtW.Device);
        return Split(lossesAtW, lossesAtPerturbed, () => draw.OnDevice("lots", device, d => Lots(count, type, device, d.SeedFor(DrawStream.Subset))));
    }

    private (Tensor Plus, Tensor? Minus) Split(Tensor lossesAtW, Tensor lossesAtPerturbed, Func<Tensor> lots)
    {
        var n = (int)lossesAtW.Count;
        var k = Size(n);
        var (_, order) = Scores(lossesAtW, lossesAtPerturbed, lots).SortStable(descending: true);
        return (Ascending(order.Narrow(0, 0, k)), k == n ? null : Ascending(order.Narrow(0, k, n - k)));
    }

    private Tensor Scores(Tensor before, Tensor after, Func<Tensor> lots)
    {
        switch (Score)
        {
            case SelectionScore.Sharpness: return after - before;
            case SelectionScore.AbsSharpness: return (after - before).Abs();
            case SelectionScore.PerturbedLoss: return after;
            case SelectionScore.CleanLoss: return before;
            case SelectionScore.LeastSharpness: return before - after;
            default: return lots();
        }
    }

    private static Tensor Lots(long count, DType type, Device device, ulong seed)
    {
        using var generator = new Generator(device);
        return Tensor.Uniform([count], generator.Seed(seed), type: type, device: device);
    }

    private static Tensor Ascending(Tensor indices) => indices.SortStable(descending: false).Values;

    /// <summary>Parameters beyond γ that differ from the defaults, for names.</summary>
    internal string Details => (Score == SelectionScore.Sharpness ? "" : $", score={Score}") + (Rounding == SelectionRounding.Floor ? "" : $", rounding={Rounding}") + (Subset == SubsetForward.Recompute ? "" : ", subset=reuse") + (Precision == ScorePrecision.Training ? "" : ", scorePrecision=float32");
}
