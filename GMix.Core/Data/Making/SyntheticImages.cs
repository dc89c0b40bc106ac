namespace GMix.Data;

/// <summary>
/// The embedded data set: ten classes of textured, rotated, jittered shapes on textured backgrounds with distractors and noise, 32×32 RGB,
/// generated from a seed. Class carries no information about colour, brightness, size or place: all are drawn from the same distributions
/// for every class, and all shapes have the same area, so that a linear model has little to hold on to. Flips and small shifts keep the
/// class. The same seed gives the same bytes on every machine.
/// </summary>
public static class SyntheticImages
{
    /// <summary>Training images by default, 200 of each class.</summary>
    public const int DefaultTrain = 2000;

    /// <summary>Test images by default, 100 of each class.</summary>
    public const int DefaultTest = 1000;

    /// <summary>The seed that the name <c>synthetic</c> stands for.</summary>
    public const ulong DefaultSeed = 20240917;

    private const int Side = 32;
    private const int ImageBytes = 3 * Side * Side;

    /// <summary>Class names by class index.</summary>
    public static IReadOnlyList<string> ClassNames => SyntheticShapes.Names;

    /// <summary>
    /// Both splits. Image i has class i mod 10; train and test come from separate random streams, and image i is the same whatever the counts.
    /// </summary>
    /// <param name="train">Training images, at least 1.</param>
    /// <param name="test">Test images, at least 1.</param>
    /// <param name="seed">Seed of all randomness.</param>
    public static (ImageSet Train, ImageSet Test) Generate(int train = DefaultTrain, int test = DefaultTest, ulong seed = DefaultSeed) =>
        (Split("synthetic train", train, SplitMix64.Mix(seed, 1)), Split("synthetic test", test, SplitMix64.Mix(seed, 2)));

    /// <summary>The C·H·W bytes of one image of class <paramref name="label"/>, at any side from 8.</summary>
    internal static void Draw(Span<byte> image, int side, int label, ulong seed)
    {
        SplitMix64 random = new(seed);
        double scale = side / 32.0;
        Scene scene = Scene.Draw(random, label, scale);
        int plane = side * side;
        for (int y = 0; y < side; y++)
        {
            for (int x = 0; x < side; x++)
            {
                Rgb color = scene.At(x + 0.5, y + 0.5);
                int at = y * side + x;
                image[at] = ToByte(color.R + scene.Noise * Bell(random));
                image[plane + at] = ToByte(color.G + scene.Noise * Bell(random));
                image[2 * plane + at] = ToByte(color.B + scene.Noise * Bell(random));
            }
        }
    }

    private static ImageSet Split(string name, int count, ulong seed)
    {
        if (count < 1)
        {
            throw new GMixInputException($"{name}: {count} images asked for; at least 1 is needed.");
        }
        PixelBuffer pixels = PixelBuffer.Allocate((long)count * ImageBytes);
        int[] labels = new int[count];
        Parallel.For(0, count, i =>
        {
            labels[i] = i % 10;
            Draw(pixels.Writable((long)i * ImageBytes, ImageBytes), Side, labels[i], SplitMix64.Mix(seed, (ulong)i));
        });
        return new ImageSet(name, pixels, count, 3, Side, Side, labels, SyntheticShapes.Names);
    }

    private static byte ToByte(double value) => (byte)(Math.Clamp(value, 0, 1) * 255 + 0.5);

    // Sum of three uniforms in (-1, 1): bell-shaped, deviation 1, no logarithm.
    private static double Bell(SplitMix64 random) => 2 * (random.NextDouble() + random.NextDouble() + random.NextDouble()) - 3;

    private readonly record struct Rgb(double R, double G, double B)
    {
        public double Luminance => 0.3 * R + 0.6 * G + 0.1 * B;

        public static Rgb Random(SplitMix64 random) => new(random.Between(0.08, 0.92), random.Between(0.08, 0.92), random.Between(0.08, 0.92));

        public Rgb Shift(double d) => new(R + d, G + d, B + d);

        public static Rgb Lerp(Rgb a, Rgb b, double t) => new(a.R + (b.R - a.R) * t, a.G + (b.G - a.G) * t, a.B + (b.B - a.B) * t);
    }

    /// <summary>A texture: stripes, checks, a gradient or soft blotches, as an offset of brightness around 0.</summary>
    private sealed class Texture(SplitMix64 random, double amplitude, double scale)
    {
        private readonly int _kind = random.Below(4);
        private readonly double _amplitude = amplitude * random.Between(0.3, 1);
        private readonly double _period = random.Between(3, 9) * scale;
        private readonly double _phase = random.NextDouble();
        private readonly (double C, double S) _turn = Turn(random);
        private readonly double _extent = 32 * scale;
        private readonly double[] _lattice = [.. Enumerable.Range(0, 36).Select(_ => random.Between(-1, 1))];

