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
        // cuBLAS is deterministic only with workspaces of a size that it is told before it starts
        SetEnv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
        try { return NativeLibrary.Load(beside); }
        catch (DllNotFoundException e)
        {
            throw new GMixInputException($"{beside} does not load: {e.Message.ReplaceLineEndings(" ")}; is the libtorch it was built for still installed? `dotnet fsi build.fsx -t Build` builds it anew", e);
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnv(string name, string value, int overwrite);
}
