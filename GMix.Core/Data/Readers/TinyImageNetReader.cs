namespace GMix.Data;

/// <summary>
/// Tiny-ImageNet-200: folder <c>tiny-imagenet-200</c> with JPEGs of 64×64, training images by class folder, validation images (the test split
/// here: the official test images have no labels) by <c>val_annotations.txt</c>. The class index is the rank of the wnid in ordinal order.
/// </summary>
public static class TinyImageNetReader
{
    private const int Side = 64;
    private const int Classes = 200;

    // Official: at most a few kilobytes an image, and words.txt of 2.7 MB.
    private const long MaxImage = 1 << 20, MaxText = 16 << 20;

    /// <summary>A file that every copy holds.</summary>
    internal const string Marker = "wnids.txt";

    /// <summary>Files that are read, with the largest size accepted.</summary>
    internal static long? Wanted(string name) =>
        name is Marker or "words.txt" or "val/val_annotations.txt" ? MaxText
        : (name.StartsWith("train/", StringComparison.Ordinal) || name.StartsWith("val/images/", StringComparison.Ordinal)) && ImageCodec.IsImageName(name) ? MaxImage
        : null;

    /// <summary>Reads both splits: uint8 [N, 3, 64, 64], labels 0 to 199; grey images get three equal planes.</summary>
    /// <exception cref="DataFormatException">A file is missing or damaged, or an annotation names an unknown class.</exception>
    public static (ImageSet Train, ImageSet Test) Read(DataFolder folder)
    {
        string[] wnids = folder.Length(Marker) is null
            ? throw new DataFormatException(folder.Describe(Marker), -1, "the file is missing; extract the official archive again")
            : folder.ReadLines(Marker, MaxText);
        Array.Sort(wnids, string.CompareOrdinal);
        if (wnids.Length != Classes || wnids.Distinct(StringComparer.Ordinal).Count() != Classes)
        {
            throw new DataFormatException(folder.Describe(Marker), -1, $"the file names {wnids.Distinct().Count()} classes in {wnids.Length} lines, not {Classes}");
        }
        IReadOnlyList<string> names = ClassNames(folder, wnids);
        (List<string> files, List<int> labels) = (new(100_000), new(100_000));
        for (int k = 0; k < Classes; k++)
        {
            string place = $"train/{wnids[k]}/images";
            string[] images = folder.Files(place).Where(ImageCodec.IsImageName).ToArray();
            if (images.Length == 0)
            {
                throw new DataFormatException(folder.Describe(place), -1, "the folder is missing or holds no JPEG; extract the official archive again");
            }
            files.AddRange(images);
            labels.AddRange(Enumerable.Repeat(k, images.Length));
        }
        (List<string> valFiles, List<int> valLabels) = ReadAnnotations(folder, wnids);
        return (EncodedImages.Decode(folder, files, [.. labels], "tiny-imagenet train", names, Side, Side, false, "", DecodedCache.DefaultDirectory),
                EncodedImages.Decode(folder, valFiles, [.. valLabels], "tiny-imagenet val", names, Side, Side, false, "", DecodedCache.DefaultDirectory));
    }

    private static IReadOnlyList<string> ClassNames(DataFolder folder, string[] wnids)
    {
        if (folder.Length("words.txt") is null)
        {
            return wnids;
        }
        Dictionary<string, string> words = new(StringComparer.Ordinal);
        foreach (string line in folder.ReadLines("words.txt", MaxText))
        {
            int tab = line.IndexOf('\t');
            if (tab > 0)
            {
                // "goldfish, Carassius auratus": the first name is enough in a table.
                words[line[..tab]] = line[(tab + 1)..].Split(',')[0].Trim();
            }
        }
        return Array.ConvertAll(wnids, w => words.GetValueOrDefault(w, w));
    }

    private static (List<string> Files, List<int> Labels) ReadAnnotations(DataFolder folder, string[] wnids)
    {
        const string Annotations = "val/val_annotations.txt";
        string where = folder.Describe(Annotations);
        if (folder.Length(Annotations) is null)
        {
            throw new DataFormatException(where, -1, "the file is missing; extract the official archive again");
        }
        ReadOnlySpan<byte> text = folder.ReadAll(Annotations, MaxText);
        (List<string> files, List<int> labels) = ([], []);
        long offset = 0;
        while (text.Length > 0)
        {
            int end = text.IndexOf((byte)'\n');
            string line = System.Text.Encoding.UTF8.GetString(end < 0 ? text : text[..end]).TrimEnd('\r');
            if (line.Length > 0)
            {
                string[] cells = line.Split('\t');
                int label = cells.Length < 2 ? -1 : Array.BinarySearch(wnids, cells[1], StringComparer.Ordinal);
                // The name comes from a file: it must not point anywhere else.
                if (label < 0 || cells[0].Length == 0 || cells[0].Contains('/') || cells[0].Contains('\\') || cells[0].Contains('\0'))
                {
                    throw new DataFormatException(where, offset, $"line {files.Count + 1} does not give an image name and one of the {Classes} wnids, separated by a tab");
                }
                files.Add("val/images/" + cells[0]);
                labels.Add(label);
            }
            int step = end < 0 ? text.Length : end + 1;
            text = text[step..];
            offset += step;
        }
        return files.Count > 0 ? (files, labels) : throw new DataFormatException(where, 0, "the file names no images");
    }
}
