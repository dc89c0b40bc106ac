using GMix.Torch;

namespace GMix.Nn;

/// <summary>2-D convolution, weights (out, in / groups, kernel, kernel), without bias unless asked for.</summary>
public sealed class Conv2d : Module
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly int _stride, _padding, _groups;
    private readonly bool _depthwise, _pointwise, _stem, _plain3x3;

    /// <param name="inputs">Input channels.</param>
    /// <param name="outputs">Output channels.</param>
    /// <param name="kernel">Side of the square kernel.</param>
    /// <param name="stride">Step of the window, both ways.</param>
    /// <param name="padding">Zeros around the input.</param>
    /// <param name="groups">Groups of channels that do not see each other.</param>
    /// <param name="bias">Whether to add a bias per output channel.</param>
    /// <param name="initializer">Default: He normal by fan-in.</param>
    public Conv2d(int inputs, int outputs, int kernel, int stride = 1, int padding = 0, int groups = 1, bool bias = false, Initializer? initializer = null)
    {
        (_stride, _padding, _groups) = (stride, padding, groups);
        _depthwise = groups > 1 && groups == inputs && groups == outputs && kernel == 3 && padding == 1 && !bias;
        _pointwise = groups == 1 && kernel == 1 && stride == 1 && padding == 0 && !bias;
        _stem = (kernel, padding, groups, bias) == (3, 1, 1, false) && inputs <= 4;
        _plain3x3 = (kernel, stride, padding, groups, bias) == (3, 1, 1, 1, false);
        _weight = AddParameter("weight", [outputs, inputs / groups, kernel, kernel], initializer ?? Initializers.HeNormalFanIn);
        if (bias) _bias = AddParameter("bias", [outputs], Initializers.Constant(0));
    }

    /// <summary>One 3×3 filter per channel, for <see cref="BatchNorm2d.ForwardSeparable"/>; null for any other convolution.</summary>
    internal (Tensor Weight, int Stride)? Depthwise => _depthwise ? (_weight, _stride) : null;

    /// <summary>(n, in, h, w) to (n, out, h', w').</summary>
    public Tensor Forward(Tensor x) =>
        _depthwise ? x.DepthwiseConv2d(_weight, _stride)
        : _pointwise ? x.PointwiseConv2d(_weight)
        : _stem ? x.StemConv2d(_weight, _stride)
        : _plain3x3 ? x.Conv3x3(_weight)
        : x.Conv2d(_weight, _bias?.Value, _stride, _padding, _groups);
}

/// <summary>A linear map with bias, weights (out, in).</summary>
public sealed class Linear : Module
{
    private readonly Parameter _weight, _bias;

    /// <summary>Weights start as PyTorch's do: uniform ±1/√in.</summary>
    /// <param name="inputs">Width of the input.</param>
    /// <param name="outputs">Width of the result.</param>
    /// <param name="bias">How the bias starts; at 0 when not given.</param>
    public Linear(int inputs, int outputs, Initializer? bias = null)
    {
        _weight = AddParameter("weight", [outputs, inputs], Initializers.UniformFanIn);
        _bias = AddParameter("bias", [outputs], bias ?? Initializers.Constant(0));
    }

    /// <summary>Weights and bias uniform ±1/√in: what PyTorch's <c>nn.Linear</c> does when nothing is said.</summary>
    public static Linear AsPyTorch(int inputs, int outputs) => new(inputs, outputs, Initializers.Uniform(1 / Math.Sqrt(inputs)));

    /// <summary>(n, in) to (n, out).</summary>
    public Tensor Forward(Tensor x) => x.Linear(_weight, _bias);
}

/// <summary>
/// Batch normalisation of (n, c, h, w) per channel, scale and shift trained, eps 1e-5, running statistics with momentum 0.1 (PyTorch's
/// convention: running = 0.9 · running + 0.1 · batch, the variance unbiased).
/// </summary>
public sealed class BatchNorm2d : Module
{
    private const double Eps = 1e-5, Momentum = 0.1;
    private readonly Parameter _weight, _bias;
    private readonly ModuleBuffer _mean, _variance, _tracked;

    /// <param name="channels">Channels, c.</param>
    /// <param name="scale">How the scale starts; at 1 when not given.</param>
    public BatchNorm2d(int channels, Initializer? scale = null)
    {
        _weight = AddParameter("weight", [channels], scale ?? Initializers.Constant(1));
        _bias = AddParameter("bias", [channels], Initializers.Constant(0));
        _mean = AddBuffer("running_mean", [channels], 0);
        _variance = AddBuffer("running_var", [channels], 1);
        _tracked = AddBuffer("num_batches_tracked", [], 0, DType.Int64);
    }

