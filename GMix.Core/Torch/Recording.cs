namespace GMix.Torch;

/// <summary>
/// A step that is being recorded as a graph, or runs as one would be recorded: nothing in it may wait for the device, and no number that differs
/// from step to step may come from the host, since a replay would meet the number of the step that was recorded.
/// </summary>
public static class Recording
{
    [ThreadStatic] private static bool _active;

    /// <summary>Whether this thread records.</summary>
    public static bool Active => _active;

    /// <summary>Records until disposed.</summary>
    internal static Switch Begin() => new(true);

    /// <summary>Does not record until disposed: for what is made once, or anew before every replay.</summary>
    internal static Switch Pause() => new(false);

    /// <summary>Throws where this thread records.</summary>
    /// <param name="what">What the step did, in words that finish 'a recorded step cannot …'.</param>
    internal static void Refuse(string what)
    {
        if (_active) throw new RecordingException(what);
    }

    internal readonly struct Switch : IDisposable
    {
        private readonly bool _before;

        internal Switch(bool on) => (_before, _active) = (_active, on);

        public void Dispose() => _active = _before;
    }
}

/// <summary>A step did what no recorded step can do. It can still run unrecorded.</summary>
public sealed class RecordingException : InvalidOperationException
{
    internal RecordingException(string what) : base($"a recorded step cannot {what}") { }
}
