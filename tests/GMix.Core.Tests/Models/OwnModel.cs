using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;

namespace GMix.Core.Tests.Models;

/// <summary>Three convolutions, the second and third with stride 2.</summary>
public sealed class ThreeConvolutions : Model
{
    private readonly Conv2d _conv1, _conv2, _conv3;
    private readonly BatchNorm2d _bn1, _bn2, _bn3;
    private readonly Linear _fc;

    public ThreeConvolutions(int channels, int classes, int width = 8)
    {
        Classes = classes;
        _conv1 = Add("conv1", new Conv2d(channels, width, kernel: 3, padding: 1));
        _bn1 = Add("bn1", new BatchNorm2d(width));
        _conv2 = Add("conv2", new Conv2d(width, 2 * width, kernel: 3, stride: 2, padding: 1));
        _bn2 = Add("bn2", new BatchNorm2d(2 * width));
        _conv3 = Add("conv3", new Conv2d(2 * width, 4 * width, kernel: 3, stride: 2, padding: 1));
        _bn3 = Add("bn3", new BatchNorm2d(4 * width));
        _fc = Add("fc", new Linear(4 * width, classes));
    }

    public override int Classes { get; }

    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var h = pass.Stage(1, _bn1.ForwardRelu(_conv1.Forward(x), pass));
        h = pass.Stage(2, _bn2.ForwardRelu(_conv2.Forward(h), pass));
        h = _bn3.ForwardRelu(_conv3.Forward(h), pass);
        return _fc.Forward(h.GlobalAveragePool());
    }
}

public static class OwnModel
{
    /// <summary>Trains it with DG-Mix and keeps its weights.</summary>
    public static double Train(TrainConfig config, string weights)
    {
        var data = Trainer.Open(config);
        using var trainer = new Trainer(config, data, model: shape => new ThreeConvolutions(shape.Channels, shape.Classes));
        var accuracy = 0.0;
        while (!trainer.Done) accuracy = trainer.RunEpoch()!.TestAccuracy;
        Weights.Save(trainer.Network, weights);
        return accuracy;
    }
}