    /// <summary>Normalises as the pass says; only <see cref="BatchNormMode.Train"/> moves the running statistics.</summary>
    public Tensor Forward(Tensor x, ForwardPass pass) => Run(x, pass, relu: false)[0];

    /// <summary>ReLU(BN(x)).</summary>
    public Tensor ForwardRelu(Tensor x, ForwardPass pass) => Run(x, pass)[0];

    /// <summary>ReLU(BN(x)) for two consumers: two tensors of the same memory, whose gradients are summed on the way back at no cost of their own.</summary>
    public Branches ForwardReluTwice(Tensor x, ForwardPass pass)
    {
        var y = Run(x, pass, twice: true);
        return new Branches(y[0], y[1]);
    }

    /// <summary>ReLU(BN(x) + shortcut), for two consumers as in <see cref="ForwardReluTwice"/>: how a block with the activation after the addition ends.</summary>
    public Branches ForwardAddRelu(Tensor x, Tensor shortcut, ForwardPass pass)
    {
        var y = Run(x, pass, residual: shortcut, twice: true);
        return new Branches(y[0], y[1]);
    }

    /// <summary>v = the sum of two branches, and ReLU(BN(v)): how a block with the activation first begins. One pass over memory makes both v and its statistics.</summary>
    public (Tensor Activated, Tensor Sum) ForwardSumRelu(Branches x, ForwardPass pass)
    {
        if (x.Second is null) return (ForwardRelu(x.First, pass), x.First);
        var y = Run(x.First, pass, added: x.Second);
        return (y[0], y[1]);
    }

    /// <summary>ReLU(BN(v)) of the sum v of two branches, for two consumers.</summary>
    public Branches ForwardSumReluTwice(Branches x, ForwardPass pass)
    {
        var y = Run(x.First, pass, added: x.Second, twice: true);
        return new Branches(y[0], y[1]);
    }

    /// <summary>ReLU(<paramref name="after"/>(convolution of ReLU(BN(x)))), the larger half of a depthwise separable layer, in one.</summary>
    /// <param name="x">What this layer normalises.</param>
    /// <param name="depthwise">3×3 with one filter per channel.</param>
    /// <param name="after">Normalises the convolution's result.</param>
    /// <param name="pass">How both normalise.</param>
    public Tensor ForwardSeparable(Tensor x, Conv2d depthwise, BatchNorm2d after, ForwardPass pass)
    {
        var (filter, stride) = depthwise.Depthwise ?? throw new ArgumentException("not a depthwise 3×3 convolution", nameof(depthwise));
        return x.Separable([_weight, _bias], Running(pass), filter, stride, [after._weight, after._bias], after.Running(pass), pass.Training, Momentum, Eps);
    }

    private Tensor[] Run(Tensor x, ForwardPass pass, Tensor? added = null, Tensor? residual = null, bool relu = true, bool twice = false) =>
        x.BatchNormAct(_weight, _bias, Running(pass), added, residual, pass.Training, Momentum, Eps, relu, twice);

    /// <summary>The running statistics that a pass takes part in, and the count of the batches that moved them.</summary>
    private Tensor[] Running(ForwardPass pass)
    {
        if (pass.BatchNorm == BatchNormMode.Train)
            using (Autograd.NoGrad()) _tracked.Value.AddInPlace(1);
        return pass.BatchNorm == BatchNormMode.TrainFrozen ? [] : [_mean, _variance];
    }
}

/// <summary>
/// Activations between two blocks of a residual network, as two tensors: either one value for its two consumers, or two summands that the next
/// BatchNorm adds while it takes its statistics. Which of the two is the model's business.
/// </summary>
/// <param name="First">What the convolutions read, or the first summand.</param>
/// <param name="Second">What the shortcut reads, or the second summand; null for none.</param>
public readonly record struct Branches(Tensor First, Tensor? Second)
{
    /// <summary>One tensor, nothing to add.</summary>
    public Branches(Tensor only) : this(only, null) { }

    /// <summary>The sum of the summands.</summary>
    public Tensor Sum => Second is null ? First : First + Second;
}

/// <summary>Modules in a row, named <c>0</c>, <c>1</c>, … as PyTorch's <c>Sequential</c> and <c>ModuleList</c> name them.</summary>
public sealed class ModuleList<T> : Module, IReadOnlyList<T> where T : Module
{
    private readonly T[] _items;

    /// <param name="items">The modules, in order.</param>
    public ModuleList(IEnumerable<T> items) => _items = [.. items.Select((item, i) => Add($"{i}", item))];

    /// <inheritdoc/>
    public T this[int index] => _items[index];

    /// <inheritdoc/>
    public int Count => _items.Length;

    /// <inheritdoc/>
    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)_items).GetEnumerator();

    System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => _items.GetEnumerator();
}
