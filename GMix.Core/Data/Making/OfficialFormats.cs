using System.Globalization;
using System.Text;

namespace GMix.Data;

/// <summary>
/// Small synthetic sets in the official formats, byte layouts and file names included: for trying a pipeline without a download, and for
/// tests. Class k shows synthetic shape k mod 10, tinted by ⌊k/10⌋. A file <c>SYNTHETIC.txt</c> in the folder says that the data is made.
/// </summary>
public static class OfficialFormats
{
    /// <summary>The file that marks a made set.</summary>
    public const string SyntheticMarker = "SYNTHETIC.txt";

    /// <summary>Whether a folder or archive holds a set made by <see cref="Write"/>.</summary>
    internal static bool IsSynthetic(DataFolder folder) => folder.Length(SyntheticMarker) is not null;

    /// <summary>Writes a set into <paramref name="folder"/>, which must exist and be empty.</summary>
    /// <param name="info">A data set with official files.</param>
    /// <param name="folder">Where the files go.</param>
    /// <param name="trainPerClass">Training images of each class, at least 1.</param>
    /// <param name="testPerClass">Test images of each class, at least 1.</param>
    /// <param name="seed">Seed of the images.</param>
    public static void Write(DatasetInfo info, string folder, int trainPerClass, int testPerClass, ulong seed)
    {
        if (trainPerClass is < 1 or > 5000 || testPerClass is < 1 or > 5000)
        {
            throw new GMixInputException($"{trainPerClass} and {testPerClass} images per class asked for; 1 to 5000 can be made");
        }
        Source train = new(info, trainPerClass, SplitMix64.Mix(seed, 1)), test = new(info, testPerClass, SplitMix64.Mix(seed, 2));
        switch (info.Name)
        {
            case "cifar10":
                WriteCifar10(folder, train, test);
                break;
            case "cifar100":
                WriteCifar100(folder, train, test);
                break;
            case "svhn":
                WriteSvhn(Path.Combine(folder, "train_32x32.mat"), train);
                WriteSvhn(Path.Combine(folder, "test_32x32.mat"), test);
                break;
            case "stl10":
                WriteStl10(folder, train, test);
                break;
            case "tiny-imagenet":
                WriteTiny(folder, train, test);
                break;
            default:
                throw new GMixInputException($"{info.Name} has no official format to make; use cifar10, cifar100, svhn, stl10 or tiny-imagenet");
        }
        File.WriteAllText(Path.Combine(folder, SyntheticMarker),
            FormattableString.Invariant($"Synthetic images in the format of {info.Title}, made by gmix data make: {train.Count} train, {test.Count} test, seed {seed}.\n"));
    }

    /// <summary>Images in a shuffled order that depends on the seed only; drawn when asked for.</summary>
    private sealed class Source
    {
        private readonly int _side;
        private readonly ulong _seed;
        private readonly int[] _order;
        private readonly int _classes;

        public Source(DatasetInfo info, int perClass, ulong seed)
        {
            (_side, _seed, _classes) = (info.Height, seed, info.ClassCount);
            _order = [.. Enumerable.Range(0, perClass * info.ClassCount)];
            new SplitMix64(seed).Shuffle(_order);
        }

        public int Count => _order.Length;

        public int Bytes => 3 * _side * _side;

        public int Label(int index) => _order[index] % _classes;

        public void Draw(int index, Span<byte> planes)
        {
            int label = Label(index);
            SyntheticImages.Draw(planes, _side, label % 10, SplitMix64.Mix(_seed, (ulong)_order[index]));
            if (label < 10)
            {
                return;
            }
            SplitMix64 tint = new((ulong)(label / 10));
            int plane = _side * _side;
            for (int c = 0; c < 3; c++)
            {
                int value = tint.Below(256);
                foreach (ref byte pixel in planes.Slice(c * plane, plane))
                {
                    pixel = (byte)((2 * pixel + value) / 3);
                }
            }
        }

        public byte[] Image(int index)
        {
            byte[] planes = new byte[Bytes];
            Draw(index, planes);
            return planes;
        }
    }

