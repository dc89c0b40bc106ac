using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Identities between methods, over random nets, batches and hyper-parameters.</summary>
public class IdentityLaws
{
    private static readonly NoMix none = new();
    private static readonly NoPerturb still = new();
    private static readonly All all = new();

    private static StepResult Run(Scenario s, Mix mix, Perturb perturb, Combine combine, Draw? draw = null)
    {
        using var lab = new Lab(s);
        return Kept(lab, lab.Step(Lab.Of(mix, perturb, combine), draw));
    }

    /// <summary>The result, with its tensors out of the lab's scope.</summary>
    private static StepResult Kept(Lab lab, StepResult r)
    {
        foreach (var t in r.Found.Values.Concat([r.Direction, r.LossesAtW, r.GradientNorm, r.Logits, r.LossesAtPerturbed, r.Selected, r.EpsilonNorm]))
            if (t is not null) TensorScope.Detach(t);
        return r;
    }

    private static Draw DrawFor(Scenario s, Mix mix)
    {
        using var lab = new Lab(s);
        return lab.At(Lab.Of(mix, still, all)).Draw;
    }

    [Fact]
    public void BGMix_and_DGMix_with_everything_selected_are_GMix() => Property.Holds(s =>
    {
        var (mix, sam) = (new Mixup(s.Alpha), new Sam(s.Rho));
        var g = Run(s, mix, sam, all);
        foreach (var subset in Enum.GetValues<SubsetForward>())
        {
            Close.Bitwise(g.Direction, Run(s, mix, sam, new Binary(1, Subset: subset)).Direction);
            Close.Bitwise(g.Direction, Run(s, mix, sam, new Decomposed(1, s.Kappa, Subset: subset)).Direction);
        }
    }, 15);

    [Fact]
    public void Lambda_of_one_and_alpha_of_zero_do_not_mix() => Property.Holds(s =>
    {
        var drawn = DrawFor(s, new Mixup(s.Alpha));
        foreach (var (perturb, combine) in new (Perturb, Combine)[] { (still, all), (new Sam(s.Rho), new Decomposed(s.Gamma)) })
        {
            var plain = Run(s, none, perturb, combine, drawn);
            Close.Bitwise(plain.Direction, Run(s, new Mixup(0), perturb, combine).Direction);
            Close.Equal(plain.Direction, Run(s, new Mixup(s.Alpha), perturb, combine, drawn with { Lambda = 1 }).Direction, 1e-14);
        }
    }, 15);

    [Fact]
    public void Lambda_of_zero_is_the_batch_in_the_partners_order() => Property.Holds(s =>
    {
        var drawn = DrawFor(s, new Mixup(s.Alpha)) with { Lambda = 0 };
        Close.Equal(Run(s, none, still, all).Direction, Run(s, new Mixup(s.Alpha), still, all, drawn).Direction, 1e-12);
    }, 15);

    [Fact]
    public void DGMix_adds_what_is_orthogonal() => Property.Holds(s =>
    {
        var (mix, sam) = (new Mixup(s.Alpha), new Sam(s.Rho));
        foreach (var subset in Enum.GetValues<SubsetForward>())
        {
            var plus = Run(s, mix, sam, new Binary(s.Gamma, Subset: subset));
            var mixed = Run(s, mix, sam, new Decomposed(s.Gamma, s.Kappa, Subset: subset));
            Assert.Equal(plus.Selected!.ToArray<long>(), mixed.Selected!.ToArray<long>());
            var (g, d) = (plus.Direction, mixed.Direction);
            var squared = g.Dot(g).Item();
            // <d, g₊> = |g₊|² and |d|² = |g₊|² + κ²|g⊥|²
            Assert.Equal(1, d.Dot(g).Item() / squared, 1e-10);
            if (plus.Selected.Count == s.Count) return;
            var orthogonal = mixed.Found["orthogonal_norm"].Item();
            Assert.Equal(1, d.Dot(d).Item() / (squared + s.Kappa * s.Kappa * orthogonal * orthogonal), 1e-10);
            var perp = d - g;
            Assert.True(Math.Abs(perp.Dot(g).Item()) <= 1e-12 * Math.Max(mixed.Found["minus_norm"].Item(), g.Norm().Item()) * g.Norm().Item() * Math.Max(1, Math.Abs(s.Kappa)));
            // with κ = 1, d = (1 − c) g₊ + g₋; the other half's gradient is Binary's when the scores are turned round
            if (subset == SubsetForward.Reuse && s.Count - plus.Selected.Count == new Selection(s.Gamma).Size(s.Count))
            {
                var minus = Run(s, mix, sam, new Binary(s.Gamma, SelectionScore.LeastSharpness, Subset: subset));
                var one = Run(s, mix, sam, new Decomposed(s.Gamma, 1, Subset: subset));
                Close.Equal(g * (1 - one.Found["projection"].Item()) + minus.Direction, one.Direction, 1e-10);
            }
            Close.Bitwise(g, Run(s, mix, sam, new Decomposed(s.Gamma, 0, Subset: subset)).Direction);
        }
    }, 20);

