using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>The binding: data in and out, errors, scopes, and the count of live tensors.</summary>
public class TensorTests
{
    [Fact]
    public void DataComesBackAsItWentIn()
    {
        using var scope = new TensorScope();
        Assert.Equal([1.5, -2, 3], Tensor.From([1.5, -2, 3]).ToArray<double>());
        Assert.Equal([1L, 2, 3, 4], Tensor.From([1L, 2, 3, 4], 2, 2).ToArray<long>());
        Assert.Equal([7, 8], Tensor.From(new byte[] { 7, 8 }).ToDoubles());
        Assert.Equal("float32[2, 3]", Tensor.Zeros([2, 3]).ToString());
        Assert.Empty(Tensor.Zeros([0, 3]).ToDoubles());
    }

    [Fact]
    public void ArithmeticEqualsPaperAndPencil()
    {
        using var scope = new TensorScope();
        var a = Tensor.From([1.0, 2, 3, 4], 2, 2);
        var b = Tensor.From([10.0, 20, 30, 40], 2, 2);
        Assert.Equal([11, 22, 33, 44], (a + b).ToDoubles());
        Assert.Equal([9, 18, 27, 36], (b - a).ToDoubles());
        Assert.Equal([0, -1, -2, -3], (1 - a).ToDoubles());
        Assert.Equal([2, 1, 2.0 / 3, 0.5], (2 / a).ToDoubles());
        Assert.Equal([6, 12, 18, 24], a.Add(b, 0.5).ToDoubles());
        Assert.Equal([70, 100, 150, 220], a.MatMul(b).ToDoubles());
        Assert.Equal(Math.Sqrt(30), a.Norm().Item(), 1e-14);
        Assert.Equal(300, a.Dot(b).Item());
        Assert.Equal([2, 4], a.Max(1).Values.ToDoubles());
        Assert.Equal([3, 7], a.Sum([1]).ToDoubles());
    }

    [Fact]
    public void EqualElementsKeepTheirOrderWhenSorted()
    {
        using var scope = new TensorScope();
        var (values, indices) = Tensor.From([1.0, 3, 1, 3, 2]).SortStable(descending: true);
        Assert.Equal([3, 3, 2, 1, 1], values.ToDoubles());
        Assert.Equal([1L, 3, 4, 0, 2], indices.ToArray<long>());
    }

    [Fact]
    public void GradientsFlowThroughTheBoxedDispatcher()
    {
        using var scope = new TensorScope();
        var x = Tensor.From([1.0, 2, 3]);
        x.RequiresGrad = true;
        var g = Autograd.Gradients((x * x * x).Sum(), [x], createGraph: true)[0];
        Assert.Equal([3, 12, 27], g.ToDoubles());
        Assert.Equal([6, 12, 18], Autograd.Gradients(g.Sum(), [x])[0].ToDoubles());
        using (Autograd.NoGrad()) Assert.False((x * 2).RequiresGrad);
        Assert.True((x * 2).RequiresGrad);
    }

    [Fact]
    public void AFailureNamesTheOperatorAndTheShapes()
    {
        using var scope = new TensorScope();
        var e = Assert.Throws<TorchException>(() => Tensor.Zeros([2, 3]).MatMul(Tensor.Zeros([4, 5])));
        Assert.Contains("aten::matmul(float32[2, 3], float32[4, 5])", e.Message);
        Assert.DoesNotContain('\n', e.Message);
        Assert.Throws<TorchException>(() => Operator.Find("aten::no_such_thing"));
        Assert.Equal(TorchErrorKind.Index, Assert.Throws<TorchException>(() => Tensor.Zeros([3]).Select(0, 9)).Kind);
    }

    [Fact]
    public void MoreMemoryThanThereIsGivesATypedError() =>
        Assert.IsType<TorchOutOfMemoryException>(Assert.ThrowsAny<TorchException>(() => Tensor.Empty([1L << 50])));

    [Fact]
    public void AFreedTensorSaysSo()
    {
        Tensor t;
        using (new TensorScope()) t = Tensor.Zeros([3]);
        Assert.True(t.IsDisposed);
        Assert.Throws<ObjectDisposedException>(() => t.Count);
        t.Dispose();
    }

    [Fact]
    public void ScopesFreeWhatWasNotKept()
    {
        var before = TorchRuntime.LiveTensors;
        using (var outer = new TensorScope())
        {
            Tensor kept;
            using (var inner = new TensorScope())
            {
                for (var i = 0; i < 100; i++) (Tensor.Ones([10]) * 2).AddInPlace(Tensor.Ones([10]));
                kept = inner.Keep(Tensor.Full([2], 5));
            }
            Assert.Equal(before + 1, TorchRuntime.LiveTensors);
            Assert.Equal([5, 5], kept.ToDoubles());
        }
        Assert.Equal(before, TorchRuntime.LiveTensors);
    }

    [Fact]
    public void TheSameSeedDrawsTheSameNumbers()
    {
        using var scope = new TensorScope();
        using var g = new Generator(Device.Cpu);
        double[] Draw(ulong seed) => Tensor.Normal([50], g.Seed(seed), type: DType.Float64).ToArray<double>();
        Assert.Equal(Draw(3), Draw(3));
        Assert.NotEqual(Draw(3), Draw(4));
    }

    [Fact]
    public void ADeviceThatIsNotThereIsRefusedInOneLine()
    {
        Assert.Equal(Device.Cpu, Device.Parse("cpu"));
        var e = Assert.Throws<GMixInputException>(() => Device.Parse("cuda:99"));
        Assert.Contains("--device cuda:99", e.Message);
        Assert.Throws<GMixInputException>(() => Device.Parse("tpu"));
    }
}
