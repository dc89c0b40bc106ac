// ResNet-18: He, Zhang, Ren, Sun 2016 (Deep residual learning), names and initialisation as in torchvision.
//
//   conv1 3x3 (stride 1) bn1 ReLU            64     ImageNet stem: 7x7 with stride 2, bn1, ReLU, 3x3 max-pooling with stride 2
//   layer1  2 blocks, stride 1               64     block: conv 3x3 BN ReLU conv 3x3 BN, plus shortcut, ReLU
//   layer2  2 blocks, first with stride 2   128     shortcut: the input, or downsample = conv 1x1 and BN where size or width changes
//   layer3  2 blocks, first with stride 2   256
//   layer4  2 blocks, first with stride 2   512
//   average over positions, fc                K
//
// Parameters with the CIFAR stem: 11,168,832 + 513 K (K = 10: 11,173,962); with the ImageNet stem 7,680 more. 62 tensors, 20 BatchNorms with
// 9,600 running values.
using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>
/// Residual network of 18 layers with the activation after the addition. Works at any input size: the head averages over all positions.
/// Convolutions start at He normal by fan-out, BatchNorm at scale 1, the linear layer as PyTorch's does: torchvision's choices.
/// </summary>
public sealed class ResNet18 : Model
{
    private readonly Conv2d _conv1;
    private readonly BatchNorm2d _bn1;
    private readonly ModuleList<Block>[] _stages;
    private readonly Linear _fc;
    private readonly bool _pool;

    /// <param name="classes">Classes.</param>
    /// <param name="channels">Image channels.</param>
    /// <param name="stem">3×3, or 7×7 with max-pooling: torchvision's <c>resnet18</c>.</param>
    /// <param name="stemStride">Stride of the first convolution; null: 1, with the ImageNet stem 2.</param>
    /// <param name="init">How weights start; null: torchvision's choices.</param>
    public ResNet18(int classes, int channels = 3, Stem stem = Stem.Cifar, int? stemStride = null, Initialization? init = null)
    {
        init ??= new ModelOptions().InitializationOr(WeightInit.FanOut);
        Classes = classes;
        _pool = stem == Stem.ImageNet;
        _conv1 = Add("conv1", init.Conv(channels, 64, _pool ? 7 : 3, stemStride ?? (_pool ? 2 : 1)));
        _bn1 = Add("bn1", init.Norm(64));
        _stages = [.. Enumerable.Range(0, 4).Select(k =>
        {
            var (inputs, outputs) = (k == 0 ? 64 : 32 << k, 64 << k);
            return Add($"layer{k + 1}", new ModuleList<Block>([new Block(init, inputs, outputs, k == 0 ? 1 : 2), new Block(init, outputs, outputs, 1)]));
        })];
        _fc = Add("fc", Linear.AsPyTorch(512, classes));
    }

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var h = Start(_conv1.Forward(x), pass);
        for (var k = 0; k < _stages.Length; k++)
        {
            h = _stages[k].Aggregate(h, (a, block) => a.Then(b => block.Forward(b, pass)));
            if (pass.AtStage is not null) h = Both(pass.Stage(k + 1, h.First));
        }
        return _fc.Forward(h.First.GlobalAveragePool());
    }

    private Branches Start(Tensor x, ForwardPass pass) => _pool ? Both(_bn1.ForwardRelu(x, pass).MaxPool2d(3, 2, 1)) : _bn1.ForwardReluTwice(x, pass);

    private static Branches Both(Tensor h) => new(h, h);

    private sealed class Block : Module
    {
        private readonly Conv2d _conv1, _conv2;
        private readonly BatchNorm2d _bn1, _bn2;
        private readonly Projection? _downsample;

        public Block(Initialization init, int inputs, int outputs, int stride)
        {
            _conv1 = Add("conv1", init.Conv(inputs, outputs, 3, stride));
            _bn1 = Add("bn1", init.Norm(outputs));
            _conv2 = Add("conv2", init.Conv(outputs, outputs, 3));
            _bn2 = Add("bn2", init.Norm(outputs));
            if (stride != 1 || inputs != outputs) _downsample = Add("downsample", new Projection(init, inputs, outputs, stride));
        }

        /// <summary>The input comes, and the result goes, twice: for the convolutions and for the shortcut.</summary>
        public Branches Forward(Branches x, ForwardPass pass)
        {
            var y = _conv2.Forward(_bn1.ForwardRelu(_conv1.Forward(x.First), pass));
            var side = x.Second!;
            return _bn2.ForwardAddRelu(y, _downsample is null ? side : _downsample.Forward(side, pass), pass);
        }
    }

    /// <summary>The shortcut where size or width changes.</summary>
    private sealed class Projection : Module
    {
        private readonly Conv2d _conv;
        private readonly BatchNorm2d _norm;

        public Projection(Initialization init, int inputs, int outputs, int stride)
        {
            _conv = Add("0", init.Conv(inputs, outputs, 1, stride));
            _norm = Add("1", init.Norm(outputs));
        }

        public Tensor Forward(Tensor x, ForwardPass pass) => _norm.Forward(_conv.Forward(x), pass);
    }
}