    [Fact]
    public void Sensitive_and_other_gradients_add_up_to_the_batchs() => Property.Holds(s =>
    {
        // in reuse mode γ' g₊ + (1 − γ') g₋ is G-Mix's gradient; g₋ = (d − g₊)/κ + c g₊
        var (mix, sam) = (new Mixup(s.Alpha), new Sam(s.Rho));
        var plus = Run(s, mix, sam, new Binary(s.Gamma, Subset: SubsetForward.Reuse));
        if (plus.Selected!.Count == s.Count) return;
        var mixed = Run(s, mix, sam, new Decomposed(s.Gamma, 1, Subset: SubsetForward.Reuse));
        var minus = mixed.Direction - plus.Direction * (1 - mixed.Found["projection"].Item());
        var share = plus.Selected.Count / (double)s.Count;
        Close.Equal(Run(s, mix, sam, all).Direction, plus.Direction * share + minus * (1 - share), 1e-9);
    }, 15);

    [Fact]
    public void Recompute_and_reuse_agree_without_BatchNorm() => Property.Holds(s =>
    {
        var (mix, sam) = (new Mixup(s.Alpha), new Sam(s.Rho));
        Close.Equal(Run(s, mix, sam, new Binary(s.Gamma, Subset: SubsetForward.Reuse)).Direction, Run(s, mix, sam, new Binary(s.Gamma)).Direction, 1e-11);
        Close.Equal(Run(s, mix, sam, new Decomposed(s.Gamma, Subset: SubsetForward.Reuse)).Direction, Run(s, mix, sam, new Decomposed(s.Gamma)).Direction, 1e-10);
    }, 15, ["mlp"]);

    [Fact]
    public void Epsilon_has_length_rho() => Property.Holds(s =>
    {
        foreach (Perturb perturb in (Perturb[])[new Sam(s.Rho), new Sam(s.Rho) { Scope = PerturbScope.Weights }, new Sam(s.Rho) { AscentOn = AscentBatch.Clean }, new MaskedSam(s.Rho, 1), new AaceSam(s.Rho, Normalize: true)])
            Assert.Equal(1, Run(s, new Mixup(s.Alpha), perturb, all).EpsilonNorm!.Item() / s.Rho, 1e-9);
        Assert.InRange(Run(s, none, new Amp(s.Rho, 1, 3), all).EpsilonNorm!.Item(), 0, s.Rho * (1 + 1e-12));
        Assert.InRange(Run(s, none, new MaskedSam(s.Rho, 0.6, true), all).EpsilonNorm!.Item(), 0, s.Rho / 0.6 * (1 + 1e-12));
    }, 15);

    [Fact]
    public void Methods_meet_where_their_parameters_say_so() => Property.Holds(s =>
    {
        var sam = Run(s, none, new Sam(s.Rho), all).Direction;
        var plain = Run(s, none, still, all).Direction;
        Close.Bitwise(sam, Run(s, none, new MaskedSam(s.Rho, 1), all).Direction);
        Close.Bitwise(sam, Run(s, none, new Sam(s.Rho), new GradientNormPenalty(1)).Direction + 0 * plain);
        Close.Equal(plain, Run(s, none, new Sam(s.Rho), new GradientNormPenalty(0)).Direction, 1e-14);
        Close.Bitwise(sam, Run(s, none, new Sam(s.Rho), new Gsam(0)).Direction);
        Close.Bitwise(sam, Run(s, none, new Sam(s.Rho), new LookSam()).Direction);
        Close.Bitwise(plain, Run(s, none, new Amp(s.Rho, 1, 0), all).Direction);
        // η so large that T is a multiple of the identity: T² g / |T g| = η g / |g|
        Close.Equal(sam, Run(s, none, new Asam(s.Rho / 1e9, 1e9), all).Direction, 1e-6);
        Close.Bitwise(Run(s, new Mixup(s.Alpha), still, all).Direction, Run(s, new ManifoldMixup(s.Alpha, [0]), still, all).Direction);
        Close.Bitwise(Run(s, none, new Sam(s.Rho), new Binary(s.Gamma)).Direction, Run(s, none, new MaskedSam(s.Rho, 1), new Binary(s.Gamma)).Direction);
    }, 15);

