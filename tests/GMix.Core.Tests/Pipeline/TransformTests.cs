using GMix.Core.Tests.Methods;
using GMix.Data;
using GMix.Draws;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Pipelines;

/// <summary>Crop and flip worked out by the device, as on a GPU, against the host's.</summary>
public class TransformTests
{
    [Theory]
    [InlineData(4, true, PadMode.Zero)]
    [InlineData(4, false, PadMode.Zero)]
    [InlineData(0, true, PadMode.Zero)]
    [InlineData(2, true, PadMode.Reflect)]
    [InlineData(9, true, PadMode.Reflect)]
    [InlineData(12, false, PadMode.Zero)]
    public void TheDeviceTakesTheSamePixels(int pad, bool flip, PadMode mode)
    {
        using var scope = new TensorScope();
        var random = new CounterRandom(3, DrawStream.Diagnostics);
        var bytes = new byte[7 * 3 * 6 * 5];
        for (var i = 0; i < bytes.Length; i++) bytes[i] = (byte)random.NextUInt32();
        var pixels = Tensor.From(bytes, 7, 3, 6, 5);
        var norm = new Normalization([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);
        var augmentation = new Augmentation(pad, flip, mode, Cutout: 2, Erasing: 0.5);
        Tensor Batch(bool onDevice)
        {
            using var transform = new PipelineTransform(3, 6, 5, norm, DType.Float32, Device.Cpu, channelsLast: true, placesOnDevice: onDevice);
            return transform.Apply(pixels, augmentation, new CounterRandom(5, DrawStream.Augment, 1, 2));
        }
        Close.Bitwise(Batch(false), Batch(true));
    }
}
