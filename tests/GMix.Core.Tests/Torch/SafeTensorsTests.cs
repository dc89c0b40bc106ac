using System.Text;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Torch;

/// <summary>Files of tensors: what is written is read back, and damage is named.</summary>
public sealed class SafeTensorsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gmix-safetensors").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    private string Path(string name) => System.IO.Path.Combine(_folder, name);

    [Fact]
    public void EveryTypeAndLayoutComesBack()
    {
        using var scope = new TensorScope();
        var image = Tensor.From(Enumerable.Range(0, 24).Select(i => (float)i).ToArray(), 1, 2, 3, 4);
        SafeTensors.Write(Path("a"), [("image", image.Contiguous(MemoryFormat.ChannelsLast)), ("n", Tensor.From([1L, 2])), ("s", Tensor.Scalar(2.5, DType.Float64)), ("b", Tensor.Ones([3], DType.BFloat16)), ("none", Tensor.Zeros([0]))],
            new Dictionary<string, string> { ["who"] = "tëst" });
        var back = SafeTensors.Read(Path("a"));
        Assert.Equal(image.ToArray<float>(), back["image"].ToArray<float>());
        Assert.Equal([1L, 2], back["n"].ToArray<long>());
        Assert.Equal(2.5, back["s"].Item());
        Assert.Equal(DType.BFloat16, back["b"].DType);
        Assert.Equal(0, back["none"].Count);
        Assert.Equal("tëst", back.Metadata["who"]);
        Assert.Empty(Directory.GetFiles(_folder, "*.tmp"));
    }

    [Fact]
    public void DamageIsNamedWithTheFile()
    {
        using var scope = new TensorScope();
        SafeTensors.Write(Path("good"), [("w", Tensor.Ones([100]))]);
        var good = File.ReadAllBytes(Path("good"));
        void Bad(byte[] bytes)
        {
            File.WriteAllBytes(Path("bad"), bytes);
            var e = Assert.Throws<GMixInputException>(() => SafeTensors.Read(Path("bad")));
            Assert.Contains(Path("bad"), e.Message);
            Assert.DoesNotContain('\n', e.Message);
        }
        for (var length = 0; length < good.Length; length += 7) Bad(good[..length]);
        Bad([255, 255, 255, 255, 255, 255, 255, 127, .. good[8..]]);
        Bad([.. good[..8], .. Encoding.ASCII.GetBytes("not json"), .. good[16..]]);
        Bad(Encoding.ASCII.GetBytes(Encoding.Latin1.GetString(good).Replace("[100]", "[900]")));
        Bad(Encoding.ASCII.GetBytes(Encoding.Latin1.GetString(good).Replace("F32", "Q32")));
        Assert.Throws<GMixInputException>(() => SafeTensors.Read(Path("missing")));
    }
}
