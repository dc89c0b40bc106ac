using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using GMix.Data;
using Xunit;

namespace GMix.Core.Tests.Data;

public sealed class SyntheticImagesTests
{
    [Fact]
    public void The_default_set_has_these_bytes_on_every_machine()
    {
        DatasetSplits data = Datasets.Open("synthetic", null);
        Assert.Equal((2000, 1000, "synthetic"), (data.Train.Count, data.Test.Count, data.Source.Kind));
        Assert.All(data.Train.ClassCounts(), n => Assert.Equal(200, n));
        Assert.All(data.Test.ClassCounts(), n => Assert.Equal(100, n));
        Assert.Equal("7aeefff6a9e3793a", Convert.ToHexStringLower(SHA256.HashData(data.Train.Pixels.AsSpan(0, (int)data.Train.Pixels.Length)))[..16]);
        Assert.Equal(data.Normalization.Mean, Normalization.Compute(data.Train).Mean);
    }

    [Fact]
    public void Generation_takes_less_than_a_second_and_a_smaller_set_is_a_prefix()
    {
        SyntheticImages.Generate(100, 100);
        // Processor time, since other programs may hold the cores.
        TimeSpan before = Environment.CpuUsage.TotalTime;
        (ImageSet train, ImageSet test) = SyntheticImages.Generate();
        Assert.InRange((Environment.CpuUsage.TotalTime - before).TotalSeconds, 0, 1.0);
        (ImageSet few, _) = SyntheticImages.Generate(30, 10);
        Assert.True(Enumerable.Range(0, 30).All(i => few.Image(i).SequenceEqual(train.Image(i))));
        (ImageSet other, _) = SyntheticImages.Generate(30, 10, seed: 1);
        Assert.False(TestData.SameImages(few, other));
        Assert.False(train.Image(0).SequenceEqual(test.Image(0)));
    }

    [Fact]
    public void Brightness_and_colour_do_not_tell_the_class()
    {
        (ImageSet train, _) = SyntheticImages.Generate();
        Normalization all = Normalization.Compute(train);
        for (int k = 0; k < 10; k++)
        {
            Normalization one = Normalization.Compute(train.Select([.. Enumerable.Range(0, train.Count).Where(i => train.Labels[i] == k)]));
            // The mean of 200 images, each with a background of its own, strays by about 0.012; 0.05 is four of these.
            Assert.True(one.Distance(all) < 0.05, $"class {k} differs by {one.Distance(all):g3}");
        }
    }

    /// <summary>Softmax regression on standardised pixels, trained by SGD until it knows most of its training set: what a linear model can get.</summary>
    [Theory]
    [InlineData(1e-3)]
    [InlineData(1e-1)]
    public void A_linear_model_stays_under_sixty_percent(double weightDecay)
    {
        DatasetSplits data = Datasets.Open("synthetic", null);
        float[][] x = Standardise(data.Train, data.Normalization), tx = Standardise(data.Test, data.Normalization);
        const int Pixels = 3072, Classes = 10;
        float[] w = new float[Classes * Pixels];
        float[] bias = new float[Classes];
        int[] order = [.. Enumerable.Range(0, x.Length)];
        SplitMix64 random = new(3);
        float[] p = new float[Classes];
        for (int epoch = 0; epoch < 12; epoch++)
        {
            float rate = 5e-4f / (1 + epoch / 4f);
            random.Shuffle(order);
            foreach (int i in order)
            {
                Predict(w, bias, x[i], p);
                for (int k = 0; k < Classes; k++)
                {
                    float error = p[k] - (k == data.Train.Labels[i] ? 1 : 0);
                    bias[k] -= rate * error;
                    Step(w.AsSpan(k * Pixels, Pixels), x[i], rate * error, 1 - rate * (float)weightDecay);
                }
            }
        }
        double Accuracy(float[][] images, int[] labels) => Enumerable.Range(0, images.Length).Count(i =>
        {
            Predict(w, bias, images[i], p);
            return Array.IndexOf(p, p.Max()) == labels[i];
        }) * 100.0 / images.Length;

        double train = Accuracy(x, data.Train.Labels), test = Accuracy(tx, data.Test.Labels);
        TestContext.Current.SendDiagnosticMessage($"linear model: train {train:f1} %, test {test:f1} %");
        // It must have learned its training set, or the bound on the test set says nothing.
        Assert.True(train > 60, $"the regression itself did not train: {train:f1} % on its own training images");
        Assert.InRange(test, 10, 60);
    }

    private static void Predict(float[] w, float[] bias, float[] x, float[] p)
    {
        for (int k = 0; k < p.Length; k++)
        {
            p[k] = bias[k] + Dot(w.AsSpan(k * x.Length, x.Length), x);
        }
        float top = p.Max(), total = 0;
        for (int k = 0; k < p.Length; k++)
        {
            total += p[k] = MathF.Exp(p[k] - top);
        }
        for (int k = 0; k < p.Length; k++)
        {
            p[k] /= total;
        }
    }

    private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        ReadOnlySpan<Vector<float>> x = MemoryMarshal.Cast<float, Vector<float>>(a), y = MemoryMarshal.Cast<float, Vector<float>>(b);
        Vector<float> sum = Vector<float>.Zero;
        for (int i = 0; i < x.Length; i++)
        {
            sum += x[i] * y[i];
        }
        return Vector.Sum(sum);
    }

    private static void Step(Span<float> w, ReadOnlySpan<float> x, float step, float keep)
    {
        Span<Vector<float>> wide = MemoryMarshal.Cast<float, Vector<float>>(w);
        ReadOnlySpan<Vector<float>> input = MemoryMarshal.Cast<float, Vector<float>>(x);
        for (int i = 0; i < wide.Length; i++)
        {
            wide[i] = wide[i] * keep - input[i] * step;
        }
    }

    private static float[][] Standardise(ImageSet set, Normalization norm)
    {
        float[][] rows = new float[set.Count][];
        for (int i = 0; i < set.Count; i++)
        {
            ReadOnlySpan<byte> image = set.Image(i);
            rows[i] = new float[image.Length];
            for (int k = 0; k < image.Length; k++)
            {
                rows[i][k] = (float)((image[k] / 255.0 - norm.Mean[k / 1024]) / norm.Std[k / 1024]);
            }
        }
        return rows;
    }
}
