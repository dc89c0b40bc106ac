namespace GMix.Torch;

public sealed partial class Tensor
{
    private static readonly Operator OpConv2d = Operator.Find("aten::conv2d"), OpConv3x3 = Operator.Find("gmix::conv3x3"), OpLinear = Operator.Find("aten::linear"), OpBatchNorm = Operator.Find("aten::batch_norm"), OpRelu = Operator.Find("aten::relu"), OpReluIn = Operator.Find("aten::relu_"),
        OpTanh = Operator.Find("aten::tanh"), OpSoftplus = Operator.Find("aten::softplus"), OpGelu = Operator.Find("aten::gelu"), OpSigmoid = Operator.Find("aten::sigmoid"), OpSoftmax = Operator.Find("aten::softmax", "int"),
        OpLogSoftmax = Operator.Find("aten::log_softmax", "int"), OpLogSumExp = Operator.Find("aten::logsumexp"), OpAdaptivePool = Operator.Find("aten::adaptive_avg_pool2d"), OpMaxPool = Operator.Find("aten::max_pool2d");

    /// <summary>2-D convolution of (n, c, h, w) with weights (o, c / groups, kh, kw).</summary>
    public Tensor Conv2d(Tensor weight, Tensor? bias, long stride, long padding, long groups = 1) =>
        OpConv2d.Call(this, weight, bias, (long[])[stride, stride], (long[])[padding, padding], (long[])[1, 1], groups);

    /// <summary>
    /// 2-D convolution of (n, c, h, w) with weights (o, c, 3, 3), stride 1, padding 1: in bfloat16 by Winograd's algorithm where the processor and the
    /// layer's size favour it (native/winograd.cpp), else as <see cref="Conv2d"/>.
    /// </summary>
    public Tensor Conv3x3(Tensor weight) => OpConv3x3.Call(this, weight);

    /// <summary>x Wᵀ + b for x (n, in), W (out, in).</summary>
    public Tensor Linear(Tensor weight, Tensor? bias) => OpLinear.Call(this, weight, bias);

    /// <summary>
    /// Batch normalisation over all dimensions but the second. Training normalises with the batch's statistics; running statistics,
    /// where given, then move by <paramref name="momentum"/>.
    /// </summary>
    public Tensor BatchNorm(Tensor? weight, Tensor? bias, Tensor? runningMean, Tensor? runningVar, bool training, double momentum, double eps) =>
        OpBatchNorm.Call(this, weight, bias, runningMean, runningVar, training, momentum, eps, true);

    /// <summary>max(x, 0).</summary>
    public Tensor Relu() => OpRelu.Call(this);

    /// <summary>max(x, 0) written over x: for a value nobody else needs.</summary>
    public Tensor ReluInPlace()
    {
        OpReluIn.Run(this);
        return this;
    }

    /// <summary>Hyperbolic tangent.</summary>
    public Tensor Tanh() => OpTanh.Call(this);
    /// <summary>ln(1 + eˣ). libtorch's own threshold of 20, above which it returns x, would leave a step of 2e-9 in float64; at 40 it is below rounding.</summary>
    public Tensor Softplus() => OpSoftplus.Call(this, 1.0, 40.0);
    /// <summary>x Φ(x).</summary>
    public Tensor Gelu() => OpGelu.Call(this);
    /// <summary>1 / (1 + e⁻ˣ).</summary>
    public Tensor Sigmoid() => OpSigmoid.Call(this);
    /// <summary>Softmax along a dimension.</summary>
    public Tensor Softmax(int dimension = 1) => OpSoftmax.Call(this, dimension);
    /// <summary>Logarithm of softmax along a dimension.</summary>
    public Tensor LogSoftmax(int dimension = 1) => OpLogSoftmax.Call(this, dimension);
    /// <summary>ln Σ eˣ along a dimension.</summary>
    public Tensor LogSumExp(int dimension = 1) => OpLogSumExp.Call(this, (long[])[dimension]);
    /// <summary>The mean over height and width: (n, c, h, w) to (n, c).</summary>
    public Tensor GlobalAveragePool() => OpAdaptivePool.Call(this, (long[])[1, 1]).Flatten(1);
    /// <summary>The largest element of each window.</summary>
    public Tensor MaxPool2d(long kernel, long stride, long padding) => OpMaxPool.Call(this, (long[])[kernel, kernel], (long[])[stride, stride], (long[])[padding, padding]);
}
