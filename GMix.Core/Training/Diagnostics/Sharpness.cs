using GMix.Draws;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>How sharpness is measured.</summary>
public sealed record SharpnessOptions
{
    /// <summary>ρ > 0 of the ball |ε| ≤ ρ.</summary>
    public double Rho { get; init; } = 0.05;
    /// <summary>ρ > 0 of the adaptive ball; ASAM's usual radius is ten times SAM's.</summary>
    public double AdaptiveRho { get; init; } = 0.5;
    /// <summary>η ≥ 0 in T = |w| + η of the adaptive ball.</summary>
    public double Eta { get; init; } = 0.01;
    /// <summary>N ≥ 1 ascent steps.</summary>
    public int Steps { get; init; } = 20;
    /// <summary>Length of one ascent step, as a share of ρ.</summary>
    public double StepShare { get; init; } = 0.1;
    /// <summary>Random perturbations of the average case, at least 1.</summary>
    public int Draws { get; init; } = 50;
    /// <summary>σ of the average case per weight; null for ρ / √d, whose perturbations have the length ρ in the mean square.</summary>
    public double? Sigma { get; init; }
    /// <summary>Most Hessian products of a power iteration, at least 1.</summary>
    public int PowerIterations { get; init; } = 30;
    /// <summary>Where power iteration stops: |H v − λ v| ≤ tolerance · |λ|.</summary>
    public double Tolerance { get; init; } = 1e-3;
    /// <summary>Random vectors of the trace, at least 1.</summary>
    public int TraceProbes { get; init; } = 20;
    /// <summary>Of all draws.</summary>
    public long Seed { get; init; }

    /// <summary>Refuses values out of their ranges.</summary>
    /// <exception cref="GMixInputException">One is; the message names its flag.</exception>
    public void Check()
    {
        static void Need(bool good, string message)
        {
            if (!good) throw new GMixInputException(message);
        }
        Need(double.IsFinite(Rho) && Rho > 0, FormattableString.Invariant($"--rho {Rho:R}: must be above 0"));
        Need(double.IsFinite(AdaptiveRho) && AdaptiveRho > 0, FormattableString.Invariant($"--adaptive-rho {AdaptiveRho:R}: must be above 0"));
        Need(Sigma is null || (double.IsFinite(Sigma.Value) && Sigma > 0), FormattableString.Invariant($"--sigma {Sigma:R}: must be above 0"));
        Need(Draws >= 1, $"--draws {Draws}: must be at least 1");
        if (Steps < 1 || PowerIterations < 1 || TraceProbes < 1 || !(Eta >= 0) || !(StepShare > 0) || !(Tolerance >= 0)) throw new ArgumentException("steps, iterations and probes must be at least 1, the step share above 0", nameof(SharpnessOptions));
    }
}

/// <summary>Sharpness within one ball.</summary>
/// <param name="Rho">ρ.</param>
/// <param name="OneStep">S_1 = L(w + ε₁) − L(w) with ε₁ = ρ T² g / |T g|; T = 1 in the plain ball.</param>
/// <param name="Ascent">S_N: the largest L(w + ε) − L(w) met on the way of N projected ascent steps, S_1's point and ε = 0 included. A lower bound of the true maximum, and never below S_1.</param>
/// <param name="Path">L(w + ε) − L(w) after each of those steps.</param>
public sealed record BallSharpness(double Rho, double OneStep, double Ascent, IReadOnlyList<double> Path);

/// <summary>What was found at w on one set of examples.</summary>
public sealed record SharpnessResult
{
    /// <summary>Examples.</summary>
    public required int Images { get; init; }
    /// <summary>L(w).</summary>
    public required double Loss { get; init; }
    /// <summary>Percent; counted with λ where labels are mixed.</summary>
    public required double Accuracy { get; init; }
    /// <summary>|∇L(w)|.</summary>
    public required double GradientNorm { get; init; }
    /// <summary>In |ε| ≤ ρ.</summary>
    public required BallSharpness Plain { get; init; }
    /// <summary>In |T⁻¹ ε| ≤ ρ with T = |w| + η.</summary>
    public required BallSharpness Adaptive { get; init; }
    /// <summary>m: examples in one group.</summary>
    public required int GroupSize { get; init; }
    /// <summary>m-sharpness: S_1(ρ) of each group of m examples with an ε of its own, averaged over all examples.</summary>
    public required double Group { get; init; }
    /// <summary>σ of the average case.</summary>
    public required double Sigma { get; init; }
    /// <summary>Mean of L(w + u) − L(w) over u ~ N(0, σ² I).</summary>
    public required double Average { get; init; }
    /// <summary>Standard error of that mean; NaN for a single draw.</summary>
    public required double AverageError { get; init; }
    /// <summary>λ_max of the Hessian of L at w.</summary>
    public required TopEigenvalue Top { get; init; }
    /// <summary>Trace of that Hessian.</summary>
    public required TraceEstimate Trace { get; init; }
}

