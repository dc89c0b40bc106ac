namespace GMix.Data;

/// <summary>
/// The ten shapes of the synthetic set as signed distances (negative inside), all of area 1, so that no class is larger than another.
/// Every shape is its own mirror image up to a rotation: flips keep the class. Only + − × ÷ and square roots are used, which IEEE 754
/// rounds the same way on every machine.
/// </summary>
internal static class SyntheticShapes
{
    /// <summary>Class names by class index.</summary>
    public static readonly string[] Names =
        ["disc", "ring", "triangle", "square", "frame", "cross", "star", "crescent", "bars", "hourglass"];

    private const double Pi = 3.14159265358979323846;

    // cos and sin of 36° and 72°, for the star.
    private const double C36 = 0.80901699437494742410, S36 = 0.58778525229247312917;
    private const double C72 = 0.30901699437494742410, S72 = 0.95105651629515357212;

    private static readonly double DiscRadius = Math.Sqrt(1 / Pi);
    private const double RingHole = 0.6;
    private static readonly double RingRadius = Math.Sqrt(1 / (Pi * (1 - RingHole * RingHole)));
    private const double FrameHole = 0.6;
    private static readonly double FrameHalf = 0.5 * Math.Sqrt(1 / (1 - FrameHole * FrameHole));
    private static readonly (double X, double Y)[] Triangle = UnitArea((0, -1), (0.86602540378443864676, 0.5), (-0.86602540378443864676, 0.5));
    private static readonly (double X, double Y)[] Cross = UnitArea(
        (-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1));

    private static readonly (double X, double Y)[] Star = UnitArea(StarPoints(0.42));

    // Two triangles that meet in a narrow waist.
    private static readonly (double X, double Y)[] Hourglass = UnitArea(
        (-1, -1.2), (1, -1.2), (0.14, 0), (1, 1.2), (-1, 1.2), (-0.14, 0));

    // Crescent: a disc less another of the same radius, moved by MoonShift radii. The lens they share has area r²(2 acos(d/2) − (d/2)√(4 − d²));
    // for d = 0.9 the arc cosine of 0.45 is 1.1040309877476002.
    private const double MoonShift = 0.9;
    private static readonly double MoonRadius = Math.Sqrt(1 / (Pi - (2 * 1.1040309877476002 - 0.45 * Math.Sqrt(4 - MoonShift * MoonShift))));

    // Two parallel bars, each of area 1/2, apart by 0.8 of their width.
    private static readonly double BarWidth = Math.Sqrt(0.5 / 2.6);

    /// <summary>Signed distance of a point from a shape's edge, in units of the square root of its area.</summary>
    public static double Distance(int shape, double x, double y) => shape switch
    {
        0 => Length(x, y) - DiscRadius,
        1 => Math.Abs(Length(x, y) - RingRadius * (1 + RingHole) / 2) - RingRadius * (1 - RingHole) / 2,
        2 => Polygon(Triangle, x, y),
        3 => Box(x, y, 0.5, 0.5),
        4 => Math.Max(Box(x, y, FrameHalf, FrameHalf), -Box(x, y, FrameHalf * FrameHole, FrameHalf * FrameHole)),
        5 => Polygon(Cross, x, y),
        6 => Polygon(Star, x, y),
        7 => Math.Max(Length(x + 0.3 * MoonRadius, y) - MoonRadius, MoonRadius - Length(x - (MoonShift - 0.3) * MoonRadius, y)),
        8 => Box(Math.Abs(x) - 0.9 * BarWidth, y, BarWidth / 2, BarWidth * 1.3),
        9 => Polygon(Hourglass, x, y),
        _ => throw new ArgumentOutOfRangeException(nameof(shape)),
    };

    private static double Length(double x, double y) => Math.Sqrt(x * x + y * y);

    private static double Box(double x, double y, double halfWidth, double halfHeight)
    {
        double dx = Math.Abs(x) - halfWidth, dy = Math.Abs(y) - halfHeight;
        double outside = Length(Math.Max(dx, 0), Math.Max(dy, 0));
        return outside + Math.Min(Math.Max(dx, dy), 0);
    }

    private static double Polygon((double X, double Y)[] p, double x, double y)
    {
        double best = double.MaxValue;
        bool inside = false;
        for (int i = 0, j = p.Length - 1; i < p.Length; j = i++)
        {
            double ex = p[j].X - p[i].X, ey = p[j].Y - p[i].Y;
            double wx = x - p[i].X, wy = y - p[i].Y;
            double t = Math.Clamp((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1);
            double bx = wx - ex * t, by = wy - ey * t;
            best = Math.Min(best, bx * bx + by * by);
            if (p[i].Y > y != p[j].Y > y && x < (p[j].X - p[i].X) * (y - p[i].Y) / (p[j].Y - p[i].Y) + p[i].X)
            {
                inside = !inside;
            }
        }
        double distance = Math.Sqrt(best);
        return inside ? -distance : distance;
    }

    private static (double X, double Y)[] StarPoints(double inner) =>
    [
        (0, -1), (inner * S36, -inner * C36), (S72, -C72), (inner * S72, inner * C72), (S36, C36),
        (0, inner), (-S36, C36), (-inner * S72, inner * C72), (-S72, -C72), (-inner * S36, -inner * C36),
    ];

    private static (double X, double Y)[] UnitArea(params (double X, double Y)[] points)
    {
        double twice = 0;
        for (int i = 0, j = points.Length - 1; i < points.Length; j = i++)
        {
            twice += points[j].X * points[i].Y - points[i].X * points[j].Y;
        }
        double scale = 1 / Math.Sqrt(Math.Abs(twice) / 2);
        return Array.ConvertAll(points, p => (p.X * scale, p.Y * scale));
    }
}
