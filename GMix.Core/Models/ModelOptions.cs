using GMix.Nn;

namespace GMix.Models;

/// <summary>What a model has to fit: the images and classes of a data set.</summary>
/// <param name="Classes">Classes.</param>
/// <param name="Channels">Image channels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Width">Pixels.</param>
public sealed record ImageShape(int Classes, int Channels, int Height, int Width);

/// <summary>How a residual network begins.</summary>
public enum Stem
{
    /// <summary>A 3×3 convolution and no pooling, for images of 32 to 96 pixels.</summary>
    Cifar,
    /// <summary>A 7×7 convolution with stride 2, then 3×3 max-pooling with stride 2: He et al. 2016, for larger images.</summary>
    ImageNet,
}

/// <summary>The distribution that convolution weights start from.</summary>
public enum WeightInit
{
    /// <summary>N(0, 2 / fan-in): He et al. 2015, the official WideResNet code.</summary>
    FanIn,
    /// <summary>N(0, 2 / fan-out): torchvision's ResNet, google-research/sam.</summary>
    FanOut,
    /// <summary>U(±1/√fan-in): what PyTorch does when nothing is said.</summary>
    PyTorch,
}

/// <summary>Where BatchNorm's scale starts.</summary>
public enum ScaleInit
{
    /// <summary>At 1.</summary>
    One,
    /// <summary>Uniform in (0, 1): the official PyTorch port of WideResNet.</summary>
    Uniform,
}

/// <summary>Choices beyond a model's name.</summary>
public sealed record ModelOptions
{
    /// <summary>Dropout within WideResNet's blocks, in [0, 1).</summary>
    public double Dropout { get; init; }

    /// <summary>Stride of the first convolution, 1 or 2; null: 2 for images of 96 pixels or more and for the ImageNet stem, else 1.</summary>
    public int? StemStride { get; init; }

    /// <summary>How ResNet-18 begins.</summary>
    public Stem Stem { get; init; } = Stem.Cifar;

    /// <summary>How convolutions start; null: as the model's published code does.</summary>
    public WeightInit? Init { get; init; }

    /// <summary>How BatchNorm's scale starts.</summary>
    public ScaleInit Scale { get; init; } = ScaleInit.One;

    /// <summary>Widths of the hidden layers of the model named <c>mlp</c>; <c>mlp-64-64</c> brings its own.</summary>
    public IReadOnlyList<int> Hidden { get; init; } = [64, 64];

    /// <summary>Reads <c>cifar</c> or <c>imagenet</c>.</summary>
    /// <exception cref="GMixInputException">Anything else.</exception>
    public static Stem ParseStem(string text) => text switch
    {
        "cifar" => Stem.Cifar,
        "imagenet" => Stem.ImageNet,
        _ => throw new GMixInputException($"--stem {text}: use cifar (3x3 convolution) or imagenet (7x7 convolution with stride 2, max-pooling)"),
    };

    /// <summary>Reads <c>fan-in</c>, <c>fan-out</c> or <c>pytorch</c>.</summary>
    /// <exception cref="GMixInputException">Anything else.</exception>
    public static WeightInit ParseInit(string text) => text switch
    {
        "fan-in" => WeightInit.FanIn,
        "fan-out" => WeightInit.FanOut,
        "pytorch" => WeightInit.PyTorch,
        _ => throw new GMixInputException($"--init {text}: use fan-in, fan-out or pytorch"),
    };

    /// <summary>The initialisation these options ask for.</summary>
    /// <param name="usual">What the model's published code does.</param>
    internal Initialization InitializationOr(WeightInit usual) => new(
        (Init ?? usual) switch
        {
            WeightInit.FanIn => Initializers.HeNormalFanIn,
            WeightInit.FanOut => Initializers.HeNormalFanOut,
            _ => Initializers.UniformFanIn,
        },
        Scale == ScaleInit.One ? Initializers.Constant(1) : Initializers.UniformUnit);
}

/// <summary>How the layers of a convolutional network start, and the layers themselves.</summary>
/// <param name="Convolution">Weights of convolutions.</param>
/// <param name="Scale">BatchNorm's scale.</param>
public sealed record Initialization(Initializer Convolution, Initializer Scale)
{
    /// <summary>A convolution without bias that keeps the size at stride 1 (zero padding of half the kernel).</summary>
    internal Conv2d Conv(int inputs, int outputs, int kernel, int stride = 1, int groups = 1) => new(inputs, outputs, kernel, stride, kernel / 2, groups, initializer: Convolution);

    /// <summary>Batch normalisation.</summary>
    internal BatchNorm2d Norm(int channels) => new(channels, Scale);
}
