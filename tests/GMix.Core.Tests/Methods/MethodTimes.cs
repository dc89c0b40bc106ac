using System.Diagnostics;
using System.Globalization;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>
/// Measures every method's time against plain SGD, for the cards; only when GMIX_MEASURE=1. Processor time of one thread, so that what else the
/// machine does hardly matters.
/// </summary>
[Collection(nameof(LeakTests))]
public class MethodTimes
{
    private const int Rounds = 5, Count = 128, Side = 32;

    [Fact]
    public void Time_against_sgd()
    {
        if (Environment.GetEnvironmentVariable("GMIX_MEASURE") != "1") Assert.Skip("GMIX_MEASURE=1 measures every method's time against SGD and writes docs/methods/times.csv");
        TorchRuntime.TuneAllocator();
        TorchRuntime.Threads = 1;
        var entries = MethodCatalog.Entries;
        using var scope = new TensorScope();
        using var generator = new Generator(Device.Cpu);
        using var network = new Network(ModelCatalog.Create("wrn-16-2", new ImageShape(10, 3, Side, Side)), seed: 1);
        var batch = new Batch(Tensor.Normal([Count, 3, Side, Side], generator.Seed(1)), Tensor.From(Enumerable.Range(0, Count).Select(i => (long)i % 10).ToArray(), Count));
        using var sgd = new Sgd(network.Parameters, new SgdOptions());
        var milliseconds = entries.ToDictionary(e => e.Name, _ => new List<double>());
        // round by round, one method after the other, so that a busy moment of the machine does not fall on one method alone; round 0 warms up
        for (var round = 0; round <= Rounds; round++)
            foreach (var entry in entries)
            {
                var method = MethodCatalog.Get(entry.Name);
                using var step = new MethodStep(network, method);
                var steps = method.Perturb.When.Every;
                var start = Process.GetCurrentProcess().TotalProcessorTime;
                for (var t = 0; t < steps; t++)
                {
                    using var inner = new TensorScope();
                    var draw = method.Mix.Draw(new(1, Draws.DrawStream.Mix, round, t), Count, Side, Side) with { Seed = (ulong)(round * 100 + t) };
                    sgd.Update(step.Run(batch, new StepContext(0, t, 1e-3, 1e-3, draw)).Direction, 1e-3);
                }
                if (round > 0) milliseconds[entry.Name].Add((Process.GetCurrentProcess().TotalProcessorTime - start).TotalMilliseconds / steps);
            }
        var median = milliseconds.ToDictionary(m => m.Key, m => m.Value.Order().ElementAt(Rounds / 2));
        string[] lines =
        [
            string.Create(CultureInfo.InvariantCulture, $"# wrn-16-2, batch {Count} of 3 × {Side} × {Side}, float32, default settings; processor time of MethodStep.Run and Sgd.Update on one thread, median of {Rounds} rounds, methods taking turns; {Processor()}, libtorch {TorchRuntime.Version}."),
            "method,milliseconds,against_sgd",
            .. entries.Select(e => string.Create(CultureInfo.InvariantCulture, $"{e.Name},{median[e.Name]:0.0},{median[e.Name] / median["vanilla"]:0.00}")),
        ];
        File.WriteAllLines(Repository.Path("docs", "methods", "times.csv"), lines);
    }

    private static string Processor()
    {
        const string info = "/proc/cpuinfo";
        var line = File.Exists(info) ? File.ReadLines(info).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line?.Split(':')[1].Trim() ?? "processor unknown";
    }
}
