using GMix.Core.Tests.Methods;
using GMix.Draws;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>
/// What code meant for a device may not do, shown without one. The device <c>meta</c> has shapes and no elements: an operator that only the host has,
/// a host tensor among the device's, or a number that is read fails on it as it would on a GPU.
/// </summary>
public class DeviceTests
{
    private const int Count = 10, Classes = 5;

    public static TheoryData<string, MethodOptions> Methods { get; } = new(
        MethodCatalog.Entries.Select(e => (e.Name, new MethodOptions { Every = e.Name == "looksam" ? 2 : 1 })).Concat(
        [
            ("mixup", new MethodOptions { LambdaPerSample = true, FoldLambda = true }),
            ("bgmix", new MethodOptions { Score = SelectionScore.Random }),
            ("dgmix", new MethodOptions { Subset = SubsetForward.Reuse }),
            ("dgmix", new MethodOptions { MinusAtBase = true, MinusByBatch = true }),
            ("gmix", new MethodOptions { AscentOn = AscentBatch.Clean, PerturbScope = PerturbScope.Weights }),
            ("maxup", new MethodOptions { Copy = CopyKind.CropFlip }),
            ("maxup", new MethodOptions { Copy = CopyKind.Gaussian }),
            ("esam", new MethodOptions { MaskPerElement = true }),
            ("aace", new MethodOptions { AaceTarget = AaceTarget.Random }),
            ("amp", new MethodOptions { AscentSteps = 2, BallPerTensor = true }),
        ]));

    /// <summary>Whole steps with their update, by the rules of recording; several, so that each form of step is met.</summary>
    [Theory, MemberData(nameof(Methods))]
    public void A_step_stays_on_the_device(string name, MethodOptions options)
    {
        var method = MethodCatalog.Get(name, options);
        using var scope = new TensorScope();
        using var network = new Network(ModelCatalog.Create("mlp", new ImageShape(Classes, 3, Lab.Side, Lab.Side), new ModelOptions { Hidden = [16, 12] }), device: Device.Meta);
        using var step = new MethodStep(network, method);
        using var sgd = new Sgd(network.Parameters, new SgdOptions(0.9, 5e-4, true));
        using var graph = new StepGraph(step, sgd, GraphMode.Direct, Count);
        using var metrics = new EpochMetrics(Device.Meta);
        for (var t = 0; t < 4; t++)
        {
            var batch = new Batch(Tensor.Empty([Count, 3, Lab.Side, Lab.Side], DType.Float32, Device.Meta), Tensor.Empty([Count], DType.Int64, Device.Meta));
            var draw = method.Mix.Draw(new CounterRandom(2, DrawStream.Mix, 0, t), Count, Lab.Side, Lab.Side) with { Seed = 3 };
            var result = graph.Run(batch, new StepContext(0, t, 0.1, 0.1, draw));
            Assert.Null(graph.Refusal);
            Assert.Equal(Device.Meta, result.Direction.Device);
            Assert.Equal(network.Parameters.Length, result.Direction.Count);
            metrics.Add(result, null, 0);
        }
        Assert.Equal(4, graph.Recorded);
    }

    /// <summary>The test above can fail: what reads a number does.</summary>
    [Fact]
    public void What_is_nowhere_has_no_value()
    {
        using var scope = new TensorScope();
        var nowhere = Tensor.Ones([3], device: Device.Meta);
        Assert.Equal(Device.Meta, nowhere.Device);
        Assert.Equal([3], (nowhere + nowhere).Shape);
        Assert.Throws<TorchException>(() => nowhere.Sum().Item());
        Assert.Throws<TorchException>(() => nowhere.ToArray<float>());
        Assert.Throws<TorchException>(() => nowhere + Tensor.Ones([3]));
    }

    [Theory]
    [InlineData("cuda", "--device cuda: ")]
    [InlineData("cuda:99", "--device cuda:99: ")]
    [InlineData("cuda:-1", "--device cuda:-1: ")]
    [InlineData("gpu", "--device gpu: use cpu, cuda or cuda:INDEX")]
    [InlineData("cuda:1:2", "--device cuda:1:2: use cpu, cuda or cuda:INDEX")]
    [InlineData("meta", "--device meta: use cpu, cuda or cuda:INDEX")]
    public void A_device_that_is_not_there_is_refused_in_one_line(string text, string start)
    {
        if (text == "cuda" && Cuda.Built && TorchRuntime.CudaDevices > 0) Assert.Skip("this machine has a GPU");
        var error = Assert.Throws<GMixInputException>(() => Device.Parse(text));
        Assert.StartsWith(start, error.Message);
        Assert.DoesNotContain('\n', error.Message);
        if (!text.StartsWith("cuda", StringComparison.Ordinal) || text.Count(':'.Equals) > 1) return;
        // the reason is the first that holds
        var reason = !Cuda.Built ? "CUDA" : TorchRuntime.CudaDevices == 0 ? "finds no GPU" : "counted from 0";
        Assert.Contains(reason, error.Message);
    }
}
