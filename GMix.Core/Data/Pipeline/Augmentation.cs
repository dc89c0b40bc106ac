namespace GMix.Data;

/// <summary>What fills the border that a crop may reach.</summary>
public enum PadMode { Zero, Reflect }

/// <summary>
/// Random changes of training images, in this order: crop from a padded image, horizontal flip (both on pixels), then after normalisation cutout
/// and random erasing. Zero padding is black, as image libraries pad.
/// </summary>
/// <param name="Pad">Pixels of padding on each side; 0 for no crop.</param>
/// <param name="Flip">Whether half of the images are mirrored.</param>
/// <param name="Mode">What the padding holds.</param>
/// <param name="Cutout">Side of a square set to the mean, centred anywhere in the image (DeVries and Taylor 2017); 0 for none.</param>
/// <param name="Erasing">Probability that a rectangle of 2 % to 33 % of the area is set to the mean (Zhong et al. 2020); 0 for none.</param>
public sealed record Augmentation(int Pad = 0, bool Flip = false, PadMode Mode = PadMode.Zero, int Cutout = 0, double Erasing = 0)
{
    /// <summary>Images as they are.</summary>
    public static Augmentation None { get; } = new();

    /// <summary>Whether anything is changed.</summary>
    public bool Any => Pad > 0 || Flip || Cutout > 0 || Erasing > 0;

    /// <summary>Refuses values out of their ranges.</summary>
    /// <exception cref="GMixInputException">One is; the message names its flag.</exception>
    public void Check()
    {
        if (Pad < 0) throw new GMixInputException($"a crop's padding of {Pad} pixels: must be at least 0");
        if (Cutout < 0) throw new GMixInputException($"--cutout {Cutout}: must be at least 0 (0 means none)");
        if (!(Erasing is >= 0 and <= 1)) throw new GMixInputException($"--erasing {Erasing:R}: a probability, from 0 to 1");
    }

    /// <summary>The standard augmentation of a data set: see methods' data section; SVHN has none.</summary>
    public static Augmentation StandardOf(DatasetInfo info) => new(info.Augmentation.Pad, info.Augmentation.Flip);

    /// <inheritdoc/>
    public override string ToString()
    {
        if (!Any) return "none";
        var parts = new List<string>();
        if (Pad > 0) parts.Add($"crop({Pad}, {(Mode == PadMode.Zero ? "zero" : "reflect")})");
        if (Flip) parts.Add("flip");
        if (Cutout > 0) parts.Add($"cutout({Cutout})");
        if (Erasing > 0) parts.Add($"erasing({Erasing:R})");
        return string.Join(" + ", parts);
    }
}
