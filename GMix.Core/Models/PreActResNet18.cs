// PreAct-ResNet-18: He, Zhang, Ren, Sun 2016 (Identity mappings in deep residual networks), names as in kuangliu/pytorch-cifar; with a
// BatchNorm after the first convolution it is what mixup-cifar10 calls ResNet18.
//
//   conv1 3x3 (stride 1)  [bn1 ReLU]         64
//   layer1  2 blocks, stride 1               64     block: a = ReLU(BN(x)); conv 3x3, BN, ReLU, conv 3x3; plus shortcut
//   layer2  2 blocks, first with stride 2   128     shortcut: x, or a 1x1 convolution of a where size or width changes
//   layer3  2 blocks, first with stride 2   256
//   layer4  2 blocks, first with stride 2   512
//   average over positions, linear            K     no BatchNorm before the average
//
// Parameters: 11,166,016 + 513 K (K = 10: 11,171,146), 16 BatchNorms; with the stem's BatchNorm 128 more (K = 10: 11,171,274), 17 BatchNorms.
using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>
/// Residual network of 18 layers with BatchNorm and ReLU before each convolution. Works at any input size: the head averages over all positions.
/// Convolutions and the linear layer start as PyTorch's defaults do, which is what the code it follows does.
/// </summary>
public sealed class PreActResNet18 : Model
{
    private readonly Conv2d _conv1;
    private readonly BatchNorm2d? _bn1;
    private readonly ModuleList<Block>[] _stages;
    private readonly Linear _linear;

    /// <param name="classes">Classes.</param>
    /// <param name="channels">Image channels.</param>
    /// <param name="stemNorm">Whether BatchNorm and ReLU follow the first convolution, as in mixup-cifar10.</param>
    /// <param name="stemStride">Stride of the first convolution: 1, or 2 for 96×96 images.</param>
    /// <param name="init">How weights start; null: PyTorch's defaults.</param>
    public PreActResNet18(int classes, int channels = 3, bool stemNorm = false, int stemStride = 1, Initialization? init = null)
    {
        init ??= new ModelOptions().InitializationOr(WeightInit.PyTorch);
        Classes = classes;
        _conv1 = Add("conv1", init.Conv(channels, 64, 3, stemStride));
        if (stemNorm) _bn1 = Add("bn1", init.Norm(64));
        _stages = [.. Enumerable.Range(0, 4).Select(k =>
        {
            var (inputs, outputs) = (k == 0 ? 64 : 32 << k, 64 << k);
            return Add($"layer{k + 1}", new ModuleList<Block>([new Block(init, inputs, outputs, k == 0 ? 1 : 2), new Block(init, outputs, outputs, 1)]));
        })];
        _linear = Add("linear", Linear.AsPyTorch(512, classes));
    }

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var h = _conv1.Forward(x);
        if (_bn1 is not null) h = _bn1.ForwardRelu(h, pass);
        var branches = new Branches(h);
        for (var k = 0; k < _stages.Length; k++)
        {
            branches = _stages[k].Aggregate(branches, (a, block) => a.Then(b => block.Forward(b, pass)));
            if (pass.AtStage is not null) branches = new Branches(pass.Stage(k + 1, branches.Sum));
        }
        return _linear.Forward(branches.Sum.GlobalAveragePool());
    }

    private sealed class Block : Module
    {
        private readonly BatchNorm2d _bn1, _bn2;
        private readonly Conv2d _conv1, _conv2;
        private readonly ModuleList<Conv2d>? _shortcut;

        public Block(Initialization init, int inputs, int outputs, int stride)
        {
            _bn1 = Add("bn1", init.Norm(inputs));
            _conv1 = Add("conv1", init.Conv(inputs, outputs, 3, stride));
            _bn2 = Add("bn2", init.Norm(outputs));
            _conv2 = Add("conv2", init.Conv(outputs, outputs, 3));
            // a list of one: the published code names its weights shortcut.0
            if (stride != 1 || inputs != outputs) _shortcut = Add("shortcut", new ModuleList<Conv2d>([init.Conv(inputs, outputs, 1, stride)]));
        }

        /// <summary>Takes its input, and leaves its result, as summands: the next BatchNorm adds them.</summary>
        public Branches Forward(Branches x, ForwardPass pass)
        {
            Tensor a, side;
            if (_shortcut is null) (a, side) = _bn1.ForwardSumRelu(x, pass);
            else
            {
                (a, var again) = _bn1.ForwardSumReluTwice(x, pass);
                side = _shortcut[0].Forward(again!);
            }
            return new Branches(_conv2.Forward(_bn2.ForwardRelu(_conv1.Forward(a), pass)), side);
        }
    }
}
