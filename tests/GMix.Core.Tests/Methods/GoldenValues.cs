using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>
/// Values worked out by hand. The quadratic L = ½ w'Hw, H = diag(1, 4), at w = (3, 1) goes through the whole step: a model of two weights whose
/// cross-entropy is exactly that.
/// </summary>
public class GoldenValues : IDisposable
{
    private const double Tolerance = 1e-10;
    private readonly TensorScope _scope = new();
    private readonly Network _network = new(new Quadratic(), Precision.Float64);
    private readonly Batch _batch = new(Tensor.Zeros([1, 1, 1, 1], DType.Float64), Tensor.From([0L], 1));

    public void Dispose()
    {
        _network.Dispose();
        _scope.Dispose();
    }

    /// <summary>Logits (0, ln(e^q − 1)): the cross-entropy of class 0 is ln(1 + e^q − 1) = q = ½ (w₁² + 4 w₂²).</summary>
    private sealed class Quadratic : Model
    {
        private readonly Parameter _w;

        public Quadratic() => _w = AddParameter("weight", [2], (v, _, _) => (v[0], v[1]) = (3, 1));

        public override int Classes => 2;

        public override Tensor Forward(Tensor x, ForwardPass pass)
        {
            var q = (_w * _w.Value * Tensor.From([0.5, 2.0], 2)).Sum().View(1, 1);
            return Tensor.Cat([q * 0, (q.Exp() - 1).Log()], 1);
        }
    }

    private StepResult Step(Perturb perturb, Combine combine) => new MethodStep(_network, Lab.Of(new NoMix(), perturb, combine)).Run(_batch, new StepContext(0, 0, 0.1, 0.1, Draw.None));

    private void Gives(double[] direction, Perturb perturb, Combine combine) => Close.Equal(direction, Step(perturb, combine).Direction.ToDoubles(), Tolerance);

    [Fact]
    public void Sam()
    {
        var result = Step(new Sam(0.5), new All());
        Close.Equal([3.3, 5.6], result.Direction.ToDoubles(), Tolerance);
        Assert.Equal(6.5, result.LossesAtW.Item(), 1e-9);
        Assert.Equal(2.865, (result.LossesAtPerturbed! - result.LossesAtW).Item(), 1e-9);
        Assert.Equal(5, result.GradientNorm.Item(), 1e-9);
        Assert.Equal(0.5, result.EpsilonNorm!.Item(), 1e-12);
    }

    [Fact]
    public void Gradient_norm_penalty() => Gives([3.24, 5.28], new Sam(0.5), new GradientNormPenalty(0.8));

    [Fact]
    public void Gsam()
    {
        Gives([3.1091360947, 5.7124733728], new Sam(0.5), new Gsam(0.4));
        Assert.Equal(double.Hypot(0.4771597633, -0.281183432), Step(new Sam(0.5), new Gsam(0.4)).Found["orthogonal_norm"].Item(), 1e-9);
    }

    [Fact]
    public void Asam()
    {
        Gives([4.3707173229, 4.8122769321], new Asam(0.5, 0), new All());
        // H (w + ε) with ε = (1.3737765449, 0.2062360538)
        Gives([4.3737765449, 4 * 1.2062360538], new Asam(0.5, 0.01), new All());
    }

    [Fact]
    public void LookSam_reuse()
    {
        var method = Lab.Of(new NoMix(), new Sam(0.5) { When = new When(2) }, new LookSam(0.7));
        using var step = new MethodStep(_network, method);
        Close.Equal([3.3, 5.6], step.Run(_batch, new StepContext(0, 0, 0.1, 0.1, Draw.None)).Direction.ToDoubles(), Tolerance);
        Close.Equal([-0.576, 0.432], step.State.Values.Single().Value.ToDoubles(), Tolerance);
        Close.Equal([0.2, 6.1], step.Run(_batch, new StepContext(0, 1, 0.1, 0.1, Draw.None)).Direction.ToDoubles(), Tolerance);
    }

    [Fact]
    public void Amp() => Gives([3.3, 5.6], new Amp(0.5), new All());

    [Fact]
    public void Amp_of_two_steps()
    {
        // ε₁ = (0.3, 0.4); ε₁ + H(w + ε₁) = (3.6, 6), on the ball of ½: (3.6, 6) · 0.5 / √48.96
        var scale = 0.5 / Math.Sqrt(48.96);
        Gives([3 + 3.6 * scale, 4 * (1 + 6 * scale)], new Amp(0.5, 1, 2), new All());
    }

