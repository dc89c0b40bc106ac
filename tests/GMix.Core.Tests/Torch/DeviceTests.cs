using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>What a person is told who asks for a device that is not there.</summary>
public class DeviceTests
{
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
