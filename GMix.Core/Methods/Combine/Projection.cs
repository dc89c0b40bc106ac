using GMix.Torch;

namespace GMix.Methods;

/// <summary>Splitting one gradient along another.</summary>
internal static class Projection
{
    /// <summary>A squared norm below this counts as 0.</summary>
    public const double Tiny = 1e-24;

    /// <summary>c = &lt;v, along&gt; / |along|², a float64 scalar; 0 where |along|² is below 1e-24. Accumulated in float64.</summary>
    public static Tensor CoefficientAlong(this Tensor v, Tensor along)
    {
        var squared = Vectors.Dot(along, along);
        var tiny = squared.Lt(Tiny);
        return (Vectors.Dot(v, along) / squared.MaskedFill(tiny, 1)).MaskedFill(tiny, 0);
    }

    /// <summary>v − c along.</summary>
    public static Tensor OrthogonalTo(this Tensor v, Tensor along) => v - along * v.CoefficientAlong(along).To(v.DType);
}
