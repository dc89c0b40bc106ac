using GMix.Core.Tests.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Diagnostics;

public class SharpnessTests
{
    private static readonly SharpnessOptions Few = new() { Draws = 3, PowerIterations = 3, TraceProbes = 2, Steps = 6 };

    [Theory]
    [InlineData("softmax", 0.05)]
    [InlineData("mlp-8", 0.5)]
    [InlineData("mlp-8", 5)]
    [InlineData("wrn-10-1", 0.05)]
    [InlineData("wrn-10-1", 2)]
    public void SeveralStepsAreNeverBelowOneAndTheBestOfTheirPath(string model, double rho)
    {
        using var small = new SmallLoss(model, 6, 4, mixed: true);
        var r = Sharpness.Measure(small.Loss, Few with { Rho = rho, AdaptiveRho = 10 * rho });
        foreach (var ball in new[] { r.Plain, r.Adaptive })
        {
            Assert.True(ball.Ascent >= ball.OneStep && ball.Ascent >= 0);
            Assert.Equal(Math.Max(0, ball.Path.Append(ball.OneStep).Max()), ball.Ascent);
            Assert.Equal(Few.Steps, ball.Path.Count);
        }
        Assert.Equal(4, r.GroupSize);
    }

    /// <summary>ASYMPTOTIC: S_1 = ρ |g| + O(ρ²), so the error falls by 100 where ρ falls by 10; in the adaptive ball with T g in the place of g.</summary>
    [Theory]
    [InlineData("softmax")]
    [InlineData("mlp-8")]
    public void OneStepRisesByRhoTimesTheGradientNorm(string model)
    {
        using var small = new SmallLoss(model);
        double Error(double rho, bool adaptive)
        {
            var r = Sharpness.Measure(small.Loss, Few with { Rho = rho, AdaptiveRho = rho, Steps = 1 });
            var weights = small.Network.Parameters;
            var scaled = (weights.Value.Abs() + 0.01) * small.Loss.WithGradient().Gradient;
            return Math.Abs((adaptive ? r.Adaptive : r.Plain).OneStep - rho * (adaptive ? scaled.Norm().Item() : r.GradientNorm));
        }
        foreach (var adaptive in new[] { false, true })
            Assert.InRange(Math.Log10(Error(1e-3, adaptive) / Error(1e-4, adaptive)), 1.9, 2.1);
    }

    /// <summary>On a convex loss the ascent reaches the ball's edge and climbs along it: it gains on one step, and never passes Taylor's bound.</summary>
    [Fact]
    public void AscentClimbsAndStaysInTheBall()
    {
        using var small = new SmallLoss("softmax");
        const double rho = 1;
        var r = Sharpness.Measure(small.Loss, new SharpnessOptions { Rho = rho, Draws = 2, PowerIterations = 500, Tolerance = 1e-6, TraceProbes = 2 });
        Assert.True(r.Plain.Ascent > r.Plain.OneStep, $"{r.Plain.Ascent} after 20 steps, {r.Plain.OneStep} after one");
        Assert.True(r.Plain.Path.Zip(r.Plain.Path.Skip(1)).Take(9).All(p => p.Second > p.First));
        // |p − y| ≤ √2 and the Hessian of ln Σ eˣ is at most ½: no point of the ball rises by more
        var size = Enumerable.Range(0, small.Loss.Count).Max(i => Math.Sqrt(1 + Math.Pow(small.Images.Select(0, i).Norm().Item(), 2)));
        Assert.InRange(r.Plain.Ascent, 0, rho * r.GradientNorm + 0.25 * rho * rho * size * size);
    }

    /// <summary>One group of everything is the batch itself; smaller groups can each choose their own ε, so that on average they rise more.</summary>
    [Fact]
    public void SmallerGroupsRiseMore()
    {
        double Group(int each)
        {
            using var small = new SmallLoss("mlp-8", 12, each);
            var r = Sharpness.Measure(small.Loss, Few);
            if (each == 12) Assert.Equal(r.Plain.OneStep, r.Group, 1e-12);
            return r.Group;
        }
        var (whole, three, one) = (Group(12), Group(4), Group(1));
        Assert.True(whole < three && three < one, $"{whole}, {three}, {one}");
    }

    /// <summary>ASYMPTOTIC: the mean rise over random perturbations is σ²/2 · tr H, up to the error of the draws.</summary>
    [Fact]
    public void TheAverageCaseIsHalfTheTrace()
    {
        using var small = new SmallLoss("softmax");
        var r = Sharpness.Measure(small.Loss, Few with { Sigma = 0.05, Draws = 2000, TraceProbes = 200 });
        Assert.InRange(r.Average, 0.5 * 0.0025 * r.Trace.Value - 4 * r.AverageError - 1e-4, 0.5 * 0.0025 * r.Trace.Value + 4 * r.AverageError + 1e-4);
        Assert.True(r.Average > 3 * r.AverageError);
    }

    [Theory]
    [InlineData("mlp-8")]
    [InlineData("wrn-10-1")]
    public void EverythingEndsWhereItWasAndASeedGivesTheSameNumbers(string model)
    {
        using var small = new SmallLoss(model, 6, 4);
        var before = small.StateBits();
        var first = Sharpness.Measure(small.Loss, Few);
        Assert.True(before.AsSpan().SequenceEqual(small.StateBits()));
        var again = Sharpness.Measure(small.Loss, Few);
        Assert.Equal(first.Plain.Path, again.Plain.Path);
        Assert.Equal((first.Average, first.Top, first.Trace, first.Group), (again.Average, again.Top, again.Trace, again.Group));
        var other = Sharpness.Measure(small.Loss, Few with { Seed = 1 });
        Assert.NotEqual(first.Average, other.Average);
        Assert.NotEqual(first.Trace, other.Trace);
        Assert.Equal(first.Plain.OneStep, other.Plain.OneStep);
    }

    [Fact]
    public void AStationaryPointHasNoFirstStep()
    {
        using var small = new SmallLoss("softmax", 8, 8);
        // all logits 0 on images of zeros with balanced labels: the gradient vanishes
        using var noGrad = Autograd.NoGrad();
        small.Network.Parameters.Value.ZeroInPlace();
        small.Images.ZeroInPlace();
        small.Loss.Batches[0].Targets.A.CopyFrom(Tensor.From([0L, 1, 2, 3, 0, 1, 2, 3], 8));
        var r = Sharpness.Measure(small.Loss, Few);
        Assert.Equal((0, 0), (r.Plain.OneStep, r.Plain.Ascent));
        Assert.Equal(Math.Log(4), r.Loss, 1e-12);
    }

    [Theory]
    [InlineData("--rho")]
    [InlineData("--adaptive-rho")]
    [InlineData("--sigma")]
    [InlineData("--draws")]
    public void OptionsOutOfRangeAreNamed(string flag)
    {
        var wrong = flag switch
        {
            "--rho" => Few with { Rho = 0 },
            "--adaptive-rho" => Few with { AdaptiveRho = double.NaN },
            "--sigma" => Few with { Sigma = -1 },
            _ => Few with { Draws = 0 },
        };
        Assert.StartsWith(flag, Assert.Throws<GMixInputException>(wrong.Check).Message);
    }
}
