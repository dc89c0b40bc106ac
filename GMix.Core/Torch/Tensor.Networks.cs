namespace GMix.Torch;

public sealed partial class Tensor
{
    private static readonly Operator OpConv2d = Operator.Find("aten::conv2d"), OpDepthwise = Operator.Find("gmix::depthwise_conv2d"), OpPointwise = Operator.Find("gmix::pointwise_conv2d"), OpStem = Operator.Find("gmix::stem_conv2d"),
        OpConv3x3 = Operator.Find("gmix::conv3x3"), OpLinear = Operator.Find("aten::linear"), OpBatchNorm = Operator.Find("aten::batch_norm"), OpBatchNormAct = Operator.Find("gmix::batch_norm_act"), OpSeparable = Operator.Find("gmix::separable"),
        OpRelu = Operator.Find("aten::relu"), OpReluIn = Operator.Find("aten::relu_"),
        OpTanh = Operator.Find("aten::tanh"), OpSoftplus = Operator.Find("aten::softplus"), OpGelu = Operator.Find("aten::gelu"), OpSigmoid = Operator.Find("aten::sigmoid"), OpSoftmax = Operator.Find("aten::softmax", "int"),
        OpLogSoftmax = Operator.Find("aten::log_softmax", "int"), OpLogSumExp = Operator.Find("aten::logsumexp"), OpAdaptivePool = Operator.Find("aten::adaptive_avg_pool2d"), OpMaxPool = Operator.Find("aten::max_pool2d"),
        OpPerceptron = Operator.Find("gmix::perceptron"), OpCrossEntropy = Operator.Find("gmix::cross_entropy");

    /// <summary>2-D convolution of (n, c, h, w) with weights (o, c / groups, kh, kw).</summary>
    public Tensor Conv2d(Tensor weight, Tensor? bias, long stride, long padding, long groups = 1) =>
        OpConv2d.Call(this, weight, bias, (long[])[stride, stride], (long[])[padding, padding], (long[])[1, 1], groups);

    /// <summary>
    /// Depthwise 3×3 convolution with zero padding 1: channel i of (n, c, h, w) with filter i of (c, 1, 3, 3). The same as <see cref="Conv2d"/> with
    /// c groups; in channels-last memory on the CPU it runs in kernels of its own, which compute in float32 and under autocast do not round the weights.
    /// </summary>
    /// <param name="weight">The filters.</param>
    /// <param name="stride">1 or 2; any other goes to <see cref="Conv2d"/>'s kernels.</param>
    public Tensor DepthwiseConv2d(Tensor weight, long stride) => OpDepthwise.Call(this, weight, stride);

    /// <summary>
    /// 3×3 convolution with zero padding 1 of images of up to 4 channels: the same as <see cref="Conv2d"/>, with a faster gradient by the weights in channels-last
    /// memory on the CPU where the outputs are a multiple of 16.
    /// </summary>
    /// <param name="weight">(o, c, 3, 3).</param>
    /// <param name="stride">1 or 2; any other goes to <see cref="Conv2d"/>'s kernels.</param>
    public Tensor StemConv2d(Tensor weight, long stride) => OpStem.Call(this, weight, stride);

    /// <summary>1×1 convolution of (n, c, h, w) with weights (o, c, 1, 1): the same as <see cref="Conv2d"/>, with a faster gradient in bfloat16 on the CPU.</summary>
    public Tensor PointwiseConv2d(Tensor weight) => OpPointwise.Call(this, weight);

    /// <summary>
    /// 2-D convolution of (n, c, h, w) with weights (o, c, 3, 3), stride 1, padding 1: in bfloat16 by Winograd's algorithm where the processor and the
    /// layer's size favour it (native/convolution/winograd.cpp), else as <see cref="Conv2d"/>.
    /// </summary>
    public Tensor Conv3x3(Tensor weight) => OpConv3x3.Call(this, weight);

    /// <summary>x Wᵀ + b for x (n, in), W (out, in).</summary>
    public Tensor Linear(Tensor weight, Tensor? bias) => OpLinear.Call(this, weight, bias);

    /// <summary>
    /// Batch normalisation of (n, c, h, w) per channel together with what stands around it: v = x, or x + <paramref name="added"/>; then
    /// y = BN(v), plus <paramref name="residual"/> where given; then ReLU where asked for. Training normalises with the batch's statistics; running
    /// statistics, where given, then move by <paramref name="momentum"/>. Fused on the host for channels-last float32 and bfloat16.
    /// </summary>
    /// <param name="running">Running mean and variance, or none.</param>
    /// <param name="twice">Return y twice, for two consumers whose gradients are then summed within this operator's backward pass.</param>
    /// <returns>y; y again where <paramref name="twice"/>; v where something was added.</returns>
    internal Tensor[] BatchNormAct(Tensor weight, Tensor bias, Tensor[] running, Tensor? added, Tensor? residual, bool training, double momentum, double eps, bool relu, bool twice) =>
        OpBatchNormAct.CallMany(3, this, weight, bias, running, One(added), One(residual), training, momentum, eps, relu, twice)!;

    /// <summary>
    /// ReLU(BN₂(depthwise 3×3 convolution of ReLU(BN₁(z)))), as one node of the graph: on the host, for channels-last float32 and bfloat16 whose channels are
    /// a multiple of 16, training passes keep neither of the two activations in between in memory.
    /// </summary>
    /// <param name="before">BN₁'s scale and shift.</param>
    /// <param name="runningBefore">BN₁'s running mean and variance, which training moves, or none.</param>
    /// <param name="filter">(c, 1, 3, 3).</param>
    /// <param name="stride">Of the convolution.</param>
    /// <param name="after">BN₂'s scale and shift.</param>
    /// <param name="runningAfter">BN₂'s running mean and variance, or none.</param>
    internal Tensor Separable(Tensor[] before, Tensor[] runningBefore, Tensor filter, long stride, Tensor[] after, Tensor[] runningAfter, bool training, double momentum, double eps) =>
        OpSeparable.Call(this, before, runningBefore, filter, stride, after, runningAfter, training, momentum, eps);

    private static Tensor[] One(Tensor? tensor) => tensor is null ? [] : [tensor];

    /// <summary>max(x, 0).</summary>
    public Tensor Relu() => OpRelu.Call(this);

    /// <summary>max(x, 0) written over x: for a value nobody else needs.</summary>
    public Tensor ReluInPlace()
    {
        OpReluIn.Run(this);
        return this;
    }

    /// <summary>x through linear layers with ReLU between them, as one node of the graph where it can be; weights W1, b1, W2, b2, …</summary>
    public Tensor Perceptron(Tensor[] weights) => OpPerceptron.Call(this, weights);

    /// <summary>Softmax cross-entropy per example, (n), of logits (n, classes), on classes a or, where given, λ a + (1 − λ) b; as one node of the graph.</summary>
    /// <param name="a">(n), Int64.</param>
    /// <param name="mixed">b and λ, each (n); empty for labels that are not mixed.</param>
    /// <param name="smoothing">s: the target becomes (1 − s) y + s / classes.</param>
    public Tensor CrossEntropy(Tensor a, Tensor[] mixed, double smoothing = 0) => OpCrossEntropy.Call(this, a, mixed, smoothing);

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
