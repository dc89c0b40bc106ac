using GMix.Draws;
using GMix.Methods;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>What mixes do to images and labels.</summary>
public class MixTests
{
    private static readonly CounterRandom random = new(11, DrawStream.Diagnostics);

    private sealed class NoScorer : IScorer
    {
        public Tensor Score(VicinalBatch batch) => throw new InvalidOperationException("nothing is to be scored");
    }

    /// <summary>Scores each example by the mean of its pixels.</summary>
    private sealed class Brightness : IScorer
    {
        public Tensor Score(VicinalBatch batch) => batch.Inputs.Mean([1, 2, 3]);
    }

    [Fact]
    public void CutMix_pastes_a_box_and_weights_labels_by_pixels() => Property.Holds(s =>
    {
        using var lab = new Lab(s);
        var draw = new CutMix(s.Alpha, 1).Draw(new CounterRandom(s.Seed, DrawStream.Mix), s.Count, Lab.Side, Lab.Side);
        var mixed = new CutMix(s.Alpha, 1).Apply(lab.Batch, draw, new NoScorer());
        var (box, own, out_) = (draw.Box!.Value, lab.Batch.Images.ToDoubles(), mixed.Inputs.ToDoubles());
        var kept = 0;
        for (var i = 0; i < s.Count; i++)
            for (var p = 0; p < 3 * Lab.Side * Lab.Side; p++)
            {
                var (y, x) = (p / Lab.Side % Lab.Side, p % Lab.Side);
                var inside = y >= box.Top && y < box.Bottom && x >= box.Left && x < box.Right;
                var from = inside ? (int)draw.Permutation![i] : i;
                Assert.Equal(own[from * 3 * Lab.Side * Lab.Side + p], out_[i * 3 * Lab.Side * Lab.Side + p]);
                if (i == 0 && p < Lab.Side * Lab.Side && !inside) kept++;
            }
        Assert.All(mixed.Targets.Lambda!.ToDoubles(), l => Assert.Equal(kept / (double)(Lab.Side * Lab.Side), l, 1e-15));
        Assert.Equal(draw.Lambda, mixed.Targets.Lambda!.ToDoubles()[0], 1e-15);
    }, 40, ["mlp"]);

    [Fact]
    public void CutMix_mixes_as_often_as_asked()
    {
        Assert.Null(new CutMix(1, 0).Draw(random, 4, 8, 8).Permutation);
        Assert.Null(new CutMix(0, 1).Draw(random, 4, 8, 8).Permutation);
        var mixed = Enumerable.Range(0, 2000).Count(t => new CutMix(1, 0.5).Draw(new CounterRandom(3, DrawStream.Mix, 0, t), 4, 8, 8).Permutation is not null);
        Assert.InRange(mixed, 900, 1100);
    }

    [Fact]
    public void CutMix_draws_its_box_as_published()
    {
        var sides = new HashSet<int>();
        for (var t = 0; t < 300; t++)
        {
            var draw = new CutMix(1, 1).Draw(new CounterRandom(9, DrawStream.Mix, 0, t), 4, 32, 24);
            var stream = new CounterRandom(9, DrawStream.Mix, 0, t);
            stream.NextDouble();
            var ratio = Math.Sqrt(1 - stream.NextBeta(1, 1));
            var (y, x) = (stream.NextInt(32), stream.NextInt(24));
            var (high, wide) = ((int)Math.Truncate(32 * ratio) / 2, (int)Math.Truncate(24 * ratio) / 2);
            Assert.Equal(new Rectangle(Math.Max(0, y - high), Math.Min(32, y + high), Math.Max(0, x - wide), Math.Min(24, x + wide)), draw.Box);
            Assert.Equal(1 - draw.Box!.Value.Area / (32.0 * 24), draw.Lambda, 1e-15);
            sides.Add(draw.Box.Value.Bottom - draw.Box.Value.Top);
        }
        Assert.True(sides.Count > 20);
    }

    [Fact]
    public void CutMix_with_an_empty_box_changes_nothing()
    {
        using var lab = new Lab();
        var mixed = new CutMix().Apply(lab.Batch, new Draw { Permutation = [8, 7, 6, 5, 4, 3, 2, 1, 0], Box = new Rectangle(3, 3, 5, 5) }, new NoScorer());
        Close.Bitwise(lab.Batch.Images, mixed.Inputs);
        Assert.All(mixed.Targets.Lambda!.ToDoubles(), l => Assert.Equal(1, l));
    }