/// <summary>
/// Sharpness at a solution: how much the loss rises nearby. Worst case in a ball (Foret et al. 2021), by groups of examples (m-sharpness, ibid.),
/// relative to the size of the weights (Kwon et al. 2021), on average, and by the Hessian. The weights end bit for bit as they were.
/// </summary>
public static class Sharpness
{
    /// <summary>Measures everything.</summary>
    /// <param name="loss">The loss; its batches are the groups of m-sharpness.</param>
    /// <param name="options">Radii, steps and draws.</param>
    /// <param name="tell">Told what is being measured.</param>
    public static SharpnessResult Measure(FixedLoss loss, SharpnessOptions options, Action<string>? tell = null)
    {
        options.Check();
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var weights = loss.Network.Parameters;
        ulong Seed(int use) => new CounterRandom(options.Seed, DrawStream.Diagnostics, 1, use).NextUInt64();

        tell?.Invoke("loss and gradient");
        var (value, accuracy) = loss.Measure();
        var (_, gradient) = loss.WithGradient();
        tell?.Invoke($"{options.Steps} ascent steps");
        var plain = Ball(loss, value, gradient, null, options.Rho, options);
        tell?.Invoke($"{options.Steps} adaptive ascent steps");
        var adaptive = Ball(loss, value, gradient, weights.Value.Abs() + options.Eta, options.AdaptiveRho, options);
        tell?.Invoke($"{loss.Batches.Count} groups of examples");
        var group = Groups(loss, options.Rho);
        tell?.Invoke($"{options.Draws} random perturbations");
        var sigma = options.Sigma ?? options.Rho / Math.Sqrt(weights.Length);
        var (average, error) = Average(loss, value, sigma, options.Draws, Seed(0));
        tell?.Invoke("the Hessian's top eigenvalue");
        var top = Curvature.Top(loss.HessianTimes, weights.Value, options.PowerIterations, options.Tolerance, Seed(1));
        tell?.Invoke($"the Hessian's trace by {options.TraceProbes} random vectors");
        var trace = Curvature.Trace(loss.HessianTimes, weights.Value, options.TraceProbes, Seed(2));
        return new SharpnessResult
        {
            Images = loss.Count, Loss = value, Accuracy = accuracy, GradientNorm = gradient.Norm().Item(), Plain = plain, Adaptive = adaptive,
            GroupSize = loss.Batches.Max(b => b.Count), Group = group, Sigma = sigma, Average = average, AverageError = error, Top = top, Trace = trace,
        };
    }

    /// <summary>S_1 and S_N in the ball |T⁻¹ ε| ≤ ρ; T null for 1.</summary>
    private static BallSharpness Ball(FixedLoss loss, double value, Tensor gradient, Tensor? scale, double rho, SharpnessOptions options)
    {
        using var scope = new TensorScope();
        Tensor Scaled(Tensor v) => scale is null ? v : scale * v;
        // in the coordinates u = T⁻¹ ε the ball is round and the gradient is T g
        Tensor Along(Tensor g, double length)
        {
            var scaled = Scaled(g);
            var norm = scaled.Norm().Item();
            return scaled * (norm > 0 ? length / norm : 0);
        }
        double RiseAt(Tensor u)
        {
            using (loss.Network.Parameters.Perturbed(Scaled(u))) return loss.Value() - value;
        }

        var oneStep = RiseAt(Along(gradient, rho));
        var path = new double[options.Steps];
        var position = gradient.ZerosLike();
        for (var i = 0; i < options.Steps; i++)
        {
            using var step = new TensorScope();
            if (i == 0) position.AddInPlace(Along(gradient, options.StepShare * rho));
            else
            {
                using (loss.Network.Parameters.Perturbed(Scaled(position)))
                {
                    var (here, further) = loss.WithGradient();
                    path[i - 1] = here - value;
                    position.AddInPlace(Along(further, options.StepShare * rho));
                }
            }
            var length = position.Norm().Item();
            if (length > rho) position.MultiplyInPlace(rho / length);
        }
        path[^1] = RiseAt(position);
        return new BallSharpness(rho, oneStep, Math.Max(0, path.Append(oneStep).Max()), path);
    }

    private static double Groups(FixedLoss loss, double rho)
    {
        var sum = 0.0;
        for (var i = 0; i < loss.Batches.Count; i++)
        {
            using var scope = new TensorScope();
            var (value, gradient) = loss.WithGradient(i);
            var norm = gradient.Norm().Item();
            if (norm == 0) continue;
            using (loss.Network.Parameters.Perturbed(gradient * (rho / norm))) sum += (loss.Value(i) - value) * loss.Batches[i].Count;
        }
        return sum / loss.Count;
    }

    private static (double Mean, double Error) Average(FixedLoss loss, double value, double sigma, int draws, ulong seed)
    {
        var weights = loss.Network.Parameters;
        using var generator = new Generator(weights.Value.Device);
        generator.Seed(seed);
        var rises = new double[draws];
        for (var i = 0; i < draws; i++)
        {
            using var scope = new TensorScope();
            using (weights.Perturbed(Tensor.Normal(weights.Value.Shape, generator, 0, sigma, weights.Value.DType, weights.Value.Device))) rises[i] = loss.Value() - value;
        }
        return Curvature.MeanAndError(rises);
    }
}
