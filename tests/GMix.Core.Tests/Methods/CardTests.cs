using System.Globalization;
using System.Text.RegularExpressions;
using GMix.Methods;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>
/// The cards in docs/methods say what the catalog says. Their tables lie between markers; with GMIX_UPDATE_CARDS=1 this test writes them.
/// </summary>
public class CardTests
{
    public static TheoryData<string> Names => CatalogBattery.Names;

    private static string Card(string name) => Repository.Path("docs", "methods", name + ".md");

    [Theory, MemberData(nameof(Names))]
    public void Card_has_the_catalogs_settings_and_cost(string name)
    {
        var entry = MethodCatalog.Entry(name);
        var settings = entry.Parameters.Count == 0 ? "None of its own; [those of every method](README.md#settings-of-every-method) apply." : Table(entry.Parameters);
        var cost = MethodCatalog.Get(name).Cost;
        var time = Times().TryGetValue(name, out var t) ? $", measured {Number(t)} × its time ([conditions](README.md))" : "";
        Agree(Card(name), ("settings", settings), ("cost", $"{cost} per step: {Number(cost.AgainstSgd)} × plain SGD counted in passes{time}."));
    }

    [Theory, MemberData(nameof(Names))]
    public void Card_has_every_part(string name)
    {
        var text = File.ReadAllText(Card(name));
        Assert.StartsWith($"# {MethodCatalog.Entry(name).Title}\n", text);
        Assert.Equal(["How to use it", "Settings", "Cost", "When not to use it", "Pitfalls", "Reference"], Regex.Matches(text, "^## (.*)$", RegexOptions.Multiline).Select(m => m.Groups[1].Value));
        // flags in the prose and in the commands are flags that exist
        var known = HyperParameters.All.Select(p => p.Flag).Append("method").ToHashSet();
        foreach (Match flag in Regex.Matches(text, "--([a-z][a-z-]*)")) Assert.Contains(flag.Groups[1].Value, known);
        foreach (Match file in Regex.Matches(text, "`(GMix.Core/[^`]+)`")) Assert.True(File.Exists(Repository.Path(file.Groups[1].Value)), file.Groups[1].Value);
        foreach (Match link in Regex.Matches(text, @"\]\(([a-z]+\.md)")) Assert.True(File.Exists(Repository.Path("docs", "methods", link.Groups[1].Value)), link.Groups[1].Value);
    }

    [Theory, MemberData(nameof(Names))]
    public void Cards_command_makes_the_method_it_describes(string name)
    {
        var command = Regex.Match(File.ReadAllText(Card(name)), "^gmix train --method ([a-z]+)(.*)$", RegexOptions.Multiline);
        Assert.Equal(name, command.Groups[1].Value);
        var options = new MethodOptions();
        foreach (Match setting in Regex.Matches(command.Groups[2].Value, "--([a-z-]+) ([^ ]+)"))
        {
            var parameter = MethodCatalog.Entry(name).Parameters.Single(p => p.Flag == setting.Groups[1].Value);
            options = parameter.Read(options, setting.Groups[2].Value);
        }
        // the command spells out defaults
        Assert.Equal(MethodCatalog.Get(name).ToString(), MethodCatalog.Get(name, options).ToString());
    }

    [Fact]
    public void There_is_no_card_without_a_method() =>
        Assert.Equal(MethodCatalog.Entries.Select(e => e.Name).Append("README").Order(), Directory.GetFiles(Repository.Path("docs", "methods"), "*.md").Select(f => Path.GetFileNameWithoutExtension(f)).Order());

    [Fact]
    public void Overview_compares_all_methods()
    {
        var times = Times();
        var rows = MethodCatalog.Entries.Select(e =>
        {
            var m = MethodCatalog.Get(e.Name);
            return $"| [{e.Title}]({e.Name}.md) | `{e.Name}` | {e.Summary} | {m.ToString()[(e.Title.Length + 3)..]} | {m.Cost} | {Number(m.Cost.AgainstSgd)} × | {(times.TryGetValue(e.Name, out var t) ? Number(t) + " ×" : "")} |";
        });
        var conditions = File.Exists(TimesFile) ? File.ReadLines(TimesFile).First().TrimStart('#', ' ') : "";
        Agree(Repository.Path("docs", "methods", "README.md"),
            ("table", "| method | name | in one line | Mix · Perturb · Combine | passes | in passes | time |\n| --- | --- | --- | --- | --- | --- | --- |\n" + string.Join('\n', rows)),
            ("conditions", conditions), ("common", Table(MethodCatalog.Common)));
    }

    private static string Table(IEnumerable<HyperParameter> parameters) =>
        "| setting | default | must be | meaning | default from |\n| --- | --- | --- | --- | --- |\n"
        + string.Join('\n', parameters.Select(p => $"| `--{p.Flag}` | {p.DefaultText}{(p.PaperDefaultText is { } paper ? $" (preset `paper`: {paper})" : "")} | {p.Range} | {p.Meaning} | {p.Source} |"));

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private static string TimesFile => Repository.Path("docs", "methods", "times.csv");

    /// <summary>Measured times against plain SGD, by method.</summary>
    private static Dictionary<string, double> Times() => !File.Exists(TimesFile) ? []
        : File.ReadLines(TimesFile).Skip(2).Select(l => l.Split(',')).ToDictionary(p => p[0], p => double.Parse(p[2], CultureInfo.InvariantCulture));

    /// <summary>Compares, or with GMIX_UPDATE_CARDS=1 writes, what lies between a file's markers.</summary>
    private static void Agree(string file, params (string Marker, string Text)[] parts)
    {
        var text = File.ReadAllText(file);
        foreach (var (marker, expected) in parts)
        {
            var found = Regex.Match(text, $"(?<=<!-- {marker} -->\n).*?(?=<!-- end -->)", RegexOptions.Singleline);
            Assert.True(found.Success, $"{file}: no markers for {marker}");
            if (Environment.GetEnvironmentVariable("GMIX_UPDATE_CARDS") == "1") text = text[..found.Index] + expected + "\n" + text[(found.Index + found.Length)..];
            else Assert.True(expected + "\n" == found.Value, $"{file}: '{marker}' is not what the catalog says; GMIX_UPDATE_CARDS=1 renews it. Expected:\n{expected}\nFound:\n{found.Value}");
        }
        if (Environment.GetEnvironmentVariable("GMIX_UPDATE_CARDS") == "1") File.WriteAllText(file, text);
    }
}
