using GMix.Core.Tests.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Diagnostics;

public class CurvatureTests
{
    /// <summary>The Hessian of softmax regression's mean cross-entropy, written down: (1/n) Σ (diag p − p pᵀ) ⊗ x̂ x̂ᵀ with x̂ = (x, 1). Labels do not enter.</summary>
    private static double[,] SoftmaxHessian(SmallLoss small)
    {
        var network = small.Network;
        var (classes, inputs) = (network.Model.Classes, (int)small.Images.Flatten(1).Size(1));
        var x = small.Images.Flatten(1).ToDoubles();
        var p = network.Logits(small.Images, ForwardPass.Eval).Softmax().ToDoubles();
        var n = small.Loss.Count;
        // a weight vector is the matrix (classes, inputs), then the biases
        int At(int k, int i) => i < inputs ? k * inputs + i : classes * inputs + k;
        double X(int e, int i) => i < inputs ? x[e * inputs + i] : 1;
        var h = new double[classes * (inputs + 1), classes * (inputs + 1)];
        for (var e = 0; e < n; e++)
            for (var k = 0; k < classes; k++)
                for (var l = 0; l < classes; l++)
                {
                    var curve = p[e * classes + k] * ((k == l ? 1 : 0) - p[e * classes + l]) / n;
                    for (var i = 0; i <= inputs; i++)
                        for (var j = 0; j <= inputs; j++) h[At(k, i), At(l, j)] += curve * X(e, i) * X(e, j);
                }
        return h;
    }

    private static double[] Times(double[,] h, double[] v) => [.. Enumerable.Range(0, v.Length).Select(i => Enumerable.Range(0, v.Length).Sum(j => h[i, j] * v[j]))];

    /// <summary>The largest eigenvalue of a positive semidefinite matrix: repeated squaring makes its own vector stand out.</summary>
    private static double LargestOf(double[,] h)
    {
        var v = Enumerable.Range(0, h.GetLength(0)).Select(i => Math.Sin(i + 1.0)).ToArray();
        var value = 0.0;
        for (var t = 0; t < 400; t++)
        {
            var w = Times(h, v);
            value = Math.Sqrt(w.Sum(x => x * x));
            v = [.. w.Select(x => x / value)];
        }
        return value;
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void HessianProductsAreThoseOfTheWrittenDownHessian(bool mixed)
    {
        using var small = new SmallLoss("softmax", mixed: mixed);
        var vector = Curvature.Normal(small.Network.Parameters.Value, 3);
        Close.Equal(Times(SoftmaxHessian(small), vector.ToDoubles()), small.Loss.HessianTimes(vector).ToDoubles(), 1e-12);
    }

    [Fact]
    public void TopEigenvalueAndTraceAreThoseOfTheWrittenDownHessian()
    {
        using var small = new SmallLoss("softmax");
        var h = SoftmaxHessian(small);
        var like = small.Network.Parameters.Value;
        var top = Curvature.Top(small.Loss.HessianTimes, like, 500, 1e-7, 1);
        Assert.True(top.Converged);
        Assert.InRange(top.Value / LargestOf(h), 1 - 1e-9, 1 + 1e-9);
        var trace = Enumerable.Range(0, h.GetLength(0)).Sum(i => h[i, i]);
        var estimate = Curvature.Trace(small.Loss.HessianTimes, like, 200, 1);
        // an estimate: four of its own standard errors, which must be small enough to say something
        Assert.InRange(estimate.Value, trace - 4 * estimate.StandardError, trace + 4 * estimate.StandardError);
        Assert.InRange(estimate.StandardError, 0, 0.1 * trace);
    }

    /// <summary>A diagonal matrix whose eigenvalue of largest magnitude is negative: the top one is found all the same.</summary>
    [Fact]
    public void TheTopIsFoundBelowALargerNegativeEigenvalue()
    {
        using var scope = new TensorScope();
        var diagonal = Tensor.From([-5.0, 2.0, 1.0, -1.0, 0.5], 5);
        var top = Curvature.Top(v => diagonal * v, diagonal, 2000, 1e-9, 4);
        Assert.True(top.Converged);
        Assert.Equal(2, top.Value, 1e-8);
        // for a diagonal matrix every vector of signs gives the trace exactly
        var trace = Curvature.Trace(v => diagonal * v, diagonal, 3, 4);
        Assert.Equal(-2.5, trace.Value, 1e-12);
        Assert.Equal(0, trace.StandardError, 1e-12);
    }

    /// <summary>Through convolutions and BatchNorm: the product against a central difference of gradients, in float64.</summary>
    [Theory]
    [InlineData("wrn-10-1")]
    [InlineData("mobilenet-0.25")]
    public void HessianProductsAgreeWithDifferencesOfGradients(string model)
    {
        using var small = new SmallLoss(model, 6, 4);
        // running statistics that fit the network, as after training; else the signal dies out on its way through the layers
        for (var pass = 0; pass < 30; pass++) small.Network.Logits(small.Images, new ForwardPass(BatchNormMode.Train)).Dispose();
        var weights = small.Network.Parameters;
        var vector = Curvature.Normal(weights.Value, 5);
        vector.MultiplyInPlace(1 / vector.Norm().Item());
        var product = small.Loss.HessianTimes(vector);
        Tensor GradientAt(double t)
        {
            using (weights.Perturbed(vector * t)) return small.Loss.WithGradient().Gradient;
        }
        const double step = 1e-6;
        var difference = (GradientAt(step) - GradientAt(-step)) * (0.5 / step);
        Close.Equal(difference, product, 1e-4);
    }
}
