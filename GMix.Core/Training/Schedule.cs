namespace GMix.Training;

/// <summary>How the learning rate falls after warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>η · ½ (1 + cos π t), t the share of the training that is done, per step.</summary>
    Cosine,
    /// <summary>η · factor at each milestone, per epoch.</summary>
    Step,
    /// <summary>η throughout.</summary>
    Constant,
}

/// <summary>The learning rate as a function of the step.</summary>
/// <param name="Peak">η &gt; 0, the largest rate.</param>
/// <param name="Kind">How it falls.</param>
/// <param name="Epochs">Epochs of the whole training.</param>
/// <param name="StepsPerEpoch">Steps of one epoch.</param>
/// <param name="WarmupEpochs">Epochs of linear rise from 0 to the peak; 0 for none.</param>
/// <param name="Milestones">Shares of the training at which <see cref="ScheduleKind.Step"/> multiplies the rate; default 50 % and 75 % (original Mixup script).</param>
/// <param name="Factor">By what; default 0.1.</param>
public sealed record Schedule(double Peak, ScheduleKind Kind, int Epochs, int StepsPerEpoch, double WarmupEpochs = 0, IReadOnlyList<double>? Milestones = null, double Factor = 0.1)
{
    /// <summary>The rate of a step, counted from the start of training.</summary>
    public double At(long step)
    {
        var total = (double)Epochs * StepsPerEpoch;
        var warm = WarmupEpochs * StepsPerEpoch;
        if (step < warm) return Peak * (step + 1) / warm;
        return Kind switch
        {
            ScheduleKind.Constant => Peak,
            ScheduleKind.Cosine => Peak * 0.5 * (1 + Math.Cos(Math.PI * (step - warm) / Math.Max(1, total - warm))),
            _ => Peak * Math.Pow(Factor, (Milestones ?? [0.5, 0.75]).Count(m => step / StepsPerEpoch >= (int)Math.Round(m * Epochs))),
        };
    }
}
