using System.Globalization;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>What the replay of a golden trace found.</summary>
/// <param name="File">The trace.</param>
/// <param name="Method">Its method.</param>
/// <param name="Model">Its model.</param>
/// <param name="LargestError">Largest |ours − theirs| relative to the largest magnitude in the tensor, over all tensors.</param>
/// <param name="WorstTensor">Where.</param>
/// <param name="SelectionsAgree">Whether every B₊ and every MaxUp choice is the same.</param>
/// <param name="Compared">How many tensors were compared.</param>
public sealed record TraceComparison(string File, string Method, string Model, double LargestError, string WorstTensor, bool SelectionsAgree, int Compared);

/// <summary>
/// Replays a golden trace: the initial weights, batches and draws of an independent float64 implementation go through the same public calls that
/// training uses, and losses, selections, norms and final weights are compared.
/// </summary>
public static class Trace
{
    /// <summary>Replays one file.</summary>
    /// <exception cref="GMixInputException">The file is not a trace, or of a method or model that is not known.</exception>
    public static TraceComparison Compare(string path)
    {
        using var all = new TensorScope();
        var file = SafeTensors.Read(path);
        var meta = new Metadata(path, file.Metadata);
        if (meta.Text("format") != "gmix-trace-1") throw new GMixInputException($"{path}: not a trace (its metadata has no format gmix-trace-1)");

        var shape = Of(file, path, "batch.0.x").Shape;
        if (shape.Length != 4) throw new GMixInputException($"{path}: batch.0.x has {shape.Length} dimensions, not 4");
        var image = new ImageShape(meta.Integer("classes"), (int)shape[1], (int)shape[2], (int)shape[3]);
        var model = ModelCatalog.Create(meta.Text("model"), image, new ModelOptions { Hidden = HiddenWidths(file), StemStride = 1 });
        using var network = new Network(model, Precision.Float64);
        network.Load(Under(file, "init."), path);
        var method = MethodOf(meta);
        using var step = new MethodStep(network, method);
        using var optimizer = new Sgd(network.Parameters, new SgdOptions(meta.Number("momentum"), meta.Number("weight_decay"), meta.Flag("nesterov")));

        var compare = new Comparison(file);
        var rate = meta.Number("lr");
        for (var t = 0; t < meta.Integer("steps"); t++)
        {
            using var scope = new TensorScope();
            var batch = new Batch(Of(file, path, $"batch.{t}.x"), Of(file, path, $"batch.{t}.y"));
            var draw = new Draw
            {
                Lambda = file.Tensors.TryGetValue($"batch.{t}.lambda", out var lambda) ? lambda.ToDoubles()[0] : 1,
                Permutation = file.Tensors.TryGetValue($"batch.{t}.perm", out var permutation) ? permutation.ToArray<long>() : null,
                Copies = file.Tensors.GetValueOrDefault($"batch.{t}.copies"),
            };
            var result = step.Run(batch, new StepContext(0, t, rate, rate, draw));
            compare.Value($"step.{t}.loss_w", result.LossesAtW);
            compare.Value($"step.{t}.loss_we", result.LossesAtPerturbed);
            compare.Value($"step.{t}.grad_norm", result.GradientNorm);
            compare.Value($"step.{t}.eps_norm", result.EpsilonNorm);
            compare.Value($"step.{t}.projection", result.Found.GetValueOrDefault("projection"));
            compare.Value($"step.{t}.loss_copies", result.Found.GetValueOrDefault("loss_copies"));
            compare.Choice($"step.{t}.selected", result.Selected);
            compare.Choice($"step.{t}.worst", result.Found.GetValueOrDefault("worst"));
            optimizer.Update(result.Direction, rate);
        }
        foreach (var (name, value) in network.State()) compare.Value($"final.{name}", value);
        return new TraceComparison(path, meta.Text("method"), meta.Text("model"), compare.Largest, compare.Worst, compare.ChoicesAgree, compare.Count);
    }

