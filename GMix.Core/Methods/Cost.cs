namespace GMix.Methods;

/// <summary>Passes per step, in forward and backward passes of the whole batch.</summary>
/// <param name="Forwards">F.</param>
/// <param name="Backwards">R.</param>
public readonly record struct Cost(double Forwards, double Backwards)
{
    /// <summary>Counted as forwards, a backward being about two of them.</summary>
    public double InForwards => Forwards + 2 * Backwards;

    /// <summary>Against plain SGD, which is one forward and one backward.</summary>
    public double AgainstSgd => InForwards / 3;

    public static Cost operator +(Cost a, Cost b) => new(a.Forwards + b.Forwards, a.Backwards + b.Backwards);
    public static Cost operator *(double factor, Cost c) => new(factor * c.Forwards, factor * c.Backwards);

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Forwards:0.##} F + {Backwards:0.##} R");
}
