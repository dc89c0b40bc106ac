using System.Text.RegularExpressions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>
/// FsCheck for laws of methods: random scenarios, and a failure that says how to see it again:
/// set GMIX_REPLAY to the two numbers that FsCheck prints, such as <c>GMIX_REPLAY=123,457</c>.
/// </summary>
internal static class Property
{
    /// <summary>Runs a law on random scenarios.</summary>
    public static void Holds(Action<Scenario> law, int cases = 25, string[]? models = null)
    {
        var config = Config.QuickThrowOnFailure.WithMaxTest(cases).WithQuietOnSuccess(true);
        if (Environment.GetEnvironmentVariable("GMIX_REPLAY")?.Split(',') is [var seed, var gamma])
            config = config.WithReplay(ulong.Parse(seed), ulong.Parse(gamma));
        Prop.ForAll(Arb.From(Scenarios(models ?? ["mlp", "mlp", "wrn-10-1"])), law).Check(config);
    }

    private static Gen<Scenario> Scenarios(string[] models) =>
        from model in Gen.Elements(models)
        from count in Gen.Choose(2, 11)
        from classes in Gen.Choose(3, 7)
        from seed in Gen.Choose(0, 1_000_000)
        from rho in Gen.Elements(0.001, 0.05, 0.1, 0.5)
        from gamma in Gen.Elements(0.1, 0.3, 0.5, 0.8, 1.0)
        from alpha in Gen.Elements(0.2, 1.0, 2.0)
        from kappa in Gen.Elements(-1.0, 0.5, 1.0, 2.0)
        select new Scenario(model, count, classes, seed, rho, gamma, alpha, kappa);
}

/// <summary>A random net, batch and hyper-parameters.</summary>
internal sealed record Scenario(string Model, int Count, int Classes, int Seed, double Rho, double Gamma, double Alpha, double Kappa);

/// <summary>The way back to a failure.</summary>
public class PropertyTests
{
    [Fact]
    public void A_failing_law_says_how_to_see_it_again()
    {
        var seen = new List<Scenario>();
        var message = Assert.ThrowsAny<Exception>(() => Property.Holds(Law, 100)).Message;
        var failed = seen[^1];
        var replay = Regex.Match(message, @"\((\d+),\s*(\d+)(?:,\s*\d+)?\)");
        Assert.True(replay.Success, message);
        Assert.Contains(failed.ToString(), message);
        var before = Environment.GetEnvironmentVariable("GMIX_REPLAY");
        try
        {
            Environment.SetEnvironmentVariable("GMIX_REPLAY", $"{replay.Groups[1].Value},{replay.Groups[2].Value}");
            seen.Clear();
            Assert.ThrowsAny<Exception>(() => Property.Holds(Law, 100));
            // the numbers are those of the run: it repeats, case by case, up to the same failure
            Assert.Equal(failed, seen[^1]);
        }
        finally { Environment.SetEnvironmentVariable("GMIX_REPLAY", before); }

        void Law(Scenario s)
        {
            seen.Add(s);
            if (s.Count > 8) throw new InvalidOperationException("too many");
        }
    }
}
