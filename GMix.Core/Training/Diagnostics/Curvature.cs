using GMix.Torch;

namespace GMix.Training;

/// <summary>The largest eigenvalue of a symmetric operator, as power iteration found it.</summary>
/// <param name="Value">λ_max: the Rayleigh quotient of the last vector, so never above the true one (beyond rounding).</param>
/// <param name="Residual">|H v − λ v| for |v| = 1: the operator has an eigenvalue within this distance of <paramref name="Value"/>.</param>
/// <param name="Products">Products with H that it took.</param>
/// <param name="Converged">Whether the residual fell below the tolerance times |λ|.</param>
public sealed record TopEigenvalue(double Value, double Residual, int Products, bool Converged);

/// <summary>A trace estimated from random vectors.</summary>
/// <param name="Value">Mean of zᵀ H z.</param>
/// <param name="StandardError">Of that mean; NaN for a single vector.</param>
public sealed record TraceEstimate(double Value, double StandardError);

/// <summary>What Hessian-vector products alone tell of a Hessian that is too large to write down.</summary>
public static class Curvature
{
    /// <summary>
    /// λ_max by power iteration from a normal vector. Power iteration finds the eigenvalue of largest magnitude; where that one is negative, a second
    /// run on H − λ I, whose eigenvalues are all at least 0, finds the top.
    /// </summary>
    /// <param name="product">v ↦ H v, for v of shape (d).</param>
    /// <param name="like">Gives shape, type and device of the vectors.</param>
    /// <param name="limit">Most products of each run, at least 1.</param>
    /// <param name="tolerance">Stops where |H v − λ v| ≤ tolerance · |λ|.</param>
    /// <param name="seed">Of the first vector.</param>
    public static TopEigenvalue Top(Func<Tensor, Tensor> product, Tensor like, int limit, double tolerance, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        var first = PowerIteration(product, 0, like, limit, tolerance, seed);
        if (first.Value >= 0) return first;
        var second = PowerIteration(product, first.Value, like, limit, tolerance, seed);
        return second with { Products = first.Products + second.Products };
    }

    private static TopEigenvalue PowerIteration(Func<Tensor, Tensor> product, double shift, Tensor like, int limit, double tolerance, ulong seed)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var v = Normal(like, seed);
        v.MultiplyInPlace(1 / v.Norm().Item());
        for (var products = 1; ; products++)
        {
            using var one = new TensorScope();
            var image = product(v);
            if (shift != 0) image = image.Add(v, -shift);
            var eigenvalue = v.Dot(image).Item();
            var residual = image.Add(v, -eigenvalue).Norm().Item();
            var length = image.Norm().Item();
            var converged = residual <= tolerance * Math.Abs(eigenvalue + shift) || length == 0;
            if (converged || products == limit) return new TopEigenvalue(eigenvalue + shift, residual, products, converged);
            v.CopyFrom(image * (1 / length));
        }
    }

    /// <summary>tr H by Hutchinson's estimator: the mean of zᵀ H z over vectors z of independent random signs, whose expectation is exactly the trace.</summary>
    /// <param name="product">v ↦ H v.</param>
    /// <param name="like">Gives shape, type and device of the vectors.</param>
    /// <param name="probes">Vectors, at least 1.</param>
    /// <param name="seed">Of the signs.</param>
    public static TraceEstimate Trace(Func<Tensor, Tensor> product, Tensor like, int probes, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(probes);
        using var noGrad = Autograd.NoGrad();
        using var generator = new Generator(like.Device);
        generator.Seed(seed);
        var values = new double[probes];
        for (var i = 0; i < probes; i++)
        {
            using var scope = new TensorScope();
            var signs = Tensor.Bernoulli(like.Shape, 0.5, generator, like.DType, like.Device) * 2 - 1;
            values[i] = signs.Dot(product(signs)).Item();
        }
        var (mean, error) = MeanAndError(values);
        return new TraceEstimate(mean, error);
    }

    /// <summary>The mean of draws and its standard error; NaN for a single draw.</summary>
    internal static (double Mean, double Error) MeanAndError(IReadOnlyList<double> values)
    {
        var mean = values.Average();
        return (mean, values.Count < 2 ? double.NaN : Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1) / values.Count));
    }

    internal static Tensor Normal(Tensor like, ulong seed)
    {
        using var generator = new Generator(like.Device);
        return Tensor.Normal(like.Shape, generator.Seed(seed), type: like.DType, device: like.Device);
    }
}
