using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Golden traces of an independent float64 implementation, replayed through the public calls.</summary>
public class TraceTests
{
    /// <summary>Those of the repository, and those of ../shared/reference/traces where that folder is there.</summary>
    public static TheoryData<string> Files { get; } = [.. Directory.GetFiles(Repository.Path("tests", "GMix.Core.Tests", "Traces"), "*.safetensors").Order().Select(f => Path.GetFileNameWithoutExtension(f)!)];

    [Theory, MemberData(nameof(Files))]
    public void The_repositorys_traces_agree(string name) => Agree(Repository.Path("tests", "GMix.Core.Tests", "Traces", name + ".safetensors"));

    [Fact]
    public void All_traces_agree()
    {
        var folder = Repository.Above("shared", "reference", "traces");
        if (folder is null) Assert.Skip("no folder shared/reference/traces above the repository");
        foreach (var file in Directory.GetFiles(folder, "*.safetensors")) Agree(file);
    }

    private static void Agree(string file)
    {
        var comparison = Trace.Compare(file);
        Assert.True(comparison.SelectionsAgree, $"{file}: selections differ");
        Assert.True(comparison.LargestError < 1e-11, $"{file}: {comparison.WorstTensor} differs by {comparison.LargestError:e2}");
        Assert.True(comparison.Compared > 10);
    }
}
