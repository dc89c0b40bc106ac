// WideResNet WRN-D-k: Zagoruyko and Komodakis 2016, arXiv 1605.07146; D = 6N + 4 layers, width factor k.
//
//   conv1  3x3 (stride 1), no BN after it    16
//   block1  N blocks, stride 1              16k     block: a = ReLU(BN(x)); conv 3x3, BN, ReLU, (dropout), conv 3x3; plus shortcut
//   block2  N blocks, first with stride 2   32k     shortcut: x, or convShortcut = 1x1 convolution of a where the width changes
//   block3  N blocks, first with stride 2   64k
//   bn1, ReLU, average over positions, fc     K
//
// Parameters of WRN-16-4: 2,746,320 + 257 K (K = 10: 2,748,890) in 44 tensors, 13 BatchNorms with 3,616 running values.
using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>
/// Wide residual network. Works at any input size: the head averages over all positions. Convolutions start at He normal by fan-in, BatchNorm
/// at scale 1, the linear bias at 0, as in the authors' code.
/// </summary>
public sealed class WideResNet : Model
{
    private readonly Conv2d _conv1;
    private readonly Group[] _groups;
    private readonly BatchNorm2d _bn1;
    private readonly Linear _fc;

    /// <param name="depth">D, one of 10, 16, 22, 28, …</param>
    /// <param name="width">k ≥ 1.</param>
    /// <param name="classes">Classes.</param>
    /// <param name="channels">Image channels.</param>
    /// <param name="dropout">Probability of dropout between the two convolutions of a block; 0 as in the paper's experiments without it.</param>
    /// <param name="stemStride">Stride of the first convolution: 1, or 2 for 96×96 images.</param>
    /// <param name="init">How weights start; null: He normal by fan-in, scale 1.</param>
    /// <exception cref="GMixInputException">Depth or width is not one of a WideResNet.</exception>
    public WideResNet(int depth, int width, int classes, int channels = 3, double dropout = 0, int stemStride = 1, Initialization? init = null)
    {
        if (depth < 10 || (depth - 4) % 6 != 0) throw new GMixInputException($"wrn-{depth}-{width}: the depth must be 6N + 4, such as 10, 16, 22, 28, 34 or 40");
        if (width < 1) throw new GMixInputException($"wrn-{depth}-{width}: the width factor must be at least 1");
        init ??= new ModelOptions().InitializationOr(WeightInit.FanIn);
        Classes = classes;
        var blocks = (depth - 4) / 6;
        _conv1 = Add("conv1", init.Conv(channels, 16, 3, stemStride));
        _groups =
        [
            Add("block1", new Group(init, blocks, 16, 16 * width, 1, dropout)),
            Add("block2", new Group(init, blocks, 16 * width, 32 * width, 2, dropout)),
            Add("block3", new Group(init, blocks, 32 * width, 64 * width, 2, dropout)),
        ];
        _bn1 = Add("bn1", init.Norm(64 * width));
        _fc = Add("fc", new Linear(64 * width, classes));
    }

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var h = new Branches(_conv1.Forward(x));
        for (var i = 0; i < _groups.Length; i++)
        {
            h = _groups[i].Forward(h, pass);
            if (pass.AtStage is not null) h = new Branches(pass.Stage(i + 1, h.Sum));
        }
        return _fc.Forward(_bn1.ForwardSumRelu(h, pass).Activated.GlobalAveragePool());
    }

    /// <summary>A run of blocks of one width; the first changes resolution and width.</summary>
    private sealed class Group : Module
    {
        private readonly ModuleList<Block> _layer;

        public Group(Initialization init, int blocks, int inputs, int outputs, int stride, double dropout) =>
            _layer = Add("layer", new ModuleList<Block>(Enumerable.Range(0, blocks).Select(i => new Block(init, i == 0 ? inputs : outputs, outputs, i == 0 ? stride : 1, dropout))));

        public Branches Forward(Branches x, ForwardPass pass) => _layer.Aggregate(x, (h, block) => h.Then(b => block.Forward(b, pass)));
    }

    /// <summary>
    /// Pre-activation block: a = ReLU(BN(x)); y = conv(ReLU(BN(conv(a)))); plus x, or a 1×1 convolution of the activated input where the width changes.
    /// </summary>
    private sealed class Block : Module
    {
        private readonly BatchNorm2d _bn1, _bn2;
        private readonly Conv2d _conv1, _conv2;
        private readonly Conv2d? _shortcut;
        private readonly double _dropout;

        public Block(Initialization init, int inputs, int outputs, int stride, double dropout)
        {
            _dropout = dropout;
            _bn1 = Add("bn1", init.Norm(inputs));
            _conv1 = Add("conv1", init.Conv(inputs, outputs, 3, stride));
            _bn2 = Add("bn2", init.Norm(outputs));
            _conv2 = Add("conv2", init.Conv(outputs, outputs, 3));
            if (inputs != outputs) _shortcut = Add("convShortcut", init.Conv(inputs, outputs, 1, stride));
        }

        /// <summary>Takes its input, and leaves its result, as summands: the next BatchNorm adds them.</summary>
        public Branches Forward(Branches x, ForwardPass pass)
        {
            Tensor a, side;
            if (_shortcut is null) (a, side) = _bn1.ForwardSumRelu(x, pass);
            else
            {
                (a, var again) = _bn1.ForwardSumReluTwice(x, pass);
                side = _shortcut.Forward(again!);
            }
            var y = _bn2.ForwardRelu(_conv1.Forward(a), pass);
            return new Branches(_conv2.Forward(pass.ApplyDropout(y, _dropout)), side);
        }
    }
}
