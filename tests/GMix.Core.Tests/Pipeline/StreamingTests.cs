using System.Runtime.InteropServices;
using GMix.Data;
using GMix.Draws;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Pipelines;

/// <summary>The streaming pipeline gives what the on-device one gives, holds few batches, ends cleanly and says what went wrong.</summary>
public sealed class StreamingTests
{
    private const int Side = 9, Images = 37;
    private static readonly ImageSet Set = Make();
    private static readonly Normalization Norm = new([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);

    private static ImageSet Make()
    {
        var pixels = new byte[Images * 3 * Side * Side];
        var random = new CounterRandom(2, DrawStream.Diagnostics);
        for (var i = 0; i < pixels.Length; i++) pixels[i] = (byte)random.NextUInt32();
        return new ImageSet("random", pixels, Images, 3, Side, Side, [.. Enumerable.Range(0, Images).Select(i => i % 5)], ["a", "b", "c", "d", "e"]);
    }

    private static StreamingPipeline Streaming(int depth = 3, ImageReader? read = null, ImageSet? set = null) => new(set ?? Set, Norm, DType.Float32, Device.Cpu, true, depth, read);

    private static OnDevicePipeline OnDevice() => new(Set, Norm, DType.Float32, Device.Cpu, true);

    public static TheoryData<Augmentation> Augmentations() =>
    [
        Augmentation.None,
        new Augmentation(Pad: 2, Flip: true),
        new Augmentation(Pad: 3, Mode: PadMode.Reflect),
        new Augmentation(Pad: 2, Flip: true, Cutout: 3, Erasing: 0.5),
    ];

    private static byte[] Bits(Tensor t) => [.. MemoryMarshal.AsBytes<float>(t.ToArray<float>())];

    /// <summary>EXACT: two epochs with a short last batch, from a mapped file, against images on the device.</summary>
    [Theory]
    [MemberData(nameof(Augmentations))]
    public void BatchesAreBitwiseThoseOfTheDevice(Augmentation augmentation)
    {
        using var folder = new Data.TempFolder();
        const int header = 100;
        File.WriteAllBytes(folder.At("pixels"), [.. new byte[header], .. Set.Pixels.AsSpan(0, (int)Set.Pixels.Length)]);
        using var mapped = PixelBuffer.Map(folder.At("pixels"), header, Set.Pixels.Length);
        using var device = OnDevice();
        using var streaming = Streaming(set: new ImageSet("mapped", mapped, Images, 3, Side, Side, Set.Labels, Set.ClassNames));
        var order = new PipelineOrder(7, Images, 8);
        for (var epoch = 0; epoch < 2; epoch++)
        {
            var indices = order.Epoch(epoch);
            using var expected = device.Pass(order.Batches(indices));
            using var found = streaming.Pass(order.Batches(indices));
            for (var step = 0; step < order.Steps; step++)
            {
                using var scope = new TensorScope();
                CounterRandom Random() => new(7, DrawStream.Augment, epoch, step);
                var (x, y) = expected.Next(augmentation, Random());
                var (u, v) = found.Next(augmentation, Random());
                Assert.Equal(step == order.Steps - 1 ? 5 : 8, x.Size(0));
                Assert.Equal(x.Shape, u.Shape);
                Assert.Equal(x.Strides, u.Strides);
                Assert.Equal(Bits(x), Bits(u));
                Assert.Equal(y.ToArray<long>(), v.ToArray<long>());
                // and both are what the examples give by themselves, in any order
                Assert.Equal(Bits(x), Bits(streaming.Take(order.Step(indices, step), augmentation, Random()).Images));
            }
            Assert.Throws<InvalidOperationException>(() => found.Next());
            Assert.Throws<InvalidOperationException>(() => expected.Next());
        }
    }

    [Fact]
    public void APassFromTheMiddleOfAnEpochGivesTheRest()
    {
        using var scope = new TensorScope();
        using var streaming = Streaming();
        var order = new PipelineOrder(1, Images, 10);
        var indices = order.Epoch(4);
        using var pass = streaming.Pass(order.Batches(indices, 2));
        for (var step = 2; step < order.Steps; step++) Assert.Equal(order.Step(indices, step).ToArray().Select(i => (long)Set.Labels[i]), pass.Next().Labels.ToArray<long>());
        Assert.Equal(3, new PipelineOrder(1, Images, 10, DropLast: true).Batches(indices).Count());
        Assert.Equal(Enumerable.Range(0, Images).Select(i => (long)i), PipelineOrder.InTurn(Images, 10).SelectMany(b => b.ToArray()));
    }

    /// <summary>Waits until a count stops at its bound; gives it a moment to go beyond.</summary>
    private static int Settle(Func<int> count, int bound)
    {
        SpinWait.SpinUntil(() => count() >= bound, TimeSpan.FromSeconds(20));
        Thread.Sleep(100);
        return count();
    }

    /// <summary>Nobody takes: the thread reads the batches that wait, and one in hand, and no image more.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void PrefetchingIsBounded(int depth)
    {
        const int batch = 2;
        var read = 0;
        using var streaming = Streaming(depth, (i, target) =>
        {
            Set.Image(i).CopyTo(target);
            Interlocked.Increment(ref read);
        });
        using var pass = streaming.Pass(new PipelineOrder(0, Images, batch).Batches(new PipelineOrder(0, Images, batch).Epoch(0)));
        using var scope = new TensorScope();
        for (var taken = 1; taken <= 3; taken++)
        {
            pass.Next();
            var bound = (taken + depth + 1) * batch;
            Assert.Equal(bound, Settle(() => Volatile.Read(ref read), bound));
        }
    }

    [Fact]
    public void APassDisposedInTheMiddleEndsItsThreadAndReadsNoMore()
    {
        var (read, threads) = (0, new HashSet<Thread>());
        using var streaming = Streaming(2, (i, target) =>
        {
            Set.Image(i).CopyTo(target);
            lock (threads) threads.Add(Thread.CurrentThread);
            Interlocked.Increment(ref read);
        });
        var order = new PipelineOrder(0, Images, 2);
        // never started, started, and abandoned while its thread waits for room
        foreach (var taken in new[] { 0, 1, 4 })
        {
            using var scope = new TensorScope();
            using var pass = streaming.Pass(order.Batches(order.Epoch(0)));
            for (var i = 0; i < taken; i++) pass.Next();
            pass.Dispose();
            var after = read;
            Thread.Sleep(50);
            Assert.Equal(after, read);
        }
        Assert.Equal(2, threads.Count);
        Assert.DoesNotContain(Thread.CurrentThread, threads);
        Assert.All(threads, t => Assert.False(t.IsAlive));
    }

    private sealed class Item(Action disposed) : IDisposable
    {
        public void Dispose() => disposed();
    }

    /// <summary>Every item is disposed exactly once, by the taker or by the prefetcher, wherever it stops.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(20)]
    public void NothingPreparedIsLost(int taken)
    {
        var (made, disposed) = (0, 0);
        IEnumerable<Item> Items()
        {
            for (; made < 20; made++) yield return new Item(() => Interlocked.Increment(ref disposed));
        }
        using (var prefetcher = new Prefetcher<Item>(Items(), 4, "test"))
        {
            for (var i = 0; i < taken; i++)
            {
                Assert.True(prefetcher.TryNext(out var item));
                item.Dispose();
            }
            if (taken == 20) Assert.False(prefetcher.TryNext(out _));
        }
        // an item in the making when the end came is counted as not made by the loop, but was handed out
        Assert.InRange(disposed, made, made + 1);
        Assert.InRange(disposed, taken, Math.Min(20, taken + 5));
    }

    [Fact]
    public void AnErrorReachesTheTakerAndNamesTheImage()
    {
        using var scope = new TensorScope();
        using var streaming = Streaming(3, (i, target) =>
        {
            if (i == 21) throw new IOException("the disk is gone");
            Set.Image(i).CopyTo(target);
        });
        using var pass = streaming.Pass(PipelineOrder.InTurn(Images, 5));
        // the batches before it arrive
        for (var i = 0; i < 4; i++) pass.Next();
        var error = Assert.Throws<GMixInputException>(() => pass.Next());
        Assert.Equal("random: image 21 cannot be read: the disk is gone", error.Message);
        Assert.IsType<IOException>(error.InnerException);
        Assert.Throws<GMixInputException>(() => streaming.Take([21]));
    }

    [Fact]
    public void ADamagedFileIsNamedAsItsReaderNamesIt()
    {
        using var scope = new TensorScope();
        using var streaming = Streaming(3, (_, _) => throw new DataFormatException("photos/cat/7.jpg", 12, "is cut short"));
        using var pass = streaming.Pass(PipelineOrder.InTurn(Images, 5));
        var error = Assert.Throws<DataFormatException>(() => pass.Next());
        Assert.Contains("photos/cat/7.jpg", error.Message);
    }

    [Fact]
    public void AnIndexOutsideTheSetIsAnError()
    {
        using var scope = new TensorScope();
        using var streaming = Streaming();
        using var pass = streaming.Pass([new long[] { 0, Images }]);
        Assert.Contains($"image {Images}", Assert.Throws<GMixInputException>(() => pass.Next()).Message);
    }

    [Fact]
    public void TheSizeDecidesUnlessStreamingIsAskedFor()
    {
        using var small = Pipeline.Open(Set, Norm, DType.Float32, Device.Cpu, true);
        Assert.IsType<OnDevicePipeline>(small);
        using var asked = Pipeline.Open(Set, Norm, DType.Float32, Device.Cpu, true, stream: true);
        Assert.IsType<StreamingPipeline>(asked);
    }

    /// <summary>A set above 2 GiB, in a file with a hole: nothing is read but what a batch needs, from beyond the limit of an int too.</summary>
    [Fact]
    public void ASetAboveTwoGibibytesStreams()
    {
        using var folder = new Data.TempFolder();
        const int side = 1024, count = 700;
        const long bytes = (long)count * 3 * side * side;
        Assert.True(bytes > Pipeline.OnDeviceLimit);
        using (var file = File.Create(folder.At("large")))
        {
            file.SetLength(bytes);
            file.Position = bytes - 1;
            file.WriteByte(255);
        }
        using var pixels = PixelBuffer.Map(folder.At("large"), 0, bytes);
        var set = new ImageSet("large", pixels, count, 3, side, side, new int[count], ["a"]);
        using var pipeline = Pipeline.Open(set, new Normalization([0, 0, 0], [1, 1, 1]), DType.Float32, Device.Cpu, false);
        Assert.IsType<StreamingPipeline>(pipeline);
        using var scope = new TensorScope();
        using var pass = pipeline.Pass([new long[] { count - 1, 0 }]);
        var sums = pass.Next().Images.Sum([1, 2, 3]).ToDoubles();
        Assert.Equal([1, 0], sums.Select(s => Math.Round(s, 6)));
        Assert.Throws<GMixInputException>(() => new OnDevicePipeline(set, Norm, DType.Float32, Device.Cpu, false));
    }
}