    [Fact]
    public void CutMix_refuses_a_box_beyond_the_image()
    {
        using var lab = new Lab();
        Assert.Throws<ArgumentException>(() => new CutMix().Apply(lab.Batch, new Draw { Permutation = [0, 1, 2, 3, 4, 5, 6, 7, 8], Box = new Rectangle(0, 9, 0, 4) }, new NoScorer()));
    }

    [Fact]
    public void Mixup_per_sample_and_folded()
    {
        var draw = new Mixup(0.3, PerSample: true, Fold: true).Draw(random, 50, 8, 8);
        Assert.Equal(50, draw.Lambdas!.Length);
        Assert.All(draw.Lambdas, l => Assert.InRange(l, 0.5, 1));
        Assert.True(draw.Lambdas.Distinct().Count() > 40);
        using var lab = new Lab(count: 50);
        var mixed = new Mixup(0.3, true, true).Apply(lab.Batch, draw, new NoScorer());
        Close.Equal(draw.Lambdas, mixed.Targets.Lambda!.ToDoubles(), 1e-15);
        var partner = lab.Batch.Images.Rows(Tensor.From(draw.Permutation!, 50));
        for (var i = 0; i < 50; i++) Close.Equal((lab.Batch.Images.Select(0, i) * draw.Lambdas[i] + partner.Select(0, i) * (1 - draw.Lambdas[i])), mixed.Inputs.Select(0, i), 1e-14);
    }

    [Fact]
    public void Mixup_draws_the_moments_of_its_Beta()
    {
        foreach (var alpha in (double[])[0.2, 1, 2])
        {
            var lambdas = Enumerable.Range(0, 20000).Select(t => new Mixup(alpha).Draw(new CounterRandom(5, DrawStream.Mix, 0, t), 1, 8, 8).Lambda).ToArray();
            Assert.Equal(0.5, lambdas.Average(), 0.015);
            Assert.Equal(1 / (4 * (2 * alpha + 1)), lambdas.Average(l => (l - 0.5) * (l - 0.5)), 0.006);
        }
    }

    [Fact]
    public void Manifold_Mixup_mixes_the_chosen_stage_only()
    {
        using var lab = new Lab("wrn-10-1");
        var draw = new Draw { Lambda = 0.3, Permutation = [1, 2, 0, 4, 5, 3, 8, 6, 7], Stage = 2 };
        var batch = new ManifoldMixup().Apply(lab.Batch, draw, new NoScorer());
        var h = Tensor.From(Enumerable.Range(0, 18).Select(i => (double)i).ToArray(), 9, 2);
        Close.Bitwise(h, batch.AtStage!(1, h));
        Close.Equal(h * 0.3 + h.Rows(Tensor.From(draw.Permutation, 9)) * 0.7, batch.AtStage(2, h), 1e-15);
        Assert.Equal(lab.Batch.Labels.Rows(Tensor.From(draw.Permutation, 9)).ToArray<long>(), batch.Targets.B!.ToArray<long>());
        // the whole network sees it: losses differ from those without mixing and from those of another stage
        var losses = lab.Step(Lab.Of(new ManifoldMixup(), new NoPerturb(), new All()), draw).LossesAtW;
        Assert.True(Close.Error(lab.Step(Lab.Of(new ManifoldMixup(), new NoPerturb(), new All()), draw with { Stage = 1 }).LossesAtW, losses) > 1e-3);
    }

    [Fact]
    public void Manifold_Mixup_refuses_a_stage_that_the_network_lacks()
    {
        using var lab = new Lab("mlp");
        var method = MethodCatalog.Get("manifold", new MethodOptions { Layers = [3] });
        Assert.Equal("--layers 3: Mlp has stages 0 to 2 only, so Manifold Mixup cannot mix there", Assert.Throws<GMixInputException>(() => lab.Step(method)).Message);
    }

    [Fact]
    public void MaxUp_takes_the_worst_copy_of_each_example_and_the_first_on_ties()
    {
        // brightness is the loss: three copies of four one-pixel images
        var copies = Tensor.From([1.0, 5, 2, 7, 3, 5, 2, 1, 3, 4, 9, 7], 3, 4, 1, 1, 1);
        var batch = new Batch(copies.Select(0, 0), Tensor.From([0L, 1, 2, 3], 4));
        var worst = new MaxUp(3).Apply(batch, new Draw { Copies = copies }, new Brightness());
        Assert.Equal([1L, 0, 2, 0], worst.Found["worst"].ToArray<long>());
        Assert.Equal([3.0, 5, 9, 7], worst.Inputs.ToDoubles());
        Assert.False(worst.Targets.Mixed);
    }

