using GMix.Models;
using GMix.Nn;
using Xunit;

namespace GMix.Core.Tests.Models;

/// <summary>Sizes of the models against the published ones. Nothing is allocated: a model declares its tensors before it has memory.</summary>
public class CountTests
{
    // name; parameters at 10, 100 and 200 classes; trainable tensors, BatchNorms, running values
    public static TheoryData<string, int, int, int, int, int, int> Published => new()
    {
        { "mobilenet", 3_217_226, 3_309_476, 3_411_976, 83, 27, 21_888 },
        { "wrn-10-1", 77_850, 83_700, 90_200, 25, 7, 480 },
        { "wrn-10-2", 303_706, 315_316, 328_216, 26, 7, 928 },
        { "wrn-16-1", 175_066, 180_916, 187_416, 43, 13, 928 },
        { "wrn-16-2", 691_674, 703_284, 716_184, 44, 13, 1_824 },
        { "wrn-16-4", 2_748_890, 2_772_020, 2_797_720, 44, 13, 3_616 },
        { "wrn-16-8", 10_961_370, 11_007_540, 11_058_840, 44, 13, 7_200 },
        { "wrn-28-2", 1_467_610, 1_479_220, 1_492_120, 80, 25, 3_616 },
        { "wrn-28-4", 5_849_050, 5_872_180, 5_897_880, 80, 25, 7_200 },
        { "wrn-28-10", 36_479_194, 36_536_884, 36_600_984, 80, 25, 17_952 },
        { "wrn-40-2", 2_243_546, 2_255_156, 2_268_056, 116, 37, 5_408 },
        { "resnet18", 11_173_962, 11_220_132, 11_271_432, 62, 20, 9_600 },
        // the classes change the linear layer only: 513 weights each
        { "preact-resnet18", 11_171_146, 11_171_146 + 90 * 513, 11_171_146 + 190 * 513, 54, 16, 6_784 },
        { "preact-resnet18-stembn", 11_171_274, 11_171_274 + 90 * 513, 11_171_274 + 190 * 513, 56, 17, 6_912 },
    };

    [Theory]
    [MemberData(nameof(Published))]
    public void Counts_are_the_published_ones(string name, int at10, int at100, int at200, int tensors, int norms, int running)
    {
        foreach (var (classes, parameters) in new[] { (10, at10), (100, at100), (200, at200) })
            foreach (var size in new[] { 32, 64, 96 })
            {
                var model = ModelCatalog.Create(name, new ImageShape(classes, 3, size, size));
                Assert.Equal(parameters, model.NamedParameters().Sum(p => p.Parameter.Count));
                Assert.Equal(tensors, model.NamedParameters().Count());
                Assert.Equal(norms, model.NamedBuffers().Count(b => b.Name.EndsWith("running_mean")));
                Assert.Equal(running, model.NamedBuffers().Sum(b => b.Buffer.Shape.Length == 0 ? 0 : b.Buffer.Shape[0]));
                Assert.Equal(classes, model.Classes);
            }
    }

    [Fact]
    public void Mobilenet_for_a_thousand_classes_has_the_4_2_million_of_its_paper() =>
        Assert.Equal(4_231_976, Parameters("mobilenet", 1000));

    // Table 6 of the MobileNet paper: 2.6, 1.3 and 0.5 million at 1000 classes
    [Theory]
    [InlineData("mobilenet-0.75", 2.6e6)]
    [InlineData("mobilenet-0.5", 1.3e6)]
    [InlineData("mobilenet-0.25", 0.5e6)]
    public void Narrow_mobilenets_have_their_papers_size(string name, double published) => Assert.Equal(published, Parameters(name, 1000), tolerance: 0.05e6);

    [Fact]
    public void Width_one_is_the_plain_mobilenet() =>
        Assert.Equal(Layout(ModelCatalog.Create("mobilenet", Images(10))), Layout(ModelCatalog.Create("mobilenet-1.0", Images(10))));

    // torchvision's resnet18 has 11,689,512 at 1000 classes
    [Fact]
    public void Resnet18_with_the_imagenet_stem_has_torchvisions_size() =>
        Assert.Equal(11_689_512, ModelCatalog.Create("resnet18", new ImageShape(1000, 3, 224, 224), new ModelOptions { Stem = Stem.ImageNet }).NamedParameters().Sum(p => p.Parameter.Count));

    [Theory]
    [InlineData("wrn-16-4", "conv1", 432)]
    [InlineData("wrn-16-4", "block1", 121_248)]
    [InlineData("wrn-16-4", "block1.layer.0", 47_264)]
    [InlineData("wrn-16-4", "block1.layer.1", 73_984)]
    [InlineData("wrn-16-4", "block2", 525_184)]
    [InlineData("wrn-16-4", "block2.layer.0", 229_760)]
    [InlineData("wrn-16-4", "block2.layer.1", 295_424)]
    [InlineData("wrn-16-4", "block3", 2_098_944)]
    [InlineData("wrn-16-4", "block3.layer.0", 918_272)]
    [InlineData("wrn-16-4", "block3.layer.1", 1_180_672)]
    [InlineData("wrn-16-4", "bn1", 512)]
    [InlineData("wrn-16-4", "fc", 2_570)]
    [InlineData("resnet18", "layer1", 147_968)]
    [InlineData("resnet18", "layer2", 525_568)]
    [InlineData("resnet18", "layer2.0", 230_144)]
    [InlineData("resnet18", "layer3", 2_099_712)]
    [InlineData("resnet18", "layer3.0", 919_040)]
    [InlineData("resnet18", "layer4", 8_393_728)]
    [InlineData("resnet18", "layer4.0", 3_673_088)]
    [InlineData("resnet18", "layer4.1", 4_720_640)]
    [InlineData("mobilenet", "conv1", 864)]
    [InlineData("mobilenet", "bn1", 64)]
    [InlineData("mobilenet", "layers.0", 2_528)]
    [InlineData("mobilenet", "layers.1", 9_152)]
    [InlineData("mobilenet", "layers.2", 18_048)]
    [InlineData("mobilenet", "layers.3", 34_688)]
    [InlineData("mobilenet", "layers.4", 68_864)]
    [InlineData("mobilenet", "layers.5", 134_912)]
    [InlineData("mobilenet", "layers.6", 268_800)]
    [InlineData("mobilenet", "layers.10", 268_800)]
    [InlineData("mobilenet", "layers.11", 531_968)]
    [InlineData("mobilenet", "layers.12", 1_061_888)]
    public void Parts_have_their_published_size(string name, string part, int parameters) =>
        Assert.Equal(parameters, ModelCatalog.Create(name, Images(10)).NamedParameters().Where(p => p.Name.StartsWith(part + ".")).Sum(p => p.Parameter.Count));

    private static long Parameters(string name, int classes) => ModelCatalog.Create(name, Images(classes)).NamedParameters().Sum(p => p.Parameter.Count);

    private static IEnumerable<string> Layout(Model model) => model.NamedParameters().Select(p => $"{p.Name} {string.Join("x", p.Parameter.Shape)}");

    private static ImageShape Images(int classes) => new(classes, 3, 32, 32);
}
