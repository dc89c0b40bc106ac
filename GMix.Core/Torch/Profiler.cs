using System.Globalization;
using System.Text;
using System.Text.Json;

namespace GMix.Torch;

/// <summary>One operator call or one named span.</summary>
/// <param name="Name">The operator's name as libtorch has it, or the span's.</param>
/// <param name="IsSpan">Whether the caller named it, by <see cref="Profiler.Span"/>.</param>
/// <param name="Thread">Which thread ran it.</param>
/// <param name="Start">Seconds since profiling began.</param>
/// <param name="Duration">Seconds.</param>
/// <param name="Self">Seconds without what ran inside it.</param>
/// <param name="Bytes">Size of the tensors that it gave.</param>
public sealed record ProfileEvent(string Name, bool IsSpan, long Thread, double Start, double Duration, double Self, long Bytes);

/// <summary>All calls of one operator.</summary>
/// <param name="Name">The operator.</param>
/// <param name="Calls">How often.</param>
/// <param name="Self">Seconds in it, without operators that it called.</param>
/// <param name="Total">Seconds in it with them.</param>
/// <param name="Share">Share of the profiled time that <see cref="Self"/> is; all rows add up to 1.</param>
/// <param name="Bytes">Size of all tensors that it gave.</param>
public sealed record ProfileRow(string Name, int Calls, double Self, double Total, double Share, long Bytes);

/// <summary>
/// Records every operator that libtorch runs, also on the threads of a backward pass, and spans around them. On a GPU the times are the host's:
/// what it takes to start the work.
/// </summary>
public static unsafe class Profiler
{
    private static volatile bool _running;

    /// <summary>A span that ends with its disposal; nothing while no profile is taken.</summary>
    public readonly struct Section : IDisposable
    {
        private readonly bool _on;

        internal Section(string name)
        {
            _on = _running;
            if (_on) NativeMethods.gmx_profile_begin(name);
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (_on) NativeMethods.gmx_profile_end();
        }
    }

    /// <summary>Names what runs until disposal: <c>using (Profiler.Span("update")) …</c></summary>
    public static Section Span(string name) => new(name);

    /// <summary>Profiles <paramref name="body"/> under a span of that name.</summary>
    /// <exception cref="TorchException">A profile is being taken already.</exception>
    public static Profile Record(string name, Action body)
    {
        var status = NativeMethods.gmx_profile_start();
        if (status != 0) TorchException.Throw(status, "profiling");
        _running = true;
        try
        {
            using (Span(name)) body();
        }
        finally
        {
            _running = false;
            status = NativeMethods.gmx_profile_stop();
        }
        if (status != 0) TorchException.Throw(status, "profiling");
        var text = new byte[NativeMethods.gmx_profile_read(null, 0)];
        fixed (byte* p = text) NativeMethods.gmx_profile_read(p, text.Length);
        return new Profile(name, [.. Encoding.UTF8.GetString(text).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(Parse)]);
    }

    private static ProfileEvent Parse(string line)
    {
        var f = line.Split('\t');
        double Seconds(int i) => long.Parse(f[i], CultureInfo.InvariantCulture) * 1e-9;
        return new(f[0], f[1] == "1", long.Parse(f[2], CultureInfo.InvariantCulture), Seconds(3), Seconds(4), Seconds(5), long.Parse(f[6], CultureInfo.InvariantCulture));
    }
}

/// <summary>What <see cref="Profiler.Record"/> saw.</summary>
/// <param name="Name">Of the outermost span.</param>
/// <param name="Events">In the order they ended.</param>
public sealed record Profile(string Name, IReadOnlyList<ProfileEvent> Events)
{
    /// <summary>What the table calls time that no operator took: managed code, the graph, the allocator.</summary>
    public const string Outside = "(outside operators)";

    /// <summary>Seconds of the outermost span.</summary>
    public double Seconds => Events.Last(e => e.IsSpan && e.Name == Name).Duration;

    /// <summary>One row per operator and one for the time outside, the longest first.</summary>
    public IReadOnlyList<ProfileRow> Rows()
    {
        var all = Events.Sum(e => e.Self);
        ProfileRow Row(string name, IReadOnlyList<ProfileEvent> calls) =>
            new(name, calls.Count, calls.Sum(e => e.Self), calls.Sum(e => e.Duration), all > 0 ? calls.Sum(e => e.Self) / all : 0, calls.Sum(e => e.Bytes));
        var outside = Events.Where(e => e.IsSpan).ToList();
        // spans lie inside each other, so only what is their own is time
        return [.. Events.Where(e => !e.IsSpan).GroupBy(e => e.Name).Select(g => Row(g.Key, [.. g])).Append(Row(Outside, outside) with { Total = outside.Sum(e => e.Self) })
            .OrderByDescending(r => r.Self).ThenBy(r => r.Name, StringComparer.Ordinal)];
    }

    /// <summary>The spans by name with their seconds, in the order they began; a span within another counts in both.</summary>
    public IReadOnlyList<(string Name, int Calls, double Seconds)> Spans() =>
        [.. Events.Where(e => e.IsSpan).OrderBy(e => e.Start).GroupBy(e => e.Name).Select(g => (g.Key, g.Count(), g.Sum(e => e.Duration)))];

    /// <summary>The table as comma-separated values with a header.</summary>
    public string ToCsv()
    {
        var text = new StringBuilder("name,calls,self_ms,total_ms,share,bytes\n");
        foreach (var r in Rows())
            text.Append(CultureInfo.InvariantCulture, $"{(r.Name.Contains(',') ? $"\"{r.Name}\"" : r.Name)},{r.Calls},{r.Self * 1e3:F4},{r.Total * 1e3:F4},{r.Share:F5},{r.Bytes}\n");
        return text.ToString();
    }

    /// <summary>The events in Chrome's trace format, for chrome://tracing or Perfetto.</summary>
    public string ToTrace()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteString("displayTimeUnit", "ms");
            json.WriteStartArray("traceEvents");
            foreach (var e in Events.OrderBy(e => e.Start))
            {
                json.WriteStartObject();
                json.WriteString("name", e.Name);
                json.WriteString("cat", e.IsSpan ? "step" : "operator");
                json.WriteString("ph", "X");
                json.WriteNumber("ts", Math.Round(e.Start * 1e6, 3));
                json.WriteNumber("dur", Math.Round(e.Duration * 1e6, 3));
                json.WriteNumber("pid", 1);
                json.WriteNumber("tid", e.Thread);
                if (e.Bytes > 0)
                {
                    json.WriteStartObject("args");
                    json.WriteNumber("bytes", e.Bytes);
                    json.WriteEndObject();
                }
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
