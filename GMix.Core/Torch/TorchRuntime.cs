using System.Text;

namespace GMix.Torch;

/// <summary>Which float32 operations of a GPU may use TF32.</summary>
public enum Tf32
{
    /// <summary>None: float32 throughout.</summary>
    Off,
    /// <summary>Convolutions but not matrix products: what PyTorch does when nothing is said.</summary>
    Convolutions,
    /// <summary>Both.</summary>
    On,
}

/// <summary>Which 3x3 convolutions of stride 1 run by Winograd's algorithm on the processor, where the layer is large enough to gain.</summary>
public enum Winograd
{
    /// <summary>None.</summary>
    Off = 0,
    /// <summary>Those in bfloat16 and in float32.</summary>
    On = 1,
    /// <summary>Those in float32: what pays where the processor has AMX.</summary>
    Float32 = 3,
}

/// <summary>Process-wide settings of libtorch and what the machine offers.</summary>
public static unsafe class TorchRuntime
{
    private static bool _allocatorTuned;

    /// <summary>libtorch's version, e.g. <c>1.13.1</c>.</summary>
    public static string Version => Text(NativeMethods.gmx_torch_version);

    /// <summary>libtorch's own description of how it was built (BLAS, oneDNN, OpenMP, CUDA), several lines.</summary>
    public static string BuildInfo => Text(NativeMethods.gmx_build_info);

    /// <summary>Threads that one operator may use; libtorch starts with what OpenMP gives it, GMix sets it.</summary>
    public static int Threads
    {
        get => NativeMethods.gmx_get_threads();
        set
        {
            var status = NativeMethods.gmx_set_threads(value);
            if (status != 0) TorchException.Throw(status, $"setting {value} threads");
        }
    }

    /// <summary>GPUs that this libtorch can use.</summary>
    public static int CudaDevices => NativeMethods.gmx_cuda_devices();

    /// <summary>Whether the processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX); elsewhere bf16 is slower than float32.</summary>
    public static bool CpuHasBFloat16 => NativeMethods.gmx_cpu_has_bf16() != 0;

    /// <summary>Tensors alive in this process, counted by the shim.</summary>
    public static long LiveTensors => NativeMethods.gmx_live_handles();

    /// <summary>
    /// Prepares the host's memory for training: large tensors lie in one stretch of addresses and use freed memory again (unless <c>GMIX_ARENA=0</c> is in
    /// the environment), the rest of freed memory is kept, and pages that only the loading of libraries needed go back. Takes effect once, for the process.
    /// </summary>
    public static void TuneAllocator()
    {
        if (_allocatorTuned) return;
        _allocatorTuned = true;
        NativeMethods.gmx_tune_allocator();
        NativeMethods.gmx_use_arena();
        NativeMethods.gmx_release_startup_pages();
    }

    /// <summary>
    /// Bytes of the host's large tensors (64 KiB and more): alive now, the most since the last call with <paramref name="restart"/>, and how many bytes
    /// of addresses they have been spread over. Null before <see cref="TuneAllocator"/>, or where large tensors are left to the system.
    /// </summary>
    internal static (long Live, long Most, long Reach)? LargeTensors(bool restart) =>
        NativeMethods.gmx_arena(out var live, out var most, out var reach, restart ? 1 : 0) == 0 ? null : (live, most, reach);

    /// <summary>Prefers deterministic kernels where libtorch has them (and turns cuDNN's search for the fastest off).</summary>
    public static void SetDeterministic(bool on)
    {
        var status = NativeMethods.gmx_set_deterministic(on ? 1 : 0);
        if (status != 0) TorchException.Throw(status, "choosing deterministic kernels");
    }

    /// <summary>
    /// Which float32 operations of a GPU may round their inputs to TF32 (10 bits of mantissa), at several times the speed. Reading it asks libtorch.
    /// </summary>
    public static Tf32 Tf32
    {
        get
        {
            var status = NativeMethods.gmx_get_tf32(out var bits);
            if (status != 0) TorchException.Throw(status, "reading the TF32 setting");
            return bits switch { 0 => Tf32.Off, 2 => Tf32.Convolutions, _ => Tf32.On };
        }
        set
        {
            var status = NativeMethods.gmx_set_tf32(value == Tf32.On ? 1 : 0, value == Tf32.Off ? 0 : 1);
            if (status != 0) TorchException.Throw(status, "setting TF32");
        }
    }

    /// <summary>
    /// Which 3x3 convolutions run by Winograd's algorithm in the calling thread: 2.25 times fewer multiplications for a few more roundings. The first
    /// value is what pays on this processor.
    /// </summary>
    public static Winograd Winograd
    {
        get => (Winograd)NativeMethods.gmx_winograd(-1);
        set => NativeMethods.gmx_winograd((int)value);
    }

    /// <summary>
    /// Lets cuDNN time its algorithms for each new shape and take the fastest: two runs may then differ in their last bits. Call it after
    /// <see cref="SetDeterministic"/>, which turns it off.
    /// </summary>
    public static void SetCudnnBenchmark(bool on)
    {
        var status = NativeMethods.gmx_set_cudnn_benchmark(on ? 1 : 0);
        if (status != 0) TorchException.Throw(status, "setting cuDNN's benchmark");
    }

    internal delegate int TextSource(byte* text, int capacity);

    internal static string Text(TextSource source)
    {
        var length = source(null, 0);
        var bytes = new byte[length + 1];
        fixed (byte* p = bytes) source(p, bytes.Length);
        return Encoding.UTF8.GetString(bytes, 0, length);
    }
}