        public double At(double x, double y)
        {
            double u = (_turn.C * x + _turn.S * y) / _period + _phase;
            double v = (_turn.C * y - _turn.S * x) / _period + _phase;
            return _amplitude * _kind switch
            {
                0 => Wave(u),
                1 => Wave(u) * Wave(v),
                2 => (_turn.C * (x - _extent / 2) + _turn.S * (y - _extent / 2)) * 2 / _extent,
                _ => Blotch(x, y),
            };
        }

        // A triangle wave of period 1 between -1 and 1.
        private static double Wave(double u) => 4 * Math.Abs(u - Math.Floor(u) - 0.5) - 1;

        // Bilinear interpolation of a 6×6 lattice over the image.
        private double Blotch(double x, double y)
        {
            double u = Math.Clamp(x / _extent * 5, 0, 4.999), v = Math.Clamp(y / _extent * 5, 0, 4.999);
            int i = (int)u, j = (int)v;
            double a = u - i, b = v - j;
            double top = _lattice[j * 6 + i] * (1 - a) + _lattice[j * 6 + i + 1] * a;
            double bottom = _lattice[j * 6 + 6 + i] * (1 - a) + _lattice[j * 6 + 7 + i] * a;
            return top * (1 - b) + bottom * b;
        }
    }

    /// <summary>Cosine and sine of a random angle, rationally parametrised so that no trigonometric function is called.</summary>
    private static (double C, double S) Turn(SplitMix64 random)
    {
        // t = tan(angle/2) for angles within ±45°, then one of four quarter turns.
        double t = random.Between(-0.41421356237309504880, 0.41421356237309504880);
        double c = (1 - t * t) / (1 + t * t), s = 2 * t / (1 + t * t);
        return random.Below(4) switch { 0 => (c, s), 1 => (-s, c), 2 => (-c, -s), _ => (s, -c) };
    }

    private sealed record Blob(double X, double Y, double HalfWidth, double HalfHeight, double C, double S, bool Round, Rgb Color);

    private sealed class Scene
    {
        private int _shape;
        private double _x, _y, _size, _c, _s, _stretch;
        private Rgb _back, _fore;
        private Texture _backTexture = null!, _foreTexture = null!;
        private Blob[] _blobs = [];

        public double Noise { get; private set; }

        public static Scene Draw(SplitMix64 random, int label, double scale)
        {
            Scene scene = new()
            {
                _shape = label,
                _x = (16 + random.Between(-3.5, 3.5)) * scale,
                _y = (16 + random.Between(-3.5, 3.5)) * scale,
                _size = random.Between(10.5, 15.5) * scale,
                _stretch = random.Between(0.9, 1.1),
                Noise = random.Between(0.01, 0.05),
            };
            (scene._c, scene._s) = Turn(random);
            // The shape is the lighter one: with contrast of either sign a small net spends its first ten epochs on finding edges at all.
            do
            {
                scene._back = Rgb.Random(random);
                scene._fore = Rgb.Random(random);
            }
            while (scene._fore.Luminance - scene._back.Luminance < 0.22);
            scene._backTexture = new Texture(random, 0.15, scale);
            scene._foreTexture = new Texture(random, 0.15, scale);
            scene._blobs = [.. Enumerable.Range(0, random.Below(3)).Select(_ => DrawBlob(random, scale))];
            return scene;
        }

        public Rgb At(double x, double y)
        {
            Rgb color = _back.Shift(_backTexture.At(x, y));
            foreach (Blob blob in _blobs)
            {
                color = Rgb.Lerp(color, blob.Color, Coverage(BlobDistance(blob, x, y)));
            }
            double dx = (x - _x) / _size, dy = (y - _y) / _size;
            double u = (_c * dx + _s * dy) * _stretch, v = (_c * dy - _s * dx) / _stretch;
            double cover = Coverage(SyntheticShapes.Distance(_shape, u, v) * _size);
            return cover > 0 ? Rgb.Lerp(color, _fore.Shift(_foreTexture.At(x, y)), cover) : color;
        }

        // Anti-aliasing: the share of a pixel that a straight edge at this distance covers.
        private static double Coverage(double distance) => Math.Clamp(0.5 - distance, 0, 1);

        private static Blob DrawBlob(SplitMix64 random, double scale)
        {
            (double c, double s) = Turn(random);
            bool round = random.Below(2) == 0;
            double half = random.Between(1, 2.4) * scale;
            return new Blob(random.Between(0, 32) * scale, random.Between(0, 32) * scale, half,
                round ? half : half * random.Between(0.4, 2.2), c, s, round, Rgb.Random(random));
        }

        private static double BlobDistance(Blob blob, double x, double y)
        {
            double dx = x - blob.X, dy = y - blob.Y;
            if (blob.Round)
            {
                return Math.Sqrt(dx * dx + dy * dy) - blob.HalfWidth;
            }
            double u = Math.Abs(blob.C * dx + blob.S * dy) - blob.HalfWidth, v = Math.Abs(blob.C * dy - blob.S * dx) - blob.HalfHeight;
            return Math.Max(u, v);
        }
    }
}