    [Fact]
    public void Amp_within_its_ball_is_a_plain_step_and_at_its_edge_it_is_SAM() => Property.Holds(s =>
    {
        var norm = Run(s, none, still, all).GradientNorm.Item();
        var inside = Run(s, none, new Amp(1e6, s.Rho / norm), all);
        Assert.Equal(s.Rho, inside.EpsilonNorm!.Item(), 1e-12);
        Close.Equal(Run(s, none, new Sam(s.Rho), all).Direction, inside.Direction, 1e-9);
        Close.Equal(Run(s, none, new Sam(s.Rho), all).Direction, Run(s, none, new Amp(s.Rho, 1e6), all).Direction, 1e-9);
    }, 10);

    [Fact]
    public void Aace_on_one_example_is_SAM_when_normalised() => Property.Holds(s =>
    {
        var one = s with { Count = 1 };
        var (aace, sam) = (Run(one, none, new AaceSam(s.Rho, Normalize: true), all), Run(one, none, new Sam(s.Rho), all));
        Close.Equal(sam.Direction, aace.Direction, 1e-9);
    }, 15, ["mlp"]);

    [Fact]
    public void Gsam_subtracts_an_orthogonal_part() => Property.Holds(s =>
    {
        var sam = Run(s, none, new Sam(s.Rho), all).Direction;
        var d = Run(s, none, new Sam(s.Rho), new Gsam(s.Kappa)).Direction;
        Assert.Equal(1, d.Dot(sam).Item() / sam.Dot(sam).Item(), 1e-10);
    }, 15);

    [Fact]
    public void LookSam_reuses_a_direction_of_the_stated_length() => Property.Holds(s =>
    {
        using var lab = new Lab(s);
        var method = Lab.Of(none, new Sam(s.Rho) { When = new When(2) }, new LookSam(0.7));
        using var step = new MethodStep(lab.Network, method);
        step.Run(lab.Batch, lab.At(method, 0));
        var between = step.Run(lab.Batch, lab.At(method, 1));
        Assert.Null(between.EpsilonNorm);
        using var other = new Lab(s);
        var g = other.Step(Lab.Of(none, still, all)).Direction;
        var added = between.Direction - g;
        Assert.Equal(0.7, added.Norm().Item() / g.Norm().Item(), 1e-9);
        Assert.True(Math.Abs(added.Dot(g).Item()) <= 1e-8 * g.Dot(g).Item());
    }, 15);

    [Fact]
    public void LookSam_refreshes_every_time() => Property.Holds(s =>
    {
        using var lab = new Lab(s);
        using var other = new Lab(s);
        var method = Lab.Of(none, new Sam(s.Rho) { When = new When(2) }, new LookSam(0.7));
        using var step = new MethodStep(lab.Network, method);
        for (var t = 0; t < 8; t += 2)
        {
            var g = other.Step(Lab.Of(none, still, all)).Direction;
            var perturbed = other.Step(Lab.Of(none, new Sam(s.Rho), all)).Direction;
            Close.Bitwise(perturbed, step.Run(lab.Batch, lab.At(method, t)).Direction);
            var kept = step.State.Values.Single().Value;
            Close.Equal(perturbed - g * (perturbed.Dot(g).Item() / g.Dot(g).Item()), kept, 1e-8);
            using var noGrad = Autograd.NoGrad();
            foreach (var l in (Lab[])[lab, other]) l.Network.Parameters.Value.AddInPlace(g, -0.1);
        }
    }, 6);

    [Fact]
    public void Clean_ascent_climbs_the_unmixed_loss() => Property.Holds(s =>
    {
        var draw = DrawFor(s, new Mixup(s.Alpha));
        using var lab = new Lab(s);
        var g = lab.Step(Lab.Of(none, still, all)).Direction;
        var result = Run(s, new Mixup(s.Alpha), new Sam(s.Rho) { AscentOn = AscentBatch.Clean }, all, draw);
        Assert.Equal(1, result.GradientNorm.Item() / g.Norm().Item(), 1e-10);
        // by hand: ε from the clean gradient, the mixed losses at w + ε
        using var other = new Lab(s);
        var mixed = new Mixup(s.Alpha).Apply(other.Batch, draw, null!);
        using (other.Network.Parameters.Perturbed(g * (s.Rho / g.Norm().Item())))
        {
            var losses = new Loss().PerExample(other.Network.Logits(mixed.Inputs, new ForwardPass(BatchNormMode.TrainFrozen)), mixed.Targets);
            Close.Equal(losses.Detach(), result.LossesAtPerturbed!, 1e-9);
        }
    }, 15);

