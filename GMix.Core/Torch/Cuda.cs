namespace GMix.Torch;

/// <summary>Bytes of a GPU's memory.</summary>
/// <param name="Allocated">Held by tensors now.</param>
/// <param name="AllocatedPeak">At most, since the start or <see cref="Cuda.ResetPeak"/>.</param>
/// <param name="Reserved">Held by libtorch's allocator now, tensors included.</param>
/// <param name="ReservedPeak">At most.</param>
/// <param name="Free">Free on the device, whoever holds the rest.</param>
/// <param name="Total">Of the device.</param>
public readonly record struct CudaMemory(long Allocated, long AllocatedPeak, long Reserved, long ReservedPeak, long Free, long Total);

/// <summary>What only a GPU has. Everything that needs one throws a <see cref="TorchException"/> of kind <see cref="TorchErrorKind.NoCuda"/> where there is no CUDA.</summary>
public static unsafe class Cuda
{
    /// <summary>Whether the C++ shim was built for CUDA.</summary>
    public static bool Built => NativeMethods.gmx_cuda_built() > 0;

    /// <summary>Why no GPU can be used here, in words that follow <c>--device cuda</c>; null where one can.</summary>
    internal static string? Obstacle(int index)
    {
        var (version, built, seen) = (TorchRuntime.Version, NativeMethods.gmx_cuda_built(), TorchRuntime.CudaDevices);
        const string again = "build the native library anew (`dotnet fsi build.fsx -t Build`, or CMake as docs/gpu.md has it)";
        if (built < 0) return $"this libtorch ({version}) has CUDA, but the native library was built without CUDA's headers; set CUDA_HOME to a CUDA toolkit and {again}";
        if (built == 0) return $"this libtorch ({version}) has no CUDA; use --device cpu, or set LIBTORCH to a CUDA build and {again}";
        if (seen == 0) return $"this libtorch ({version}) has CUDA but finds no GPU (does nvidia-smi list one?); use --device cpu";
        return index >= 0 && index < seen ? null : $"there {(seen == 1 ? "is 1 GPU" : $"are {seen} GPUs")}, counted from 0";
    }

    /// <summary>The GPU's name and architecture, such as <c>NVIDIA H200 (sm_90)</c>; empty where there is none.</summary>
    public static string Name(Device device) => TorchRuntime.Text((text, capacity) => NativeMethods.gmx_cuda_name(device.Index, text, capacity));

    /// <summary>Waits until the device has done all it was given. Nothing for the host.</summary>
    public static void Synchronize(Device device)
    {
        if (!device.IsCuda) return;
        Recording.Refuse("wait for the device");
        Check(NativeMethods.gmx_cuda_synchronize(device.Index), $"waiting for {device}");
    }

    /// <summary>The memory figures.</summary>
    public static CudaMemory Memory(Device device)
    {
        var v = stackalloc long[6];
        Check(NativeMethods.gmx_cuda_memory(device.Index, v), $"the memory figures of {device}");
        return new(v[0], v[1], v[2], v[3], v[4], v[5]);
    }

    /// <summary>Starts the peaks anew.</summary>
    public static void ResetPeak(Device device) => Check(NativeMethods.gmx_cuda_reset_peak(device.Index), $"resetting the peaks of {device}");

    internal static void Check(int status, string doing)
    {
        if (status != 0) TorchException.Throw(status, doing);
    }
}

/// <summary>Away from the thread's stream on one beside it, until disposed; work waits for what was begun before, both ways.</summary>
internal readonly struct SideStream : IDisposable
{
    private readonly nint _away;

    public SideStream(Device device) => Cuda.Check(NativeMethods.gmx_cuda_away(device.Index, out _away), $"a side stream of {device}");

    public void Dispose() => Cuda.Check(NativeMethods.gmx_cuda_back(_away), "leaving a side stream");
}

/// <summary>A recording of everything that a piece of code gave the GPU, to be given again in one call.</summary>
internal sealed class CudaGraph : IDisposable
{
    private readonly nint _handle;

    public CudaGraph() => Cuda.Check(NativeMethods.gmx_cuda_graph_new(out _handle), "a CUDA graph");

    /// <summary>Records what <paramref name="body"/> does; the GPU does none of it yet.</summary>
    /// <param name="sharing">A graph whose memory may be used too: one that never runs at the same time.</param>
    /// <param name="body">Its tensors keep their addresses; those it keeps are written anew by every replay.</param>
    public void Capture(CudaGraph? sharing, Action body)
    {
        Cuda.Check(NativeMethods.gmx_cuda_graph_begin(_handle, sharing?._handle ?? 0), "beginning to record a CUDA graph");
        try
        {
            using (Recording.Begin()) body();
        }
        catch
        {
            NativeMethods.gmx_cuda_graph_end(_handle, 0);
            throw;
        }
        Cuda.Check(NativeMethods.gmx_cuda_graph_end(_handle, 1), "recording a CUDA graph");
    }

    /// <summary>Does it all, on the thread's current stream.</summary>
    public void Replay() => Cuda.Check(NativeMethods.gmx_cuda_graph_replay(_handle), "replaying a CUDA graph");

    public void Dispose() => NativeMethods.gmx_cuda_graph_free(_handle);
}

/// <summary>Adds up the device's time between <see cref="Start"/> and <see cref="Stop"/> without waiting for it; on the host, the clock's.</summary>
internal sealed class DeviceClock(Device device) : IDisposable
{
    private readonly List<(nint From, nint To)> _events = [];
    private readonly Stack<nint> _spare = [];
    private readonly System.Diagnostics.Stopwatch _host = new();
    private nint _from;

    /// <summary>Starts a stretch of time.</summary>
    public void Start()
    {
        if (device.IsCuda) _from = Mark();
        else _host.Restart();
    }

    /// <summary>Ends it. Seconds of the stretch where that is known already: on the host.</summary>
    public double Stop()
    {
        if (!device.IsCuda) return _host.Elapsed.TotalSeconds;
        _events.Add((_from, Mark()));
        return 0;
    }

    /// <summary>Seconds of the stretches not taken yet; on a GPU this waits for the last one.</summary>
    public double Take()
    {
        var seconds = 0.0;
        foreach (var (from, to) in _events)
        {
            Cuda.Check(NativeMethods.gmx_cuda_event_seconds(from, to, out var one), "the time between two events");
            seconds += one;
            _spare.Push(from);
            _spare.Push(to);
        }
        _events.Clear();
        return seconds;
    }

    private nint Mark()
    {
        if (!_spare.TryPop(out var e)) Cuda.Check(NativeMethods.gmx_cuda_event_new(device.Index, out e), "an event");
        Cuda.Check(NativeMethods.gmx_cuda_event_record(e, device.Index), "recording an event");
        return e;
    }

    public void Dispose()
    {
        foreach (var (from, to) in _events)
        {
            _spare.Push(from);
            _spare.Push(to);
        }
        while (_spare.TryPop(out var e)) NativeMethods.gmx_cuda_event_free(e);
        _events.Clear();
    }
}
