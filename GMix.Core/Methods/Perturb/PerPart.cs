using GMix.Nn;
using GMix.Torch;

namespace GMix.Methods;

/// <summary>Vectors over the weights that are constant on each parameter tensor.</summary>
internal static class PerPartVectors
{
    /// <summary>(d), filled part by part.</summary>
    public static Tensor PerPart(this ParameterVector weights, Func<ParameterPart, double> value)
    {
        using var noGrad = Autograd.NoGrad();
        var vector = weights.Value.ZerosLike();
        foreach (var part in weights.Parts)
            using (var stretch = vector.Narrow(0, part.Offset, part.Parameter.Count)) stretch.FillInPlace(value(part));
        return vector;
    }
}
