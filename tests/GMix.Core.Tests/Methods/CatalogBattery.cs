using GMix.Draws;
using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>What holds for every method: a row in the catalog brings all of these.</summary>
public class CatalogBattery
{
    public static TheoryData<string> Names { get; } = [.. MethodCatalog.Entries.Select(e => e.Name)];

    public static TheoryData<string> Perturbing { get; } = [.. MethodCatalog.Entries.Where(e => e.Make(new MethodOptions()).Perturb.Active).Select(e => e.Name)];

    public static TheoryData<string, string> OnBothModels { get; } = new(MethodCatalog.Entries.SelectMany(e => new[] { (e.Name, "mlp"), (e.Name, "wrn-10-1") }));

    [Theory, MemberData(nameof(OnBothModels))]
    public void Weights_come_back_bit_for_bit_and_statistics_move_once(string name, string model)
    {
        using var lab = new Lab(model);
        using var other = new Lab(model);
        var before = Lab.Bits(lab.Network.Parameters.Value);
        var method = MethodCatalog.Get(name);
        var result = lab.Step(method);
        Assert.Equal(before, Lab.Bits(lab.Network.Parameters.Value));

        using (Autograd.NoGrad()) other.Network.Logits(result.Batch.Inputs, new ForwardPass(BatchNormMode.Train) { AtStage = result.Batch.AtStage });
        Assert.Equal(other.BufferBits(), lab.BufferBits());
        if (method.Perturb.Active) Assert.True(result.EpsilonNorm!.Item() > 0);
    }

    [Theory, MemberData(nameof(Names))]
    public void One_draw_gives_one_result_bit_for_bit(string name)
    {
        using var first = new Lab("wrn-10-1");
        using var second = new Lab("wrn-10-1");
        var (a, b) = (first.Step(MethodCatalog.Get(name)), second.Step(MethodCatalog.Get(name)));
        Close.Bitwise(a.Direction, b.Direction);
        Close.Bitwise(a.LossesAtW, b.LossesAtW);
        Close.Bitwise(a.GradientNorm, b.GradientNorm);
    }

    [Theory, MemberData(nameof(Names))]
    public void Permuting_a_batch_permutes_its_losses(string name)
    {
        using var lab = new Lab("wrn-10-1", count: 7);
        using var other = new Lab("wrn-10-1", count: 7);
        var method = MethodCatalog.Get(name);
        var order = new CounterRandom(4, DrawStream.Diagnostics).Permutation(7);
        var rows = Tensor.From(order, 7);
        var draw = lab.At(method).Draw;
        var result = lab.Step(method, draw);
        var permuted = other.Step(method, Permuted(draw, order), new Batch(other.Batch.Images.Rows(rows), other.Batch.Labels.Rows(rows)));
        Close.Equal(result.LossesAtW.Rows(rows), permuted.LossesAtW, 1e-11);
        if (result.LossesAtPerturbed is { } perturbed) Close.Equal(perturbed.Rows(rows), permuted.LossesAtPerturbed!, 1e-9);
        Close.Equal(result.Direction, permuted.Direction, 1e-8);
    }

    /// <summary>The draw for the batch in another order: row i is the former row order[i].</summary>
    private static Draw Permuted(Draw draw, long[] order)
    {
        var place = new long[order.Length];
        for (var i = 0; i < order.Length; i++) place[order[i]] = i;
        return draw with
        {
            Permutation = draw.Permutation is { } p ? [.. order.Select(o => place[p[o]])] : null,
            Lambdas = draw.Lambdas is { } l ? [.. order.Select(o => l[o])] : null,
            More = [.. draw.More.Select(d => Permuted(d, order))],
        };
    }