    /// <summary>The trace's three words with its hyper-parameters.</summary>
    private static Method MethodOf(Metadata meta)
    {
        var rho = meta.Number("rho");
        var subset = meta.Text("subset") == "reuse" ? SubsetForward.Reuse : SubsetForward.Recompute;
        Mix mix = meta.Text("mix") switch
        {
            "none" => new NoMix(),
            "mixup" => new Mixup(),
            "cutmix" => new CutMix(),
            "maxup" => new MaxUp(meta.Integer("copies"), new GaussianNoise(meta.Number("sigma"))),
            var other => throw meta.Unknown("mix", other),
        };
        Perturb perturb = meta.Text("perturb") switch
        {
            "none" => new NoPerturb(),
            "sam" => new Sam(rho),
            "asam" => new Asam(rho, meta.Number("eta")),
            "aace" => new AaceSam(rho, meta.Flag("normalize")),
            "amp" => new Amp(rho),
            var other => throw meta.Unknown("perturb", other),
        };
        Combine combine = meta.Text("combine") switch
        {
            "all" => new All(),
            "binary" => new Binary(meta.Number("gamma"), Subset: subset),
            "decomposed" => new Decomposed(meta.Number("gamma"), meta.Number("kappa"), Subset: subset),
            "gsam" => new Gsam(meta.Number("alpha_g")),
            "gnp" => new GradientNormPenalty(meta.Number("balance")),
            var other => throw meta.Unknown("combine", other),
        };
        var name = meta.Text("method");
        return new Method(name, MethodCatalog.Entries.FirstOrDefault(e => e.Name == name)?.Title ?? name, mix, perturb, combine);
    }

    /// <summary>The widths of an MLP's hidden layers, read off its weights.</summary>
    private static int[] HiddenWidths(SafeTensors.Contents file)
    {
        var widths = new List<int>();
        for (var i = 1; file.Tensors.ContainsKey($"init.fc{i + 1}.weight"); i++) widths.Add((int)file[$"init.fc{i}.weight"].Size(0));
        return [.. widths];
    }

    private static Tensor Of(SafeTensors.Contents file, string path, string name) =>
        file.Tensors.TryGetValue(name, out var t) ? t : throw new GMixInputException($"{path}: the trace has no tensor {name}");

    private static Dictionary<string, Tensor> Under(SafeTensors.Contents file, string prefix) =>
        file.Tensors.Where(t => t.Key.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(t => t.Key[prefix.Length..], t => t.Value);

    /// <summary>The text values of a trace, read as numbers.</summary>
    private sealed record Metadata(string Path, IReadOnlyDictionary<string, string> Values)
    {
        public string Text(string name) => Values.TryGetValue(name, out var v) ? v : throw new GMixInputException($"{Path}: the trace's metadata has no '{name}'");
        public double Number(string name) => double.TryParse(Text(name), NumberStyles.Float, CultureInfo.InvariantCulture, out var v) ? v : throw new GMixInputException($"{Path}: '{name}' is {Text(name)}, not a number");
        public int Integer(string name) => (int)Number(name);
        public bool Flag(string name) => Text(name) == "True";
        public GMixInputException Unknown(string word, string value) => new($"{Path}: the trace's {word} is {value}, which is not known here");
    }

    /// <summary>Keeps the largest relative error.</summary>
    private sealed class Comparison(SafeTensors.Contents file)
    {
        public double Largest { get; private set; }
        public string Worst { get; private set; } = "";
        public bool ChoicesAgree { get; private set; } = true;
        public int Count { get; private set; }

        /// <summary>Compares numbers; a tensor that the trace does not have is not compared, one that we do not have is an infinite error.</summary>
        public void Value(string name, Tensor? ours)
        {
            if (!file.Tensors.TryGetValue(name, out var expected)) return;
            Count++;
            var error = double.PositiveInfinity;
            if (ours is not null && ours.Count == expected.Count)
            {
                var (x, y) = (ours.ToDoubles(), expected.ToDoubles());
                var scale = Math.Max(y.Select(Math.Abs).DefaultIfEmpty(0).Max(), 1e-300);
                error = x.Zip(y, (a, b) => Math.Abs(a - b) / scale).DefaultIfEmpty(0).Max();
                if (double.IsNaN(error)) error = double.PositiveInfinity;
            }
            if (error < Largest || (error == Largest && Worst != "")) return;
            (Largest, Worst) = (error, name);
        }

        /// <summary>Compares indices, exactly.</summary>
        public void Choice(string name, Tensor? ours)
        {
            if (!file.Tensors.TryGetValue(name, out var expected)) return;
            Count++;
            ChoicesAgree &= ours is not null && ours.ToArray<long>().SequenceEqual(expected.ToArray<long>());
        }
    }
}
