using GMix.Torch;

namespace GMix.Methods;

/// <summary>Per-example cross-entropy. The mean over the batch is taken by whoever needs it, last.</summary>
/// <param name="LabelSmoothing">s in [0, 1): the target becomes (1 − s) y + s / classes.</param>
public sealed record Loss(double LabelSmoothing = 0)
{
    /// <summary>Refuses settings out of their range.</summary>
    /// <exception cref="GMixInputException">s is not in [0, 1).</exception>
    public void Check()
    {
        if (LabelSmoothing is not (>= 0 and < 1)) throw new GMixInputException(FormattableString.Invariant($"--label-smoothing {LabelSmoothing:R}: must be at least 0 and below 1"));
    }

    /// <summary>(n) losses −Σ y ln softmax(logits), with y = λ a + (1 − λ) b.</summary>
    /// <param name="logits">(n, classes).</param>
    /// <param name="targets">(n).</param>
    public Tensor PerExample(Tensor logits, Targets targets)
    {
        var logP = logits.LogSoftmax(1);
        var loss = Nll(logP, targets.A);
        if (targets.Mixed) loss = targets.Lambda! * loss + (1 - targets.Lambda!) * Nll(logP, targets.B!);
        return LabelSmoothing == 0 ? loss : (1 - LabelSmoothing) * loss - LabelSmoothing * logP.Mean([1]);
    }

    private static Tensor Nll(Tensor logP, Tensor labels) => -logP.Gather(1, labels.Unsqueeze(1)).Flatten(0);
}
