// MobileNet v1: Howard et al. 2017, arXiv 1704.04861; CIFAR stem and names as in kuangliu/pytorch-cifar and mixup-cifar10.
//
//   conv1 3x3 (stride 1) BN ReLU             32
//   layers.0                                 64
//   layers.1-2    first with stride 2       128     a layer: depthwise 3x3 BN ReLU, pointwise 1x1 BN ReLU
//   layers.3-4    first with stride 2       256
//   layers.5-10   first with stride 2       512
//   layers.11-12  first with stride 2     1,024
//   average over positions, linear            K
//
// Parameters at width 1: 3,206,976 + 1,025 K (K = 10: 3,217,226) in 83 tensors, 27 BatchNorms with 21,888 running values.
using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>
/// MobileNet v1 with depthwise separable convolutions. Works at any input size: the head averages over all positions. Convolutions and the
/// linear layer start as PyTorch's defaults do, which is what the code it follows does.
/// </summary>
public sealed class MobileNet : Model
{
    // (channels at width 1, layers, stride of the first): one row per resolution, a stage
    private static readonly (int Channels, int Layers, int Stride)[] Stages = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)];

    // the smallest layer of the original TensorFlow code (min_depth)
    private const int FewestChannels = 8;

    private readonly Conv2d _conv1;
    private readonly BatchNorm2d _bn1;
    private readonly ModuleList<Layer> _layers;
    private readonly Linear _linear;

    /// <param name="classes">Classes.</param>
    /// <param name="width">Width multiplier in (0, 8]: every layer has max(8, ⌊width · channels⌋) channels. 1 is the paper's network; it also measures 0.75, 0.5 and 0.25.</param>
    /// <param name="channels">Image channels.</param>
    /// <param name="stemStride">Stride of the first convolution: 1, or 2 for 96×96 images and as in the ImageNet original.</param>
    /// <param name="init">How weights start; null: PyTorch's defaults.</param>
    /// <exception cref="GMixInputException">The width is out of range.</exception>
    public MobileNet(int classes, double width = 1, int channels = 3, int stemStride = 1, Initialization? init = null)
    {
        if (width is not (> 0 and <= 8)) throw new GMixInputException(FormattableString.Invariant($"mobilenet-{width}: the width multiplier must be above 0 and at most 8"));
        init ??= new ModelOptions().InitializationOr(WeightInit.PyTorch);
        Classes = classes;
        int Scaled(int c) => Math.Max(FewestChannels, (int)(c * width));
        var inputs = Scaled(32);
        _conv1 = Add("conv1", init.Conv(channels, inputs, 3, stemStride));
        _bn1 = Add("bn1", init.Norm(inputs));
        var layers = new List<Layer>();
        foreach (var (c, count, stride) in Stages)
            for (var i = 0; i < count; i++)
            {
                layers.Add(new Layer(init, inputs, Scaled(c), i == 0 ? stride : 1));
                inputs = Scaled(c);
            }
        _layers = Add("layers", new ModuleList<Layer>(layers));
        _linear = Add("linear", Linear.AsPyTorch(inputs, classes));
    }

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        if (pass.AtStage is not null) return ForwardByStages(x, pass);
        // what a layer ends with is normalised by the next one, in one go with its depthwise convolution
        var (h, norm) = (_conv1.Forward(x), _bn1);
        foreach (var layer in _layers) (h, norm) = layer.Forward(h, norm, pass);
        return _linear.Forward(norm.ForwardRelu(h, pass).GlobalAveragePool());
    }

    /// <summary>The same with the activations between stages at hand.</summary>
    private Tensor ForwardByStages(Tensor x, ForwardPass pass)
    {
        var h = _bn1.ForwardRelu(_conv1.Forward(x), pass);
        var next = 0;
        for (var stage = 0; stage < Stages.Length; stage++)
        {
            for (var i = 0; i < Stages[stage].Layers; i++) h = _layers[next++].Forward(h, pass);
            h = pass.Stage(stage + 1, h);
        }
        return _linear.Forward(h.GlobalAveragePool());
    }

    /// <summary>Depthwise separable convolution: one 3×3 filter per channel, then a mixture of channels at each position.</summary>
    private sealed class Layer : Module
    {
        private readonly Conv2d _depthwise, _pointwise;
        private readonly BatchNorm2d _bn1, _bn2;

        public Layer(Initialization init, int inputs, int outputs, int stride)
        {
            _depthwise = Add("conv1", init.Conv(inputs, inputs, 3, stride, groups: inputs));
            _bn1 = Add("bn1", init.Norm(inputs));
            _pointwise = Add("conv2", init.Conv(inputs, outputs, 1));
            _bn2 = Add("bn2", init.Norm(outputs));
        }

        /// <summary>From what comes before a normalisation and ReLU to what comes before this layer's last.</summary>
        public (Tensor, BatchNorm2d) Forward(Tensor x, BatchNorm2d norm, ForwardPass pass) => (_pointwise.Forward(norm.ForwardSeparable(x, _depthwise, _bn1, pass)), _bn2);

        public Tensor Forward(Tensor x, ForwardPass pass) => _bn2.ForwardRelu(_pointwise.Forward(_bn1.ForwardRelu(_depthwise.Forward(x), pass)), pass);
    }
}
