using GMix.Torch;

namespace GMix.Methods;

/// <summary>
/// The tensors through which a replayed step gets its numbers: they keep their addresses, and are filled anew before every replay. A step asks for
/// them by name while it runs for the first time, and so says how they are made.
/// </summary>
internal sealed class StepBuffers : IDisposable
{
    private readonly Dictionary<string, (Tensor Buffer, Func<StepContext?, Draw, Tensor> Make)> _entries = [];
    private readonly List<StepBuffers> _more = [];
    private StepContext? _at;
    private Draw _draw = Draw.None;

    /// <summary>Takes a step's numbers: what was asked for before is filled with them.</summary>
    /// <returns>The context to run the step with: its numbers are to be had as tensors only.</returns>
    public StepContext Fill(StepContext at)
    {
        var bound = Fill(at, at.Draw);
        return at with { Draw = bound };
    }

    private Draw Fill(StepContext at, Draw draw)
    {
        (_at, _draw) = (at, draw);
        using var noGrad = Autograd.NoGrad();
        foreach (var (buffer, make) in _entries.Values)
        {
            using var scope = new TensorScope();
            buffer.Upload(make(at, draw));
        }
        while (_more.Count < draw.More.Count) _more.Add(new StepBuffers());
        return draw with { Buffers = this, More = [.. draw.More.Select((d, i) => _more[i].Fill(at, d))] };
    }

    public Tensor Get(string name, Device device, Func<StepContext?, Draw, Tensor> make)
    {
        if (_entries.TryGetValue(name, out var entry)) return entry.Buffer;
        using var pause = Recording.Pause();
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        var made = make(_at, _draw);
        // a copy even where the device is right: what was made may be a view, or belong to someone
        var buffer = made.Device == device ? made.Clone() : made.Uploaded(device);
        TensorScope.Detach(buffer);
        _entries[name] = (buffer, make);
        return buffer;
    }

    public void Dispose()
    {
        foreach (var (buffer, _) in _entries.Values) buffer.Dispose();
        foreach (var more in _more) more.Dispose();
        _entries.Clear();
        _more.Clear();
    }
}
