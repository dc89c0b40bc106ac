using System.Text.Json.Nodes;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Models against the logits of an independent implementation.</summary>
public sealed class ModelCheckTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-model-check-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Every_model_of_the_reference_agrees_to_1e_9()
    {
        var found = ModelCheck.Compare(SharedFiles.Find("reference/models/models.json"), 1e-9);
        Assert.NotEmpty(found);
        foreach (var f in found)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{f.Model}, {f.Classes} classes: eval {f.EvalError:E2}, train {f.TrainError:E2} {f.Difference}"));
            Assert.True(f.Agrees, $"{f.Model}: eval {f.EvalError}, train {f.TrainError}, {f.Difference}");
        }
    }

    [Fact]
    public void Crc32_has_the_published_check_value() => Assert.Equal(0xCBF43926u, GMix.Data.Crc32.Of("123456789"u8));

    [Fact]
    public void Tensors_are_filled_by_the_kind_their_name_tells()
    {
        // c from the CRCs that zlib gives: 3268608973, 4268867389, 2953957760, 1962805491, 3410522421
        static double V(int i, double c) => Math.Sin(12.9898 * i + 78.233 * c);
        var weight = ModelCheck.Filled("bn1.weight", [3]).ToDoubles();
        Assert.Equal(1 + 0.1 * V(2, 0.973), weight[2], 1e-15);
        Assert.Equal(0.1 * V(1, 0.389), ModelCheck.Filled("bn1.bias", [3]).ToDoubles()[1], 1e-15);
        Assert.Equal(1 + 0.5 * V(1, 0.760), ModelCheck.Filled("bn1.running_var", [3]).ToDoubles()[1], 1e-15);
        Assert.Equal(0.1 * V(1, 0.491), ModelCheck.Filled("bn1.running_mean", [3]).ToDoubles()[1], 1e-15);
        // (2, 3, 1, 1): fan-in 3
        Assert.Equal(2 * V(5, 0.421) / Math.Sqrt(3), ModelCheck.Filled("conv1.weight", [2, 3, 1, 1]).ToDoubles()[5], 1e-15);
    }

    [Fact]
    public void Logits_worked_out_by_hand_agree()
    {
        var found = Assert.Single(ModelCheck.Compare(OnePixel(), 1e-12));
        Assert.True(found.Agrees, $"{found}");
    }

    // the check must notice: one logit off by 2e-9 of the largest, in either mode
    [Theory]
    [InlineData("logits_eval")]
    [InlineData("logits_train")]
    public void A_logit_that_is_off_is_noticed(string which)
    {
        var path = OnePixel(entry => entry[which]![0]![0] = entry[which]![0]![0]!.GetValue<double>() + 2e-9 * Largest(entry));
        var found = Assert.Single(ModelCheck.Compare(path, 1e-9));
        Assert.False(found.Agrees);
        Assert.Equal(2e-9, which == "logits_eval" ? found.EvalError : found.TrainError, 1e-12);
        Assert.True(Assert.Single(ModelCheck.Compare(path, 1e-8)).Agrees);
    }

    [Theory]
    [InlineData("a name more", "the model here has no extra.weight")]
    [InlineData("a name less", "the file has no fc1.bias")]
    [InlineData("a shape", "fc1.bias is [1] here, [2] in the file")]
    [InlineData("parameters", "2 trainable parameters here, 3 in the file")]
    [InlineData("tensors", "2 trainable tensors here, 1 in the file")]
    public void A_layout_that_differs_is_told(string what, string expected)
    {
        var path = OnePixel(entry =>
        {
            var names = entry["names"]!.AsObject();
            switch (what)
            {
                case "a name more": names["extra.weight"] = new JsonArray(1); break;
                case "a name less": names.Remove("fc1.bias"); break;
                case "a shape": names["fc1.bias"] = new JsonArray(2); break;
                case "parameters": entry["parameters"] = 3; break;
                default: entry["tensors"] = 1; break;
            }
        });
        var found = Assert.Single(ModelCheck.Compare(path, 1e-9));
        Assert.False(found.Agrees);
        Assert.Equal(expected, found.Difference);
    }

    [Theory]
    [InlineData("", "not a list of model checks")]
    [InlineData("{}", "not a list of model checks")]
    [InlineData("[{}]", "not a list of model checks")]
    [InlineData("[1]", "not a list of model checks")]
    [InlineData("""[{"model": "lenet", "classes": 1, "shape": [1, 1, 1], "parameters": 2, "tensors": 2, "names": {}, "logits_eval": [], "logits_train": []}]""", "--model lenet: no such model")]
    [InlineData("""[{"model": "mlp", "classes": 1, "shape": [1, 1], "parameters": 2, "tensors": 2, "names": {}, "logits_eval": [], "logits_train": []}]""", "shape must be channels, height, width")]
    public void A_file_of_another_kind_is_refused_in_one_line(string text, string expected)
    {
        var path = Path.Combine(_folder, "models.json");
        File.WriteAllText(path, text);
        var error = Assert.Throws<GMixInputException>(() => ModelCheck.Compare(path, 1e-9));
        Assert.Contains(expected, error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_file_that_is_not_there_is_named() =>
        Assert.Contains("nowhere.json", Assert.Throws<GMixInputException>(() => ModelCheck.Compare(Path.Combine(_folder, "nowhere.json"), 1e-9)).Message);

    /// <summary>
    /// A file with softmax regression of one class on one pixel, whose logits w x + b are worked out here. c of fc1.weight, fc1.bias and input:
    /// 0.944, 0.583, 0.111, from zlib's CRCs 980894944, 468504583, 3626513111.
    /// </summary>
    private string OnePixel(Action<JsonNode>? change = null)
    {
        static double V(int i, double c) => Math.Sin(12.9898 * i + 78.233 * c);
        double Logit(int i) => 2 * V(0, 0.944) * (3 * 2 * V(i, 0.111)) + 0.1 * V(0, 0.583);
        JsonArray Logits() => new(new JsonArray(Logit(0)), new JsonArray(Logit(1)));
        var entry = new JsonObject
        {
            ["model"] = "mlp", ["classes"] = 1, ["shape"] = new JsonArray(1, 1, 1), ["parameters"] = 2, ["tensors"] = 2,
            ["names"] = new JsonObject { ["fc1.weight"] = new JsonArray(1, 1), ["fc1.bias"] = new JsonArray(1) },
            ["logits_eval"] = Logits(), ["logits_train"] = Logits(),
        };
        change?.Invoke(entry);
        var path = Path.Combine(_folder, "models.json");
        File.WriteAllText(path, new JsonArray(entry).ToJsonString());
        return path;
    }

    private static double Largest(JsonNode entry) => entry["logits_eval"]!.AsArray().Concat(entry["logits_train"]!.AsArray()).Max(row => Math.Abs(row![0]!.GetValue<double>()));
}