    [Fact]
    public void Outside_its_time_a_perturbation_costs_and_changes_nothing() => Property.Holds(s =>
    {
        var method = Lab.Of(new Mixup(s.Alpha), new Sam(s.Rho) { When = new When(3, 2) }, new Decomposed(s.Gamma));
        foreach (var (epoch, number, perturbs) in ((int, long, bool)[])[(0, 0, false), (1, 3, false), (2, 6, true), (2, 7, false), (3, 9, true)])
        {
            using var lab = new Lab(s);
            using var other = new Lab(s);
            using var step = new MethodStep(lab.Network, method);
            var at = lab.At(method, number, epoch);
            var result = step.Run(lab.Batch, at);
            Assert.Equal(perturbs, result.EpsilonNorm is not null);
            if (perturbs) continue;
            Assert.Equal((1.0, 1.0), (result.Forwards, result.Backwards));
            Close.Bitwise(other.Step(Lab.Of(new Mixup(s.Alpha), still, all), at.Draw).Direction, result.Direction);
        }
        // nothing is kept before the first refresh
        using var early = new Lab(s);
        var look = Lab.Of(none, new Sam(s.Rho) { When = new When(2) }, new LookSam());
        using var lookStep = new MethodStep(early.Network, look);
        Close.Bitwise(Run(s, none, still, all).Direction, lookStep.Run(early.Batch, early.At(look, 1)).Direction);
    }, 10);

    [Fact]
    public void Weights_scope_leaves_biases_and_BatchNorm_in_place()
    {
        using var lab = new Lab("wrn-10-1");
        var (weights, seen) = (lab.Network.Parameters, new List<double[]>());
        var recording = new Recording(seen) { Scope = PerturbScope.Weights };
        lab.Step(Lab.Of(none, recording, all));
        foreach (var part in weights.Parts)
        {
            var moved = seen[0].AsSpan((int)part.Offset, (int)part.Parameter.Count).ContainsAnyExcept(0.0);
            Assert.Equal(part.Parameter.Shape.Length > 1, moved);
        }
    }

    [Fact]
    public void Masks_keep_a_share_of_the_weights_and_the_mean_of_epsilon()
    {
        using var lab = new Lab("wrn-10-1");
        var (weights, g) = (lab.Network.Parameters, lab.Step(Lab.Of(none, still, all)).Direction);
        var whole = new Sam(0.1).Epsilon(weights, g, lab.At(Lab.Of(none, still, all))).ToDoubles();
        foreach (var perElement in (bool[])[false, true])
        {
            var kept = 0.0;
            const int trials = 60;
            for (var t = 0; t < trials; t++)
            {
                using var scope = new TensorScope();
                var at = new StepContext(0, t, 0.1, 0.1, new Draw { Seed = (ulong)t });
                var masked = new MaskedSam(0.1, 0.6, perElement).Epsilon(weights, g, at).ToDoubles();
                foreach (var part in weights.Parts)
                {
                    var (from, count) = ((int)part.Offset, (int)part.Parameter.Count);
                    var on = Enumerable.Range(from, count).Count(i => masked[i] != 0);
                    // a tensor is masked as one, unless elements are
                    if (!perElement) Assert.True(on == 0 || on == Enumerable.Range(from, count).Count(i => whole[i] != 0));
                    kept += perElement ? on / (double)weights.Length : on > 0 ? 1.0 / weights.Parts.Count : 0;
                }
                for (var i = 0; i < whole.Length; i++)
                    if (masked[i] != 0) Assert.Equal(whole[i] / 0.6, masked[i], 1e-14);
            }
            Assert.Equal(0.6, kept / trials, 0.05);
        }
    }

    /// <summary>SAM that notes its ε.</summary>
    private sealed record Recording(List<double[]> Seen) : Perturb
    {
        public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at)
        {
            var epsilon = new Sam().Epsilon(weights, gradient, at);
            Seen.Add(epsilon.ToDoubles());
            return epsilon;
        }
    }
}
