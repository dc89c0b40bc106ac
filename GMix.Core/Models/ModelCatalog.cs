using System.Globalization;
using System.Text.RegularExpressions;
using GMix.Nn;

namespace GMix.Models;

/// <summary>What a model has to fit: the images and classes of a data set.</summary>
/// <param name="Classes">Classes.</param>
/// <param name="Channels">Image channels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Width">Pixels.</param>
public sealed record ImageShape(int Classes, int Channels, int Height, int Width);

/// <summary>Choices beyond a model's name.</summary>
public sealed record ModelOptions
{
    /// <summary>Dropout within WideResNet's blocks.</summary>
    public double Dropout { get; init; }
    /// <summary>Stride of the first convolution; null: 2 for images of 96 pixels or more, else 1.</summary>
    public int? StemStride { get; init; }
    /// <summary>Widths of the MLP's hidden layers.</summary>
    public IReadOnlyList<int> Hidden { get; init; } = [64, 64];
}

/// <summary>Models by the names of the command line.</summary>
public static partial class ModelCatalog
{
    /// <summary>For help and error messages.</summary>
    public const string Names = "wrn-D-K (depth, width: wrn-16-4), mlp";

    [GeneratedRegex(@"^wrn-(\d{1,3})-(\d{1,3})$")] private static partial Regex WideResNetName();

    /// <summary>The model of that name for that shape.</summary>
    /// <exception cref="GMixInputException">No such model, or it does not fit.</exception>
    public static Model Create(string name, ImageShape shape, ModelOptions? options = null)
    {
        var o = options ?? new ModelOptions();
        if (o.Dropout is < 0 or >= 1) throw new GMixInputException($"--dropout {o.Dropout}: must be at least 0 and below 1");
        var stem = o.StemStride ?? (shape.Height >= 96 ? 2 : 1);
        if (WideResNetName().Match(name) is { Success: true } wrn)
            return new WideResNet(Number(wrn, 1), Number(wrn, 2), shape.Classes, shape.Channels, o.Dropout, stem);
        if (name == "mlp") return new Mlp(shape.Channels * shape.Height * shape.Width, o.Hidden, shape.Classes);
        throw new GMixInputException($"--model {name}: no such model; choose from {Names}");
    }

    private static int Number(Match match, int group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);
}
