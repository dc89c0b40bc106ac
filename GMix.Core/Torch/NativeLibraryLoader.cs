using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace GMix.Torch;

/// <summary>
/// Finds the C++ shim. It lies beside this assembly, whoever loads it: a test host, the command, or <c>dotnet fsi</c>,
/// whose own probing looks elsewhere; so the assembly registers a resolver when it is loaded.
/// </summary>
internal static partial class NativeLibraryLoader
{
    internal const string Name = "gmix_native";

#pragma warning disable CA2255 // a library that binds native code has to register before its first call
    [ModuleInitializer]
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLoader).Assembly, Resolve);
#pragma warning restore CA2255

    private static nint Resolve(string library, Assembly assembly, DllImportSearchPath? path)
    {
        if (library != Name) return 0;
        var beside = Path.Combine(Path.GetDirectoryName(assembly.Location)!, "libgmix_native.so");
        if (!File.Exists(beside))
            throw new GMixInputException($"the native library {beside} is missing; run `dotnet fsi build.fsx -t Build` in the project's folder, or, beside a published command, build it from `native` by CMake (see gpu.md)");
        // GNU OpenMP reads this when it is loaded, which is now. Its own default lets waiting threads spin for milliseconds, which slows two
        // trainings that share cores 5-fold; sleeping at once (OMP_WAIT_POLICY=passive) costs a small net half its speed. Some ten
        // microseconds of spinning bridge the gap between two operators and no more. What the user has set stays. (.NET's own
        // SetEnvironmentVariable would not reach the C library.)
        if (Environment.GetEnvironmentVariable("OMP_WAIT_POLICY") is null) SetEnv("GOMP_SPINCOUNT", "10000", 0);
        NarrowInstructions(Environment.GetEnvironmentVariable("GMIX_INSTRUCTIONS"));
        // cuBLAS is deterministic only with workspaces of a size that it is told before it starts
        SetEnv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
        try { return NativeLibrary.Load(beside); }
        catch (DllNotFoundException e)
        {
            throw new GMixInputException($"{beside} does not load: {e.Message.ReplaceLineEndings(" ")}; is the libtorch it was built for still installed? `dotnet fsi build.fsx -t Build` builds it anew", e);
        }
    }

    // The shim reads the variable itself; oneDNN and ATen have ones of their own, which they read at their first use.
    private static void NarrowInstructions(string? word)
    {
        if (word is null or "avx512bf16") return;
        var (oneDnn, aten) = word switch
        {
            "generic" => ("SSE41", "default"),
            "avx2" => ("AVX2", "avx2"),
            "avx512" => ("AVX512_CORE", "avx512"),
            _ => throw new GMixInputException($"GMIX_INSTRUCTIONS={word}: use generic, avx2, avx512 or avx512bf16, or leave it unset"),
        };
        SetEnv("ONEDNN_MAX_CPU_ISA", oneDnn, 0);
        SetEnv("ATEN_CPU_CAPABILITY", aten, 0);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnv(string name, string value, int overwrite);
}