    private static void WriteRecords(string path, Source source, int from, int to, Action<Stream, int> labels)
    {
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write);
        for (int i = from; i < to; i++)
        {
            labels(file, source.Label(i));
            file.Write(source.Image(i));
        }
    }

    private static void WriteCifar10(string folder, Source train, Source test)
    {
        static void Label(Stream file, int label) => file.WriteByte((byte)label);
        for (int batch = 0; batch < 5; batch++)
        {
            // With fewer than 5 images a batch would be empty, which no CIFAR file is; 10 classes rule that out.
            WriteRecords(Path.Combine(folder, $"data_batch_{batch + 1}.bin"), train, train.Count * batch / 5, train.Count * (batch + 1) / 5, Label);
        }
        WriteRecords(Path.Combine(folder, "test_batch.bin"), test, 0, test.Count, Label);
        File.WriteAllText(Path.Combine(folder, "batches.meta.txt"), string.Join('\n', SyntheticImages.ClassNames) + "\n\n");
    }

    private static void WriteCifar100(string folder, Source train, Source test)
    {
        static void Labels(Stream file, int fine)
        {
            file.WriteByte((byte)(fine / 5));
            file.WriteByte((byte)fine);
        }

        WriteRecords(Path.Combine(folder, "train.bin"), train, 0, train.Count, Labels);
        WriteRecords(Path.Combine(folder, "test.bin"), test, 0, test.Count, Labels);
        File.WriteAllLines(Path.Combine(folder, "fine_label_names.txt"), Names("fine", 100));
        File.WriteAllLines(Path.Combine(folder, "coarse_label_names.txt"), Names("coarse", 20));
    }

    private static void WriteSvhn(string path, Source source)
    {
        byte[] pixels = new byte[source.Count * source.Bytes];
        byte[] labels = new byte[source.Count];
        for (int i = 0; i < source.Count; i++)
        {
            Planes.Transpose(source.Image(i), pixels.AsSpan(i * source.Bytes, source.Bytes), 32);
            labels[i] = (byte)(source.Label(i) == 0 ? 10 : source.Label(i));
        }
        // As MATLAB saves them: y has class double (6), but its small whole numbers are stored as uint8 (2).
        MatFile5Writer.Write(path,
            new MatVariable("X", 9, [32, 32, 3, source.Count], 2, pixels),
            new MatVariable("y", 6, [source.Count, 1], 2, labels));
    }

    private static void WriteStl10(string folder, Source train, Source test)
    {
        foreach ((string part, Source source) in (ReadOnlySpan<(string, Source)>)[("train", train), ("test", test)])
        {
            WriteColumns(Path.Combine(folder, part + "_X.bin"), source, source.Count);
            File.WriteAllBytes(Path.Combine(folder, part + "_y.bin"), [.. Enumerable.Range(0, source.Count).Select(i => (byte)(source.Label(i) + 1))]);
        }
        WriteColumns(Path.Combine(folder, "unlabeled_X.bin"), test, Math.Min(10, test.Count));
        File.WriteAllLines(Path.Combine(folder, "class_names.txt"), SyntheticImages.ClassNames);
    }

    private static void WriteColumns(string path, Source source, int count)
    {
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write);
        byte[] columns = new byte[source.Bytes];
        for (int i = 0; i < count; i++)
        {
            Planes.Transpose(source.Image(i), columns, 96);
            file.Write(columns);
        }
    }

    private static void WriteTiny(string folder, Source train, Source test)
    {
        string[] wnids = [.. Enumerable.Range(0, 200).Select(k => FormattableString.Invariant($"n{90000000 + 37 * k}"))];
        // The official list is not sorted, and a reader that relies on its order would get classes wrong.
        int[] order = [.. Enumerable.Range(0, 200)];
        new SplitMix64(7).Shuffle(order);
        File.WriteAllLines(Path.Combine(folder, "wnids.txt"), order.Select(k => wnids[k]));
        File.WriteAllLines(Path.Combine(folder, "words.txt"), wnids.Zip(Names("thing", 200), (w, n) => $"{w}\t{n}, synthetic"));
        int[] numbers = new int[200];
        StringBuilder[] boxes = [.. wnids.Select(_ => new StringBuilder())];
        foreach (string wnid in wnids)
        {
            Directory.CreateDirectory(Path.Combine(folder, "train", wnid, "images"));
        }
        for (int i = 0; i < train.Count; i++)
        {
            int k = train.Label(i);
            string name = FormattableString.Invariant($"{wnids[k]}_{numbers[k]++}.JPEG");
            File.WriteAllBytes(Path.Combine(folder, "train", wnids[k], "images", name), Jpeg(train, i));
            boxes[k].Append(name).Append("\t0\t0\t63\t63\n");
        }
        for (int k = 0; k < 200; k++)
        {
            File.WriteAllText(Path.Combine(folder, "train", wnids[k], wnids[k] + "_boxes.txt"), boxes[k].ToString());
        }
        string val = Directory.CreateDirectory(Path.Combine(folder, "val", "images")).FullName;
        StringBuilder annotations = new();
        for (int i = 0; i < test.Count; i++)
        {
            string name = $"val_{i.ToString(CultureInfo.InvariantCulture)}.JPEG";
            File.WriteAllBytes(Path.Combine(val, name), Jpeg(test, i));
            annotations.Append(name).Append('\t').Append(wnids[test.Label(i)]).Append("\t0\t0\t63\t63\n");
        }
        File.WriteAllText(Path.Combine(folder, "val", "val_annotations.txt"), annotations.ToString());
    }

    // About one image in fifty of the official set is grey-scale with a single component.
    private static byte[] Jpeg(Source source, int index)
    {
        byte[] planes = source.Image(index);
        return index % 50 == 49 ? ImageCodec.EncodeJpeg(planes.AsSpan(0, 64 * 64), 1, 64, 64) : ImageCodec.EncodeJpeg(planes, 3, 64, 64);
    }

    private static IEnumerable<string> Names(string stem, int count) =>
        Enumerable.Range(0, count).Select(k => FormattableString.Invariant($"{stem}_{k:d3}"));
}
