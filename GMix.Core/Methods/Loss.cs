using GMix.Torch;

namespace GMix.Methods;

/// <summary>What a wrong answer costs.</summary>
public enum LossKind
{
    /// <summary>−Σ y ln p.</summary>
    CrossEntropy,
    /// <summary>The mean over classes of −y ln p − (1 − y) ln(1 − p), p the softmax: what the published code of Manifold Mixup trains all its methods with.</summary>
    BinaryOnSoftmax,
}

/// <summary>The training loss per example. The mean over the batch is taken by whoever needs it, last.</summary>
/// <param name="LabelSmoothing">s in [0, 1): the target becomes (1 − s) y + s / classes.</param>
/// <param name="Kind">See <see cref="LossKind"/>.</param>
public sealed record Loss(double LabelSmoothing = 0, LossKind Kind = LossKind.CrossEntropy)
{
    /// <summary>Refuses settings out of their range.</summary>
    /// <exception cref="GMixInputException">s is not in [0, 1).</exception>
    public void Check()
    {
        if (LabelSmoothing is not (>= 0 and < 1)) throw new GMixInputException(FormattableString.Invariant($"--label-smoothing {LabelSmoothing:R}: must be at least 0 and below 1"));
    }

    /// <summary>(n) losses, with y = λ a + (1 − λ) b.</summary>
    /// <param name="logits">(n, classes).</param>
    /// <param name="targets">(n).</param>
    public Tensor PerExample(Tensor logits, Targets targets)
    {
        if (Kind == LossKind.CrossEntropy) return logits.CrossEntropy(targets.A, targets.Mixed ? [targets.B!, targets.Lambda!] : [], LabelSmoothing);
        var logP = logits.LogSoftmax(1);
        var yes = Expected(logP, targets);
        // 1 − p rounds to 0 where p rounds to 1; that class then adds a large constant, as in PyTorch's binary cross-entropy
        var logNot = (1 - logP.Exp()).Clamp(1e-30, 1).Log();
        return (Expected(logNot, targets) - logNot.Sum([1]) - yes) / (double)logits.Size(1);
    }

    /// <summary>Σ y v over classes, (n), without making y.</summary>
    private Tensor Expected(Tensor values, Targets targets)
    {
        var at = Pick(values, targets.A);
        if (targets.Mixed) at = targets.Lambda! * at + (1 - targets.Lambda!) * Pick(values, targets.B!);
        return LabelSmoothing == 0 ? at : (1 - LabelSmoothing) * at + LabelSmoothing * values.Mean([1]);
    }

    private static Tensor Pick(Tensor values, Tensor labels) => values.Gather(1, labels.Unsqueeze(1)).Flatten(0);
}
