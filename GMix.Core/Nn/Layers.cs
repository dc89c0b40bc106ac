using GMix.Torch;

namespace GMix.Nn;

/// <summary>2-D convolution, weights (out, in / groups, kernel, kernel), without bias unless asked for.</summary>
public sealed class Conv2d : Module
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly int _stride, _padding, _groups;
    private readonly bool _plain3x3;

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
        _plain3x3 = (kernel, stride, padding, groups, bias) == (3, 1, 1, 1, false);
        _weight = AddParameter("weight", [outputs, inputs / groups, kernel, kernel], initializer ?? Initializers.HeNormalFanIn);
        if (bias) _bias = AddParameter("bias", [outputs], Initializers.Constant(0));
    }

    /// <summary>(n, in, h, w) to (n, out, h', w').</summary>
    public Tensor Forward(Tensor x) => _plain3x3 ? x.Conv3x3(_weight) : x.Conv2d(_weight, _bias?.Value, _stride, _padding, _groups);
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
    public Tensor Forward(Tensor x, ForwardPass pass)
    {
        switch (pass.BatchNorm)
        {
            case BatchNormMode.Train:
                using (Autograd.NoGrad()) _tracked.Value.AddInPlace(1);
                return x.BatchNorm(_weight, _bias, _mean, _variance, true, Momentum, Eps);
            case BatchNormMode.TrainFrozen:
                return x.BatchNorm(_weight, _bias, null, null, true, Momentum, Eps);
            default:
                return x.BatchNorm(_weight, _bias, _mean, _variance, false, Momentum, Eps);
        }
    }

    /// <summary>BatchNorm, then ReLU written over its result.</summary>
    public Tensor ForwardRelu(Tensor x, ForwardPass pass) => Forward(x, pass).ReluInPlace();
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