    [Fact]
    public void MaxUp_takes_labels_with_their_copies()
    {
        using var lab = new Lab(count: 8);
        var max = new MaxUp(5, new CutMix(1, 0.5));
        var draw = max.Draw(new CounterRandom(7, DrawStream.Mix), 8, Lab.Side, Lab.Side);
        Assert.Contains(draw.More, d => d.Permutation is null);
        Assert.Contains(draw.More, d => d.Permutation is not null);
        var mixed = max.Apply(lab.Batch, draw, new Brightness());
        var worst = mixed.Found["worst"].ToArray<long>();
        for (var i = 0; i < 8; i++)
        {
            var one = draw.More[(int)worst[i]];
            Assert.Equal(one.Lambda, mixed.Targets.Lambda!.ToDoubles()[i], 1e-15);
            Assert.Equal(lab.Batch.Labels.ToArray<long>()[one.Permutation?[i] ?? i], mixed.Targets.B!.ToArray<long>()[i]);
            Close.Bitwise(max.Maker.Apply(lab.Batch, one, new NoScorer()).Inputs.Select(0, i), mixed.Inputs.Select(0, i));
        }
    }

    [Fact]
    public void MaxUps_loss_grows_with_its_copies_and_is_above_their_mean() => Property.Holds(s =>
    {
        using var lab = new Lab(s);
        var noise = new GaussianNoise(0.5);
        var draw = new MaxUp(6, noise).Draw(new CounterRandom(s.Seed, DrawStream.Mix), s.Count, Lab.Side, Lab.Side);
        var last = double.NegativeInfinity;
        for (var m = 1; m <= 6; m++)
        {
            var result = lab.Step(Lab.Of(new MaxUp(m, noise), new NoPerturb(), new All()), draw with { More = [.. draw.More.Take(m)] });
            var losses = result.Batch.Found["loss_copies"];
            var max = losses.ToDoubles().Chunk(s.Count).Aggregate((a, b) => [.. a.Zip(b, Math.Max)]).Average();
            Assert.True(max >= last && max >= losses.Mean().Item() - 1e-12);
            last = max;
            // with one copy it is training on that copy
            if (m == 1) Close.Bitwise(lab.Step(Lab.Of(noise, new NoPerturb(), new All()), draw.More[0]).Direction, result.Direction);
        }
    }, 8);

    [Fact]
    public void CropFlip_takes_windows_of_the_padded_image()
    {
        using var lab = new Lab(count: 30);
        var crop = new CropFlip(2);
        var draw = crop.Draw(random, 30, Lab.Side, Lab.Side);
        var windows = crop.Apply(lab.Batch, draw, new NoScorer()).Inputs;
        var padded = lab.Batch.Images.Pad([2, 2, 2, 2]);
        var (mirrored, offsets) = (0, new HashSet<(int, int)>());
        for (var i = 0; i < 30; i++)
        {
            var found = Enumerable.Range(0, 50).Select(k => (Flip: k >= 25, Top: k % 25 / 5, Left: k % 5))
                .Where(k => Lab.Bits(Window(padded, i, k.Top, k.Left, k.Flip)).AsSpan().SequenceEqual(Lab.Bits(windows.Select(0, i)))).ToArray();
            var one = Assert.Single(found);
            mirrored += one.Flip ? 1 : 0;
            offsets.Add((one.Top, one.Left));
        }
        Assert.InRange(mirrored, 5, 25);
        Assert.True(offsets.Count > 8);
        Close.Bitwise(lab.Batch.Images, new CropFlip(0, false).Apply(lab.Batch, draw, new NoScorer()).Inputs);

        static Tensor Window(Tensor padded, int i, int top, int left, bool flip)
        {
            var window = padded.Select(0, i).Narrow(1, top, Lab.Side).Narrow(2, left, Lab.Side);
            return flip ? window.Flip(2) : window.Contiguous();
        }
    }

    [Fact]
    public void Gaussian_noise_has_its_deviation_and_follows_its_seed()
    {
        using var lab = new Lab(count: 40);
        var noise = new GaussianNoise(0.3);
        var (a, b) = (new Draw { Seed = 1 }, new Draw { Seed = 2 });
        var added = noise.Apply(lab.Batch, a, new NoScorer()).Inputs - lab.Batch.Images;
        Assert.Equal(0.3, added.Norm().Item() / Math.Sqrt(added.Count), 0.01);
        Close.Bitwise(noise.Apply(lab.Batch, a, new NoScorer()).Inputs, noise.Apply(lab.Batch, a, new NoScorer()).Inputs);
        Assert.True(Close.Error(noise.Apply(lab.Batch, b, new NoScorer()).Inputs, noise.Apply(lab.Batch, a, new NoScorer()).Inputs) > 0.01);
    }
}