    [Theory, MemberData(nameof(Names))]
    public void Runs_in_every_precision(string name)
    {
        foreach (var precision in Enum.GetValues<Precision>())
        {
            using var lab = new Lab("wrn-10-1", precision: precision);
            var result = lab.Step(MethodCatalog.Get(name));
            Assert.Equal(lab.Network.Type, result.Direction.DType);
            Assert.True(result.Direction.AllFinite().Item() != 0, $"{name} in {precision}");
            Assert.True(result.Direction.Norm().Item() > 0);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Float32_follows_float64(string name)
    {
        using var wide = new Lab();
        using var narrow = new Lab(precision: Precision.Float32);
        var method = MethodCatalog.Get(name, new MethodOptions { Rho = 0.05 });
        var (a, b) = (wide.Step(method), narrow.Step(method));
        Close.Equal(a.LossesAtW, b.LossesAtW, 1e-5);
        Close.Equal(a.Direction, b.Direction, 1e-4);
    }

    [Theory, MemberData(nameof(Names))]
    public void Runs_with_odd_batches_and_a_batch_of_one(string name)
    {
        foreach (var count in (int[])[1, 2, 3, 7, 13])
        {
            using var lab = new Lab("wrn-10-1", count);
            var result = lab.Step(MethodCatalog.Get(name));
            Assert.True(result.Direction.AllFinite().Item() != 0, $"{name} with a batch of {count}");
            Assert.Equal(count, result.LossesAtW.Count);
            if (result.Selected is { } selected) Assert.InRange(selected.Count, 1, count);
        }
    }

    [Theory, MemberData(nameof(Perturbing))]
    public void Without_radius_it_is_the_method_without_perturbation(string name)
    {
        // at ρ = 0 every score ties, so a selection keeps everything
        var method = MethodCatalog.Get(name, new MethodOptions { Rho = 0, Gamma = 1 });
        foreach (var model in (string[])["mlp", "wrn-10-1"])
        {
            using var lab = new Lab(model);
            using var other = new Lab(model);
            var draw = lab.At(method).Draw;
            var plain = other.Step(Lab.Of(method.Mix, new NoPerturb(), new All()), draw);
            var result = lab.Step(method, draw);
            Assert.Equal(0, result.EpsilonNorm!.Item());
            Close.Bitwise(plain.LossesAtW, result.LossesAtW);
            Close.Bitwise(plain.LossesAtW, result.LossesAtPerturbed!);
            // these two add multiples of g and g' that cancel to rounding
            if (method.Combine is Gsam or GradientNormPenalty) Close.Equal(plain.Direction, result.Direction, 1e-14);
            else Close.Bitwise(plain.Direction, result.Direction);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Counts_the_passes_that_its_cost_promises(string name)
    {
        using var lab = new Lab(count: 10);
        foreach (var subset in Enum.GetValues<SubsetForward>())
        {
            var method = MethodCatalog.Get(name, new MethodOptions { Subset = subset, Every = 3, AscentSteps = 2, Copies = 3 });
            using var step = new MethodStep(lab.Network, method);
            var results = Enumerable.Range(0, 6).Select(t => step.Run(lab.Batch, lab.At(method, t))).ToArray();
            Assert.Equal(method.Cost.Forwards, results.Average(r => r.Forwards), 1e-12);
            Assert.Equal(method.Cost.Backwards, results.Average(r => r.Backwards), 1e-12);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void A_resumed_run_continues_bit_for_bit(string name)
    {
        var method = MethodCatalog.Get(name);
        var path = Path.Combine(Path.GetTempPath(), $"gmix-{Guid.NewGuid():N}.safetensors");
        try
        {
            using var whole = new Lab("wrn-10-1");
            using var first = new Lab("wrn-10-1");
            using var second = new Lab("wrn-10-1", seed: 1);
            using (var step = new MethodStep(whole.Network, method))
            using (var sgd = new Sgd(whole.Network.Parameters, new SgdOptions()))
                Train(whole, step, sgd, 0, 7);
            using (var step = new MethodStep(first.Network, method))
            using (var sgd = new Sgd(first.Network.Parameters, new SgdOptions()))
            {
                Train(first, step, sgd, 0, 3);
                SafeTensors.Write(path, [.. first.Network.State(), ("velocity", sgd.Velocity), .. step.State.Values.Select(v => ("carried." + v.Key, v.Value))]);
            }
            using (var step = new MethodStep(second.Network, method))
            using (var sgd = new Sgd(second.Network.Parameters, new SgdOptions()))
            {
                using var noGrad = Autograd.NoGrad();
                var saved = SafeTensors.Read(path).Tensors;
                foreach (var (key, value) in saved.Where(s => s.Key.StartsWith("carried.", StringComparison.Ordinal))) step.State.Set(key["carried.".Length..], value);
                sgd.Velocity.CopyFrom(saved["velocity"]);
                second.Network.Load(saved.Where(s => s.Key != "velocity" && !s.Key.StartsWith("carried.", StringComparison.Ordinal)).ToDictionary(), path);
                using (Autograd.WithGrad()) Train(second, step, sgd, 3, 7);
            }
            Assert.Equal(whole.StateBits(), second.StateBits());
        }
        finally { File.Delete(path); }
    }

    internal static void Train(Lab lab, MethodStep step, Sgd sgd, int from, int to)
    {
        for (var t = from; t < to; t++)
        {
            using var scope = new TensorScope();
            sgd.Update(step.Run(lab.Batch, lab.At(step.Method, t)).Direction, 0.05);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Training_lowers_the_loss(string name)
    {
        using var lab = new Lab(count: 12);
        var method = MethodCatalog.Get(name, new MethodOptions { Rho = 0.05 });
        var before = CleanLoss(lab);
        using var step = new MethodStep(lab.Network, method);
        using var sgd = new Sgd(lab.Network.Parameters, new SgdOptions());
        Train(lab, step, sgd, 0, 80);
        Assert.True(CleanLoss(lab) < 0.7 * before, $"{name}: {before:f3} became {CleanLoss(lab):f3}");
    }

    private static double CleanLoss(Lab lab)
    {
        using var noGrad = Autograd.NoGrad();
        return new Loss().PerExample(lab.Network.Logits(lab.Batch.Images, ForwardPass.Eval), new Targets(lab.Batch.Labels)).Mean().Item();
    }
}
