using System.Diagnostics;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>ResNet-18 into PyTorch and back, by a Python that has torch.</summary>
public sealed class TorchRoundTripTests : IDisposable
{
    private const int Classes = 7;
    private static readonly Lazy<string?> Python = new(() => new[] { "python3", "/usr/bin/python3" }.FirstOrDefault(p => Run(p, "-c", "import torch").Code == 0));
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-torch-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("cifar", 32, "torchvision")]
    [InlineData("imagenet", 64, "torchvision")]
    [InlineData("cifar", 32, "plain")]
    public void Resnet18_goes_into_pytorch_and_back(string stem, int size, string implementation)
    {
        if (Python.Value is not { } python)
        {
            Assert.Skip("no python3 here has torch; Debian's package is python3-torch");
            return;
        }
        using var scope = new TensorScope();
        using var generator = new Generator(Device.Cpu);
        var images = Tensor.Normal([4, 3, size, size], generator.Seed(3));
        SafeTensors.Write(At("input"), [("x", images)]);
        using var network = Make(stem, size, seed: 5);
        // running statistics away from their start, so that they count
        using (Autograd.NoGrad()) network.Logits(images, new ForwardPass(BatchNormMode.Train));
        Weights.Save(network, At("ours"));

        var (code, output) = Run(python, SharedFiles.InRepository("tests/GMix.Core.Tests/Models/resnet18_through_torch.py"), _folder, stem, implementation);
        Assert.True(code == 0, output);
        TestContext.Current.TestOutputHelper?.WriteLine($"{stem}: {output.Trim()}");

        Same(Logits(network, images), "ours-logits");
        using var other = Make(stem, size, seed: 6);
        Weights.Load(other, At("theirs"));
        Same(Logits(other, images), "theirs-logits");
    }

    private void Same(Tensor ours, string file)
    {
        var (x, y) = (ours.ToDoubles(), SafeTensors.Read(At(file))["logits"].ToDoubles());
        Assert.Equal(y.Length, x.Length);
        var error = x.Zip(y, (a, b) => Math.Abs(a - b)).Max() / y.Max(Math.Abs);
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{file}: {error:E2}"));
        Assert.True(error < 1e-5, $"{file} differs by {error} of the largest logit");
    }

    private string At(string name) => Path.Combine(_folder, name + ".safetensors");

    private static Network Make(string stem, int size, int seed) =>
        new(ModelCatalog.Create("resnet18", new ImageShape(Classes, 3, size, size), new ModelOptions { Stem = ModelOptions.ParseStem(stem) }), seed: seed);

    private static Tensor Logits(Network network, Tensor images)
    {
        using var noGrad = Autograd.NoGrad();
        return network.Logits(images, ForwardPass.Eval);
    }

    private static (int Code, string Output) Run(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd() + error.Result;
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return (127, e.Message);
        }
    }
}