    [Fact]
    public void Sam_with_sgd_for_two_steps()
    {
        using var sgd = new Sgd(_network.Parameters, new SgdOptions(0.9, 5e-4));
        foreach (var expected in (double[][])[[2.66985, 0.43995], [2.0638495036, -0.3501651699]])
        {
            sgd.Update(Step(new Sam(0.5), new All()).Direction, 0.1);
            Close.Equal(expected, _network.Parameters.Value.ToDoubles(), Tolerance);
        }
    }

    [Fact]
    public void The_radius_follows_the_learning_rate()
    {
        var sam = new Sam(0.1, 0.01);
        foreach (var (rate, radius) in ((double, double)[])[(0.2, 0.1), (0.1, 0.055), (0, 0.01)])
            Assert.Equal(radius, sam.RadiusAt(new StepContext(0, 0, rate, 0.2, Draw.None)), 1e-15);
    }

    [Fact]
    public void Decomposition()
    {
        var (plus, minus) = (Tensor.From([2.0, 0.0], 2), Tensor.From([1.0, 1.0], 2));
        Assert.Equal(0.5, minus.CoefficientAlong(plus).Item());
        Assert.Equal([0.0, 1.0], minus.OrthogonalTo(plus).ToDoubles());
        Assert.Equal([2.0, 1.0], (plus + minus.OrthogonalTo(plus)).ToDoubles());
        // no direction to project on: nothing is taken off
        Assert.Equal([1.0, 1.0], minus.OrthogonalTo(plus * 0).ToDoubles());
    }

    [Fact]
    public void Mixup_rows()
    {
        var batch = new Batch(Tensor.From([1.0, 0, 0, 1, 2, 2], 3, 2, 1, 1), Tensor.From([0L, 1, 2], 3));
        var mixed = new Mixup().Apply(batch, new Draw { Lambda = 0.25, Permutation = [1, 2, 0] }, null!);
        Assert.Equal([0.25, 0.75, 1.5, 1.75, 1.25, 0.5], mixed.Inputs.ToDoubles());
    }

    [Fact]
    public void Aace_target()
    {
        var logits = Tensor.From([2.0, 1.0, 0.0], 1, 3);
        logits.RequiresGrad = true;
        var targets = new Targets(Tensor.From([0L], 1));
        var a = new AaceSam().AscentLosses(logits, targets, logits, Draw.None);
        Assert.Equal(1.0943442769, a.Item(), 1e-10);
        Close.Equal([0.6652409558, -0.4863301076, -0.1789108482], Autograd.Gradients(a.Sum(), [logits])[0].ToDoubles(), 1e-9);
        // all forms of the target have the true class out of it, and sum to 1 plus what the true class keeps
        foreach (var (aace, sum) in new (AaceSam, double)[] { (new(Target: AaceTarget.Uniform), 1), (new(Target: AaceTarget.Random), 1), (new(Threshold: 0.25), 1.25) })
        {
            // ∇ −Σ q ln p = (Σ q) p − q
            var gradient = Autograd.Gradients(aace.AscentLosses(logits, targets, logits, Draw.None).Sum(), [logits])[0].ToDoubles();
            Assert.Equal(0, gradient.Sum(), 1e-12);
            Assert.Equal(aace.Threshold, sum * 0.6652409558 - gradient[0], 1e-9);
        }
    }

    [Fact]
    public void Aace_survives_certainty_and_mixed_labels()
    {
        var logits = Tensor.From([800.0, 0, -800, 0, 1, 2], 2, 3);
        logits.RequiresGrad = true;
        var mixed = new Targets(Tensor.From([0L, 0], 2), Tensor.From([0L, 1], 2), Tensor.From([0.5, 0.3], 2));
        var a = new AaceSam().AscentLosses(logits, mixed, logits, Draw.None);
        // p_t = 1 in floating point, and a is still 800; the second example excludes classes 0 and 1
        Close.Equal([800, Math.Log(1 + Math.E + Math.E * Math.E) - 2], a.ToDoubles(), 1e-12);
        Assert.True(Autograd.Gradients(a.Sum(), [logits])[0].AllFinite().Item() != 0);
        // two classes, both in the label: no wrong class, no part in the ascent
        var two = Tensor.From([1.0, 2.0], 1, 2);
        Assert.Equal(0, new AaceSam().AscentLosses(two, new Targets(Tensor.From([0L], 1), Tensor.From([1L], 1), Tensor.From([0.5], 1)), two, Draw.None).Item());
        Assert.True(new AaceSam().AscentLosses(two, new Targets(Tensor.From([0L], 1), Tensor.From([1L], 1), Tensor.From([1.0], 1)), two, Draw.None).Item() > 0);
    }
}
