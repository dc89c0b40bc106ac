using System.Globalization;
using System.Text.Json;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>What a file of weights says about itself: enough to build its model again.</summary>
/// <param name="Model">Name, as on the command line.</param>
/// <param name="Shape">Its images and classes.</param>
public sealed record WeightsInfo(string Model, ImageShape Shape)
{
    /// <summary>Choices beyond the name.</summary>
    public ModelOptions Options { get; init; } = new();

    /// <summary>Name of each class by index, or none.</summary>
    public IReadOnlyList<string> ClassNames { get; init; } = [];
}

/// <summary>
/// Weights as safetensors files with the field's parameter names: PyTorch loads them with <c>load_state_dict</c>, torchvision's <c>resnet18</c>
/// among others, and files from there load here. Numbers are float32 in row-major order whatever the network's precision and memory layout.
/// </summary>
public static class Weights
{
    private const string Format = "gmix-weights-1";

    /// <summary>Writes all parameters and buffers: beside its place first, then renamed.</summary>
    /// <param name="network">Whose weights.</param>
    /// <param name="path">The file; an older one is replaced.</param>
    /// <param name="info">What to say about them. Without it <see cref="Open"/> cannot read the file; <see cref="Load"/> can.</param>
    public static void Save(Network network, string path, WeightsInfo? info = null)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        // counters stay whole numbers
        var tensors = network.State().Select(s => (s.Name, s.Value.DType is DType.Int64 or DType.Float32 ? s.Value : s.Value.To(DType.Float32)));
        SafeTensors.Write(path, tensors.ToArray(), info is null ? new Dictionary<string, string> { ["format"] = Format } : Metadata(info));
    }

    /// <summary>Overwrites a network's parameters and buffers with those of a file of any float type.</summary>
    /// <param name="network">The network; its precision and layout stay.</param>
    /// <param name="path">A safetensors file with the model's parameter names. BatchNorm's <c>num_batches_tracked</c>, which older PyTorch did not have, may be missing and is then 0.</param>
    /// <exception cref="GMixInputException">The file cannot be read, or has other names or shapes than the model.</exception>
    public static void Load(Network network, string path)
    {
        using var scope = new TensorScope();
        Fill(network, SafeTensors.Read(path), path);
    }

    /// <summary>Builds the model that a file describes, with its weights.</summary>
    /// <param name="path">A file that <see cref="Save"/> wrote with a description.</param>
    /// <param name="precision">How the network computes.</param>
    /// <param name="device">Where; the host when not given.</param>
    /// <exception cref="GMixInputException">The file cannot be read, does not say what model it is of, or does not fit it.</exception>
    public static (Network Network, WeightsInfo Info) Open(string path, Precision precision = Precision.Float32, Device? device = null)
    {
        using var scope = new TensorScope();
        var file = SafeTensors.Read(path);
        var info = Described(file.Metadata, path);
        var network = new Network(ModelCatalog.Create(info.Model, info.Shape, info.Options), precision, device);
        try { Fill(network, file, path); }
        catch
        {
            network.Dispose();
            throw;
        }
        return (network, info);
    }

    private static void Fill(Network network, SafeTensors.Contents file, string path)
    {
        var values = file.Tensors.ToDictionary(t => t.Key, t => t.Value);
        foreach (var (name, value) in network.State())
            if (name.EndsWith(".num_batches_tracked", StringComparison.Ordinal)) values.TryAdd(name, Tensor.Zeros(value.Shape, DType.Int64));
        network.Load(values, path);
    }

    private static Dictionary<string, string> Metadata(WeightsInfo info) => new()
    {
        ["format"] = Format,
        ["model"] = info.Model,
        ["classes"] = Text(info.Shape.Classes),
        ["input"] = $"{Text(info.Shape.Channels)},{Text(info.Shape.Height)},{Text(info.Shape.Width)}",
        ["options"] = JsonSerializer.Serialize(info.Options),
        ["class_names"] = JsonSerializer.Serialize(info.ClassNames),
    };

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);

    private static WeightsInfo Described(IReadOnlyDictionary<string, string> metadata, string path)
    {
        string Of(string key) => metadata.TryGetValue(key, out var value) ? value
            : throw new GMixInputException($"{path}: its metadata has no '{key}', so which model the weights are of is not known; make the network first and load the file into it");
        try
        {
            int[] input = [.. Of("input").Split(',').Select(s => int.Parse(s, CultureInfo.InvariantCulture))];
            if (input.Length != 3 || input.Any(s => s is < 1 or > 1 << 16)) throw new FormatException($"input {Of("input")} is not channels,height,width");
            var shape = new ImageShape(int.Parse(Of("classes"), CultureInfo.InvariantCulture), input[0], input[1], input[2]);
            return new WeightsInfo(Of("model"), shape)
            {
                Options = JsonSerializer.Deserialize<ModelOptions>(Of("options")) ?? new(),
                ClassNames = JsonSerializer.Deserialize<string[]>(Of("class_names")) ?? [],
            };
        }
        catch (Exception e) when (e is FormatException or OverflowException or JsonException)
        {
            throw new GMixInputException($"{path}: its metadata does not describe a model ({e.Message.Split('\n')[0]})", e);
        }
    }
}
