using System.Diagnostics;
using System.Text.RegularExpressions;
using GMix.Models;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>The examples of docs/own-model.md do what the page says.</summary>
public sealed partial class OwnModelTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-own-model-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [GeneratedRegex("```(?<language>\\w+)\n(?<code>.*?)```", RegexOptions.Singleline)] private static partial Regex Block();

    [Fact]
    public void The_class_of_the_page_is_the_one_compiled_here()
    {
        // this file is the page's first block with a namespace
        var here = File.ReadAllText(SharedFiles.InRepository("tests/GMix.Core.Tests/Models/OwnModel.cs")).Replace("namespace GMix.Core.Tests.Models;\n\n", "");
        Assert.Equal(Code("csharp")[0].Trim(), here.Trim());
    }

    [Fact]
    public void The_class_of_the_page_trains_and_its_weights_load()
    {
        var path = Path.Combine(_folder, "own.safetensors");
        Assert.Contains("OwnModel.Train(new TrainConfig { Dataset = \"synthetic\", Limit = 200, Method = \"dgmix\", Epochs = 2, Batch = 50 }, \"own.safetensors\")", Code("csharp")[1]);
        var accuracy = OwnModel.Train(new TrainConfig { Dataset = "synthetic", Limit = 200, Method = "dgmix", Epochs = 2, Batch = 50 }, path);
        Assert.InRange(accuracy, 0, 100);

        using var scope = new TensorScope();
        using var untrained = new GMix.Nn.Network(new ThreeConvolutions(3, 10));
        var before = untrained.Parameters.Value.ToDoubles();
        Weights.Load(untrained, path);
        Assert.NotEqual(before, untrained.Parameters.Value.ToDoubles());
        Assert.Equal([8, 3, 3, 3], SafeTensors.Read(path)["conv1.weight"].Shape);
    }

    [Fact]
    public async Task The_script_of_the_page_runs()
    {
        var code = Code("fsharp")[0];
        const string assembly = "\"GMix.Core/bin/Release/net10.0/GMix.Core.dll\"";
        Assert.Contains(assembly, code);
        var script = Path.Combine(_folder, "own-model.fsx");
        File.WriteAllText(script, code.Replace(assembly, $"\"{Path.Combine(AppContext.BaseDirectory, "GMix.Core.dll")}\""));
        using var process = Process.Start(new ProcessStartInfo("dotnet", ["fsi", script]) { WorkingDirectory = _folder, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, output + await error);
        Assert.Matches(@"epoch 1: test accuracy [\d.]+ %\nepoch 2: test accuracy [\d.]+ %\n", output);
        Assert.Contains("conv2.weight", SafeTensors.Read(Path.Combine(_folder, "own.safetensors")).Tensors.Keys);
    }

    private static string[] Code(string language) =>
        [.. Block().Matches(File.ReadAllText(SharedFiles.InRepository("docs/own-model.md"))).Where(b => b.Groups["language"].Value == language).Select(b => b.Groups["code"].Value)];
}
