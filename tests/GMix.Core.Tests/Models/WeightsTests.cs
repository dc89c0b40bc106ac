using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Files of weights: what is in them, and that they come back.</summary>
public sealed class WeightsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-weights-").FullName;
    private readonly TensorScope _scope = new();

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void A_channels_last_tensor_is_written_row_major()
    {
        var values = Enumerable.Range(0, 2 * 3 * 4 * 5).Select(i => (float)i).ToArray();
        var tensor = Tensor.From(values, 2, 3, 4, 5).Contiguous(MemoryFormat.ChannelsLast);
        Assert.Equal([60, 1, 15, 3], tensor.Strides);
        SafeTensors.Write(At("t"), [("t", tensor)]);
        Assert.Equal(values, Stored(At("t"), "t"));
        Assert.Equal(values, SafeTensors.Read(At("t"))["t"].ToArray<float>());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Files_are_the_same_for_both_memory_layouts(bool channelsLast)
    {
        using var network = Make("wrn-10-2", channelsLast: channelsLast);
        Assert.Equal(channelsLast, network.State().First(s => s.Name == "block1.layer.0.conv2.weight").Value.Strides[1] == 1);
        Weights.Save(network, At("w"));
        // element [o, i, y, x] of the file is that of the tensor
        var stored = Stored(At("w"), "block1.layer.0.conv2.weight");
        var weight = network.State().First(s => s.Name == "block1.layer.0.conv2.weight").Value;
        foreach (var (o, i, y, x) in new[] { (0, 1, 0, 0), (5, 30, 2, 1), (31, 31, 2, 2), (1, 0, 0, 1) })
            Assert.Equal(weight.Select(0, o).Select(0, i).Select(0, y).Select(0, x).Item(), stored[((o * 32 + i) * 3 + y) * 3 + x]);

        using var other = Make("wrn-10-2", seed: 1, channelsLast: !channelsLast);
        Weights.Load(other, At("w"));
        foreach (var ((name, a), (_, b)) in network.State().Zip(other.State())) Assert.True(a.ToDoubles().SequenceEqual(b.ToDoubles()), name);
    }

    [Theory]
    [InlineData("mobilenet-0.25")]
    [InlineData("wrn-10-1")]
    [InlineData("mlp-8-4")]
    public void A_saved_network_opens_again_with_all_it_was(string name)
    {
        var info = new WeightsInfo(name, new ImageShape(3, 3, 16, 16)) { ClassNames = ["cat", "dog \"rex\"", "ö"] };
        using var network = new Network(ModelCatalog.Create(name, info.Shape, info.Options), seed: 2);
        using var generator = new Generator(Device.Cpu);
        var images = Tensor.Normal([4, 3, 16, 16], generator.Seed(1));
        using var noGrad = Autograd.NoGrad();
        network.Logits(images, new ForwardPass(BatchNormMode.Train));
        Weights.Save(network, At("w"), info);

        var (again, described) = Weights.Open(At("w"));
        using (again)
        {
            Assert.Equal((info.Model, info.Shape), (described.Model, described.Shape));
            Assert.Equal(info.ClassNames, described.ClassNames);
            Assert.Equal(network.State().Select(s => s.Name), again.State().Select(s => s.Name));
            Assert.Equal(network.Logits(images, ForwardPass.Eval).ToDoubles(), again.Logits(images, ForwardPass.Eval).ToDoubles());
        }
    }

    [Fact]
    public void Options_come_back_from_the_file()
    {
        var options = new ModelOptions { Stem = Stem.ImageNet, StemStride = 1, Init = WeightInit.FanIn, Scale = ScaleInit.Uniform };
        var info = new WeightsInfo("resnet18", new ImageShape(2, 1, 32, 32)) { Options = options };
        using var network = new Network(ModelCatalog.Create(info.Model, info.Shape, options));
        Weights.Save(network, At("w"), info);
        var (again, described) = Weights.Open(At("w"));
        using (again) Assert.Equal([64, 1, 7, 7], again.State().First(s => s.Name == "conv1.weight").Value.Shape);
        Assert.Equal((options.Stem, options.StemStride, options.Init, options.Scale), (described.Options.Stem, described.Options.StemStride, described.Options.Init, described.Options.Scale));
    }

    [Fact]
    public void Numbers_are_stored_as_float32_from_float64_networks_and_load_into_either()
    {
        using var wide = Make("wrn-10-1", precision: Precision.Float64);
        Weights.Save(wide, At("w"));
        using var narrow = Make("wrn-10-1", seed: 1);
        Weights.Load(narrow, At("w"));
        foreach (var ((name, a), (_, b)) in wide.State().Zip(narrow.State())) Assert.Equal(a.ToDoubles().Select(v => (double)(float)v), b.ToDoubles());
        Weights.Load(wide, At("w"));
        Assert.Equal(narrow.State()[0].Value.ToDoubles(), wide.State()[0].Value.ToDoubles());
    }

    [Fact]
    public void Names_are_those_of_a_pytorch_state_dict()
    {
        using var network = Make("resnet18");
        Weights.Save(network, At("w"));
        var names = SafeTensors.Read(At("w")).Tensors.Keys.ToHashSet();
        Assert.Equal(122, names.Count); // torchvision's resnet18: 62 parameters, 60 buffers
        Assert.Superset(new HashSet<string> { "conv1.weight", "bn1.num_batches_tracked", "layer4.0.downsample.1.running_var", "layer2.0.downsample.0.weight", "fc.bias" }, names);
    }

    [Fact]
    public void Counters_of_batches_may_be_missing()
    {
        using var network = Make("wrn-10-1");
        SafeTensors.Write(At("w"), network.State().Where(s => !s.Name.EndsWith("num_batches_tracked")));
        using var other = Make("wrn-10-1", seed: 1);
        Weights.Load(other, At("w"));
        Assert.Equal(network.Parameters.Value.ToDoubles(), other.Parameters.Value.ToDoubles());
    }

    [Fact]
    public void Weights_of_another_model_are_refused_by_name_and_leave_the_network_as_it_was()
    {
        using var network = Make("wrn-10-1");
        var before = network.Parameters.Value.ToDoubles();
        var state = network.State();

        Expect("tensor fc.bias is missing", state.Where(s => s.Name != "fc.bias"));
        Expect("has no tensor extra", state.Append(("extra", Tensor.Zeros([1]))));
        Expect("fc.weight is float32[2, 64], this model has float32[5, 64]", state.Select(s => s.Name == "fc.weight" ? (s.Name, Tensor.Zeros([2, 64])) : s));
        Assert.Equal(before, network.Parameters.Value.ToDoubles());

        void Expect(string message, IEnumerable<(string, Tensor)> tensors)
        {
            SafeTensors.Write(At("w"), tensors);
            Assert.Contains(message, Assert.Throws<GMixInputException>(() => Weights.Load(network, At("w"))).Message);
        }
    }

    [Theory]
    [InlineData("input", "3,32", "channels,height,width")]
    [InlineData("classes", "many", "does not describe a model")]
    [InlineData("options", "{", "does not describe a model")]
    [InlineData("class_names", "{}", "does not describe a model")]
    [InlineData("model", "lenet", "--model lenet: no such model")]
    [InlineData("model", null, "has no 'model'")]
    public void A_description_that_is_wrong_is_told(string key, string? value, string expected)
    {
        using var network = Make("wrn-10-1");
        Weights.Save(network, At("w"), new WeightsInfo("wrn-10-1", new ImageShape(5, 3, 32, 32)));
        var file = SafeTensors.Read(At("w"));
        var metadata = file.Metadata.ToDictionary(m => m.Key, m => m.Value);
        if (value is null) metadata.Remove(key); else metadata[key] = value;
        SafeTensors.Write(At("w"), file.Tensors.Select(t => (t.Key, t.Value)), metadata);
        Assert.Contains(expected, Assert.Throws<GMixInputException>(() => Weights.Open(At("w"))).Message);
    }

    private static Network Make(string name, int seed = 0, bool? channelsLast = null, Precision precision = Precision.Float32) =>
        new(ModelCatalog.Create(name, new ImageShape(5, 3, 32, 32)), precision, seed: seed, channelsLast: channelsLast);

    private string At(string name) => Path.Combine(_folder, name + ".safetensors");

    /// <summary>The numbers of a float32 tensor as they lie in the file.</summary>
    private static float[] Stored(string path, string name)
    {
        var bytes = File.ReadAllBytes(path);
        var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        using var header = JsonDocument.Parse(bytes.AsMemory(8, length));
        var entry = header.RootElement.GetProperty(name);
        Assert.Equal("F32", entry.GetProperty("dtype").GetString());
        var (from, to) = (entry.GetProperty("data_offsets")[0].GetInt32(), entry.GetProperty("data_offsets")[1].GetInt32());
        return MemoryMarshal.Cast<byte, float>(bytes.AsSpan(8 + length + from, to - from)).ToArray();
    }
}
