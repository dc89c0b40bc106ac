using System.Text;
using System.Text.Json;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>What the check of one model found.</summary>
/// <param name="Model">Name, as on the command line.</param>
/// <param name="Classes">Classes.</param>
/// <param name="Shape">Channels, height and width of its input.</param>
/// <param name="Difference">The first difference in parameter names, shapes or counts; null when they are the same. Logits are not compared then.</param>
/// <param name="EvalError">Largest |ours − theirs| relative to the largest logit, with running statistics.</param>
/// <param name="TrainError">The same with batch statistics.</param>
/// <param name="Agrees">Whether layout and both logits agree within the tolerance.</param>
public sealed record ModelComparison(string Model, int Classes, IReadOnlyList<int> Shape, string? Difference, double EvalError, double TrainError, bool Agrees);

/// <summary>
/// Compares models with those of an independent implementation: a file lists, per model, its parameter names with shapes, its counts, and its
/// logits in float64 for weights and inputs that a formula gives, so that no weights need to travel.
/// </summary>
/// <remarks>
/// An entry has <c>model</c>, <c>classes</c>, <c>shape</c>, <c>parameters</c>, <c>tensors</c>, <c>names</c>, <c>logits_eval</c> and
/// <c>logits_train</c>. Names and shapes do not tell the stride of the first convolution: it is 1 (2 for ResNet-18 with a 7×7 stem) at
/// every input size, unless the entry has a number <c>stem_stride</c>. The widths of an MLP's hidden layers, and ResNet-18's stem, are read off <c>names</c>.
/// </remarks>
public static class ModelCheck
{
    /// <summary>Checks every entry of a file.</summary>
    /// <param name="path">A JSON list of entries.</param>
    /// <param name="tolerance">Largest error relative to the largest logit that still agrees, e.g. 1e-9.</param>
    /// <exception cref="GMixInputException">The file is not such a list, or names a model that is not known.</exception>
    public static IReadOnlyList<ModelComparison> Compare(string path, double tolerance)
    {
        if (!(tolerance >= 0)) throw new GMixInputException($"--tolerance {tolerance}: must be at least 0");
        byte[] bytes;
        try { bytes = File.ReadAllBytes(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw new GMixInputException($"{path}: cannot be read ({e.Message.Split('\n')[0]})", e); }
        Entry[] entries;
        try
        {
            using var document = JsonDocument.Parse(bytes);
            entries = [.. document.RootElement.EnumerateArray().Select(Entry.From)];
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or OverflowException)
        {
            throw new GMixInputException($"{path}: not a list of model checks ({e.Message.Split('\n')[0]})", e);
        }
        return [.. entries.Select((entry, i) => Compare(entry, $"{path}: entry {i}", tolerance))];
    }

    private static ModelComparison Compare(Entry entry, string where, double tolerance)
    {
        if (entry.Shape.Length != 3 || entry.Shape.Any(s => s < 1)) throw new GMixInputException($"{where}: shape must be channels, height, width");
        var model = ModelCatalog.Create(entry.Model, new ImageShape(entry.Classes, entry.Shape[0], entry.Shape[1], entry.Shape[2]), entry.Options());
        var difference = Difference(entry, model);
        if (difference is not null) return new(entry.Model, entry.Classes, entry.Shape, difference, double.NaN, double.NaN, false);

        using var scope = new TensorScope();
        using var network = new Network(model, Precision.Float64);
        network.Load(network.State().ToDictionary(s => s.Name, s => s.Value.DType == DType.Int64 ? s.Value : Filled(s.Name, s.Value.Shape)), where);
        var images = Filled("input", [2, .. entry.Shape.Select(s => (long)s)]) * 3;
        using var noGrad = Autograd.NoGrad();
        // measuring first: the training pass moves the running statistics
        var eval = Error(network.Logits(images, ForwardPass.Eval), entry.Eval);
        var train = Error(network.Logits(images, new ForwardPass(BatchNormMode.Train)), entry.Train);
        return new(entry.Model, entry.Classes, entry.Shape, null, eval, train, eval <= tolerance && train <= tolerance);
    }

    /// <summary>The first thing in which the layouts differ. Counters of batches are not part of a check.</summary>
    private static string? Difference(Entry entry, Model model)
    {
        var trained = model.NamedParameters().Select(p => (p.Name, p.Parameter.Shape)).ToArray();
        var ours = trained.Concat(model.NamedBuffers().Select(b => (b.Name, b.Buffer.Shape))).Where(t => !IsCounter(t.Name)).ToDictionary(t => t.Name, t => t.Shape);
        foreach (var (name, shape) in entry.Names.Where(n => !IsCounter(n.Key)))
        {
            if (!ours.TryGetValue(name, out var own)) return $"the model here has no {name}";
            if (!own.SequenceEqual(shape)) return $"{name} is [{string.Join(", ", own)}] here, [{string.Join(", ", shape)}] in the file";
        }
        if (ours.Keys.FirstOrDefault(name => !entry.Names.ContainsKey(name)) is { } extra) return $"the file has no {extra}";
        if (trained.Length != entry.Tensors) return $"{trained.Length} trainable tensors here, {entry.Tensors} in the file";
        var count = model.NamedParameters().Sum(p => p.Parameter.Count);
        return count == entry.Parameters ? null : $"{count} trainable parameters here, {entry.Parameters} in the file";
    }

    private static bool IsCounter(string name) => name.EndsWith("num_batches_tracked", StringComparison.Ordinal);

    private static double Error(Tensor ours, double[][] expected)
    {
        double[] y = [.. expected.SelectMany(row => row)];
        var x = ours.ToDoubles();
        if (x.Length != y.Length) return double.PositiveInfinity;
        var error = x.Zip(y, (a, b) => Math.Abs(a - b)).Max() / Math.Max(y.Max(Math.Abs), 1e-300);
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }

    /// <summary>
    /// The tensor of that name: v_i = sin(12.9898 i + 78.233 c), c = (crc32(name) mod 1000) / 1000, scaled by what kind of tensor it is.
    /// </summary>
    internal static Tensor Filled(string name, long[] shape)
    {
        var values = new double[shape.Aggregate(1L, (a, b) => a * b)];
        var c = Data.Crc32.Of(Encoding.UTF8.GetBytes(name)) % 1000 / 1000.0;
        var (start, scale) = name switch
        {
            _ when name.EndsWith("running_var", StringComparison.Ordinal) => (1.0, 0.5),
            _ when name.EndsWith("running_mean", StringComparison.Ordinal) => (0.0, 0.1),
            _ when shape.Length >= 2 => (0.0, 2 / Math.Sqrt(values.Length / shape[0])),
            _ when name.EndsWith("weight", StringComparison.Ordinal) => (1.0, 0.1),
            _ => (0.0, 0.1),
        };
        for (var i = 0; i < values.Length; i++) values[i] = start + scale * Math.Sin(12.9898 * i + 78.233 * c);
        return Tensor.From(values, shape);
    }

    private sealed record Entry(string Model, int Classes, int[] Shape, long Parameters, int Tensors, IReadOnlyDictionary<string, long[]> Names, double[][] Eval, double[][] Train, int? StemStride)
    {
        public static Entry From(JsonElement e) => new(
            e.GetProperty("model").GetString() ?? "",
            e.GetProperty("classes").GetInt32(),
            [.. e.GetProperty("shape").EnumerateArray().Select(s => s.GetInt32())],
            e.GetProperty("parameters").GetInt64(),
            e.GetProperty("tensors").GetInt32(),
            e.GetProperty("names").EnumerateObject().ToDictionary(n => n.Name, n => n.Value.EnumerateArray().Select(s => s.GetInt64()).ToArray()),
            Rows(e.GetProperty("logits_eval")),
            Rows(e.GetProperty("logits_train")),
            e.TryGetProperty("stem_stride", out var stride) ? stride.GetInt32() : null);

        private static double[][] Rows(JsonElement rows) => [.. rows.EnumerateArray().Select(row => row.EnumerateArray().Select(x => x.GetDouble()).ToArray())];

        /// <summary>What the model's name leaves open, read off the shapes.</summary>
        public ModelOptions Options()
        {
            var hidden = new List<int>();
            for (var i = 1; Names.ContainsKey($"fc{i + 1}.weight") && Names.TryGetValue($"fc{i}.weight", out var shape) && shape.Length > 0; i++) hidden.Add((int)shape[0]);
            var wideStem = Model == "resnet18" && Names.TryGetValue("conv1.weight", out var first) && first.Length == 4 && first[2] == 7;
            return new ModelOptions { Hidden = hidden, Stem = wideStem ? Stem.ImageNet : Stem.Cifar, StemStride = StemStride ?? (wideStem ? 2 : 1) };
        }
    }
}
