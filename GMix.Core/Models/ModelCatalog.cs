using System.Globalization;
using System.Text.RegularExpressions;
using GMix.Nn;

namespace GMix.Models;

/// <summary>Models by the names of the command line.</summary>
public static partial class ModelCatalog
{
    /// <summary>For help and error messages.</summary>
    public const string Names = "mobilenet (mobilenet-0.5: half the width), resnet18, preact-resnet18, preact-resnet18-stembn, wrn-D-K (depth, width: wrn-16-4), mlp (mlp-64-64: widths of hidden layers)";

    // a model within reach of one machine: the bounds stop a slip of the finger before it asks for terabytes
    private const int WidestLayer = 1 << 20, WidestFactor = 64;

    [GeneratedRegex(@"^wrn-(\d{1,3})-(\d{1,3})$")] private static partial Regex WideResNetName();
    [GeneratedRegex(@"^mobilenet(-(\d{1,2}(\.\d{1,4})?))?$")] private static partial Regex MobileNetName();
    [GeneratedRegex(@"^mlp(-\d{1,7})*$")] private static partial Regex MlpName();

    /// <summary>The model of that name for that shape. Nothing is allocated before a <see cref="Network"/> is made of it.</summary>
    /// <exception cref="GMixInputException">No such model, or an option does not fit it.</exception>
    public static Model Create(string name, ImageShape shape, ModelOptions? options = null)
    {
        var o = options ?? new ModelOptions();
        if (shape.Classes < 1) throw new GMixInputException($"--model {name}: {shape.Classes} classes; there must be at least one");
        if (o.Dropout is not (>= 0 and < 1)) throw new GMixInputException($"--dropout {Text(o.Dropout)}: must be at least 0 and below 1");
        if (o.StemStride is < 1 or > 2) throw new GMixInputException($"--stem-stride {o.StemStride}: must be 1 or 2");
        var stride = o.StemStride ?? (o.Stem == Stem.ImageNet || Math.Max(shape.Height, shape.Width) >= 96 ? 2 : 1);

        if (WideResNetName().Match(name) is { Success: true } wrn)
        {
            Refuse(name, o, dropout: false, stem: true);
            var (depth, width) = (Number(wrn, 1), Number(wrn, 2));
            if (width > WidestFactor) throw new GMixInputException($"--model {name}: the width factor must be at most {WidestFactor}");
            return new WideResNet(depth, width, shape.Classes, shape.Channels, o.Dropout, stride, o.InitializationOr(WeightInit.FanIn));
        }
        if (MobileNetName().Match(name) is { Success: true } mobile)
        {
            Refuse(name, o, dropout: true, stem: true);
            var width = mobile.Groups[2].Success ? double.Parse(mobile.Groups[2].ValueSpan, CultureInfo.InvariantCulture) : 1;
            return new MobileNet(shape.Classes, width, shape.Channels, stride, o.InitializationOr(WeightInit.PyTorch));
        }
        switch (name)
        {
            case "resnet18":
                Refuse(name, o, dropout: true, stem: false);
                return new ResNet18(shape.Classes, shape.Channels, o.Stem, stride, o.InitializationOr(WeightInit.FanOut));
            case "preact-resnet18" or "preact-resnet18-stembn":
                Refuse(name, o, dropout: true, stem: true);
                return new PreActResNet18(shape.Classes, shape.Channels, name.EndsWith("stembn", StringComparison.Ordinal), stride, o.InitializationOr(WeightInit.PyTorch));
        }
        if (MlpName().IsMatch(name))
        {
            Refuse(name, o, dropout: true, stem: true);
            if (o.StemStride == 2) throw new GMixInputException($"--stem-stride 2: {name} has no convolution");
            IReadOnlyList<int> hidden = name == "mlp" ? o.Hidden : [.. name.Split('-').Skip(1).Select(w => int.Parse(w, CultureInfo.InvariantCulture))];
            if (hidden.FirstOrDefault(w => w is < 1 or > WidestLayer, 1) is var wrong and not 1) throw new GMixInputException($"--model {name}: a hidden layer of {wrong} units; widths go from 1 to {WidestLayer}");
            return new Mlp(shape.Channels * shape.Height * shape.Width, hidden, shape.Classes);
        }
        throw new GMixInputException($"--model {name}: no such model; choose from {Names}");
    }

    /// <summary>An option that the model would ignore is a mistake worth a word.</summary>
    private static void Refuse(string name, ModelOptions o, bool dropout, bool stem)
    {
        if (dropout && o.Dropout != 0) throw new GMixInputException($"--dropout {Text(o.Dropout)}: {name} has no dropout; wrn-D-K has");
        if (stem && o.Stem != Stem.Cifar) throw new GMixInputException($"--stem imagenet: {name} has one stem only; resnet18 has two");
    }

    private static string Text(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static int Number(Match match, int group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);
}
