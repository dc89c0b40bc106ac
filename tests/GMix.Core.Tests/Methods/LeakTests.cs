using GMix.Methods;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Memory over 300 steps of every method. Not beside other tests: the counter of live tensors is the process's.</summary>
[CollectionDefinition(nameof(LeakTests), DisableParallelization = true)]
[Collection(nameof(LeakTests))]
public class LeakTests
{
    [Theory, MemberData(nameof(CatalogBattery.Names), MemberType = typeof(CatalogBattery))]
    public void Tensors_and_memory_return_to_the_baseline(string name)
    {
        using var lab = new Lab(count: 8);
        var method = MethodCatalog.Get(name);
        using var step = new MethodStep(lab.Network, method);
        using var sgd = new Sgd(lab.Network.Parameters, new SgdOptions());
        CatalogBattery.Train(lab, step, sgd, 0, 1);
        // what tests before this one left to the finalizers must not go down while we count
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var (live, resident) = (TorchRuntime.LiveTensors, 0L);
        for (var t = 1; t < 300; t++)
        {
            CatalogBattery.Train(lab, step, sgd, t, t + 1);
            Assert.Equal(live, TorchRuntime.LiveTensors);
            if (t == 100) resident = Resident();
        }
        Assert.InRange(Resident() - resident, long.MinValue, 16 << 20);
    }

    private static long Resident()
    {
        GC.Collect();
        return Environment.WorkingSet;
    }
}
