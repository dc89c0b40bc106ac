using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

// AACE-SAM (Ratchatorn, Tanaka: Adversarial adaptive cross-entropy for SAM, ICIP 2024; code T-Ratchatorn/AACE)
//
//   p = softmax(z), t the true class
//   q_t = 0, q_k = p_k / (1 − p_t) for the other classes: a target that is wrong in the network's own way, held constant
//   a = KL(q ‖ p) = logsumexp(z) − logsumexp over k ≠ t of z_k
//   ε = −ρ ∇ mean a                     descends a, which is an ascent of cross-entropy weighted by the odds p_t / (1 − p_t)
//   the training gradient is taken at w + ε
//
//   defaults ρ = 0.2, not normalised (the code's command line); Normalize divides by |∇a| as SAM does
//   The second form of a, since the first is 0/0 once p_t rounds to 1. Mixed labels: the source has none; here every class of the mixed label
//   counts as true, and an example whose labels leave no other class adds nothing
//   options: q_t = min(p_t, Threshold); or a target that is one random wrong class, or all wrong classes equally
//   cost: as SAM, one forward and one backward more
//   not for: two classes with mixed labels (nothing is left to descend towards)

/// <summary>What AACE-SAM's ascent moves towards.</summary>
public enum AaceTarget
{
    /// <summary>The wrong classes, in the network's own proportions.</summary>
    Adaptive,
    /// <summary>One wrong class per example, at random.</summary>
    Random,
    /// <summary>All wrong classes equally.</summary>
    Uniform,
}

/// <summary>Perturbs towards the classes that the network confuses with the true one.</summary>
/// <param name="Rho">ρ ≥ 0.</param>
/// <param name="Normalize">Makes |ε| = ρ; otherwise |ε| = ρ |∇a|.</param>
/// <param name="Threshold">q_t = min(p_t, threshold) for the true class, in [0, 1].</param>
/// <param name="Target">See <see cref="AaceTarget"/>.</param>
public sealed record AaceSam(double Rho = 0.2, bool Normalize = false, double Threshold = 0, AaceTarget Target = AaceTarget.Adaptive) : Perturb
{
    /// <inheritdoc/>
    public override double Radius => Rho;

    /// <inheritdoc/>
    public override bool AscendsTrainingLoss => false;

    /// <inheritdoc/>
    public override Tensor AscentLosses(Tensor logits, Targets targets, Tensor losses, Draw draw)
    {
        Tensor support, none;
        using (Autograd.NoGrad()) (support, none) = Support(logits, targets);
        // a large negative number instead of −∞: an example without a wrong class then has a finite value, which the mask takes out
        var wrong = logits.MaskedFill(support, -1e30);
        if (Target == AaceTarget.Adaptive && Threshold == 0) return (logits.LogSumExp() - wrong.LogSumExp()).MaskedFill(none, 0);
        Tensor q;
        using (Autograd.NoGrad()) q = Goal(logits, wrong, support, draw);
        return (-(q * logits.LogSoftmax()).Sum([1])).MaskedFill(none, 0);
    }

    /// <summary>True classes (n, classes), and examples that have no other class (n).</summary>
    private static (Tensor Support, Tensor None) Support(Tensor logits, Targets targets)
    {
        var classes = (int)logits.Size(1);
        var support = targets.A.OneHot(classes).Eq(1);
        if (targets.Mixed)
        {
            // a weight of 0 takes a class out of the label
            var first = targets.Lambda!.Gt(0).Unsqueeze(1);
            var second = targets.Lambda.Lt(1).Unsqueeze(1);
            support = support.And(first).Or(targets.B!.OneHot(classes).Eq(1).And(second));
        }
        return (support, support.To(DType.Int64).Sum([1]).Eq(classes));
    }

    /// <summary>q (n, classes).</summary>
    private Tensor Goal(Tensor logits, Tensor wrong, Tensor support, Draw draw)
    {
        Tensor q;
        switch (Target)
        {
            case AaceTarget.Adaptive:
                q = wrong.Softmax();
                break;
            case AaceTarget.Uniform:
                q = wrong.ZerosLike().MaskedFill(support, -1e30).Softmax();
                break;
            default:
                var (shape, type, device) = (logits.Shape, logits.DType, logits.Device);
                var lots = draw.OnDevice("wrong classes", device, d =>
                {
                    using var generator = new Generator(device);
                    return Tensor.Uniform(shape, generator.Seed(d.SeedFor(DrawStream.Noise)), type: type, device: device);
                });
                q = lots.MaskedFill(support, -1).ArgMax(1).OneHot((int)shape[1]).To(type);
                break;
        }
        return Threshold == 0 ? q : support.Where(logits.Softmax().Clamp(0, Threshold), q);
    }

    /// <inheritdoc/>
    public override Tensor Epsilon(ParameterVector weights, Tensor gradient, StepContext at) => Normalize ? Sam.Ascent(gradient, -Rho) : gradient * -Rho;

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"AACE-SAM(rho={Rho:R}{(Normalize ? ", normalised" : "")}{(Threshold == 0 ? "" : $", threshold={Threshold:R}")}{(Target == AaceTarget.Adaptive ? "" : $", target={Target}")}{Details})");
}
