using System.Globalization;
using System.Text.RegularExpressions;

namespace GMix.Methods;

/// <summary>One hyper-parameter of a method, in words that help, cards and tables use.</summary>
public abstract partial record HyperParameter
{
    /// <summary>Its flag without dashes, e.g. <c>gamma</c>; also its name in configurations.</summary>
    public required string Flag { get; init; }

    /// <summary>What it is, in one line.</summary>
    public required string Meaning { get; init; }

    /// <summary>Values it may have, in words that finish 'must be '.</summary>
    public required string Range { get; init; }

    /// <summary>Where the default comes from.</summary>
    public string Source { get; init; } = "";

    /// <summary>The default as one would type it.</summary>
    public abstract string DefaultText { get; }

    /// <summary>The default in the preset <c>paper</c>, where it differs; else null.</summary>
    public abstract string? PaperDefaultText { get; }

    /// <summary>Whether the flag stands alone, without a value.</summary>
    public abstract bool IsSwitch { get; }

    /// <summary>Reads the flag's value into options.</summary>
    /// <exception cref="GMixInputException">It is not such a value, or out of range.</exception>
    public abstract MethodOptions Read(MethodOptions options, string text);

    /// <summary>Refuses a given value that is out of range.</summary>
    /// <exception cref="GMixInputException">It is.</exception>
    internal abstract void Check(MethodOptions options);

    /// <summary>The value as one would type it, where given; else null.</summary>
    public abstract string? GivenText(MethodOptions options);

    [GeneratedRegex("(?<=[a-z])(?=[A-Z])")] private static partial Regex WordBoundary();

    internal static string Show(object? value) => value switch
    {
        null => "",
        bool b => b ? "true" : "false",
        Enum e => Kebab(e.ToString()),
        IEnumerable<int> list => string.Join(",", list),
        IFormattable f => f.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };

    internal static string Kebab(string name) => name is "CutMix" ? "cutmix" : WordBoundary().Replace(name, "-").ToLowerInvariant();
}

/// <summary>A hyper-parameter of a type.</summary>
public sealed record HyperParameter<T> : HyperParameter where T : notnull
{
    /// <summary>Its value where none is given.</summary>
    public required T Default { get; init; }

    /// <summary>Its value in the preset <c>paper</c>, where that differs.</summary>
    public (bool Differs, T? Value) PaperDefault { get; init; }

    /// <summary>From options: whether it was given, and its value.</summary>
    public required Func<MethodOptions, (bool, T?)> Given { get; init; }

    /// <summary>Options with this value given.</summary>
    public required Func<MethodOptions, T, MethodOptions> Set { get; init; }

    /// <summary>From text: whether it is such a value, and the value.</summary>
    public required Func<string, (bool, T?)> Parse { get; init; }

    /// <summary>Whether a value is in range.</summary>
    public required Func<T, bool> Allows { get; init; }

    /// <inheritdoc/>
    public override string DefaultText => Show(Default);

    /// <inheritdoc/>
    public override string? PaperDefaultText => PaperDefault.Differs ? Show(PaperDefault.Value) : null;

    /// <inheritdoc/>
    public override bool IsSwitch => typeof(T) == typeof(bool);

    /// <summary>The same hyper-parameter with a method's own default.</summary>
    public HyperParameter<T> Of(T value, string source) => this with { Default = value, Source = source };

    /// <summary>The value: the given one, else the preset's default.</summary>
    internal T In(MethodOptions options)
    {
        var (given, value) = Given(options);
        return given ? value! : options.Preset == Preset.Paper && PaperDefault.Differs ? PaperDefault.Value! : Default;
    }

    /// <inheritdoc/>
    public override MethodOptions Read(MethodOptions options, string text)
    {
        var (read, value) = Parse(text);
        if (!read || !Allows(value!)) throw new GMixInputException($"--{Flag} {text}: must be {Range}");
        return Set(options, value!);
    }

    internal override void Check(MethodOptions options)
    {
        var (given, value) = Given(options);
        if (given && !Allows(value!)) throw new GMixInputException($"--{Flag} {Show(value)}: must be {Range}");
    }

    /// <inheritdoc/>
    public override string? GivenText(MethodOptions options) => Given(options) is (true, var value) ? Show(value) : null;
}
