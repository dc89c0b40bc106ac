using System.Runtime.InteropServices;

namespace GMix.Torch;

/// <summary>The kinds of argument that the shim's boxed call understands (<c>Tag</c> in native/binding/dispatch.cpp).</summary>
internal enum ArgKind { None, Tensor, TensorList, OptionalTensorList, Int, Double, Bool, IntList, DoubleList, BoolList, String, Device, Generator }

/// <summary>One argument as the shim reads it (<c>Arg</c> in native/binding/dispatch.cpp).</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct NativeArg
{
    [FieldOffset(0)] public ArgKind Kind;
    [FieldOffset(4)] public int Length;
    [FieldOffset(8)] public long Integer;
    [FieldOffset(8)] public double Real;
    [FieldOffset(8)] public nint Pointer;
}

/// <summary>The C functions of libgmix_native. Each that can fail returns a status; <see cref="TorchException.ThrowIf"/> reads it.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Lib = NativeLibraryLoader.Name;

    [LibraryImport(Lib)] internal static partial nint gmx_last_error();
    [LibraryImport(Lib)] internal static partial long gmx_live_handles();

    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] internal static partial int gmx_operator_find(string name, string overload, out nint op);
    [LibraryImport(Lib)] internal static partial int gmx_operator_call(nint op, NativeArg* args, int length, nint* results, int capacity, out int count);

    [LibraryImport(Lib)] internal static partial void gmx_tensor_free(nint h);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] internal static partial int gmx_tensor_from_host(void* data, long bytes, long* sizes, int rank, int dtype, string device, out nint h);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_upload(nint target, nint source);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_to_host(nint h, void* data, long bytes);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_rank(nint h);
    [LibraryImport(Lib)] internal static partial long gmx_tensor_numel(nint h);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_dtype(nint h);
    [LibraryImport(Lib)] internal static partial void gmx_tensor_sizes(nint h, long* sizes);
    [LibraryImport(Lib)] internal static partial void gmx_tensor_strides(nint h, long* strides);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_is_cuda(nint h);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_device_index(nint h);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_requires_grad(nint h);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_set_requires_grad(nint h, int on);
    [LibraryImport(Lib)] internal static partial int gmx_tensor_item(nint h, out double value);

    [LibraryImport(Lib)] internal static partial int gmx_grad_enabled();
    [LibraryImport(Lib)] internal static partial void gmx_set_grad_enabled(int on);
    [LibraryImport(Lib)] internal static partial int gmx_grad(nint output, nint seed, nint* inputs, int n, int retainGraph, int createGraph, nint* results);
    [LibraryImport(Lib)] internal static partial int gmx_grad_flat(nint output, nint* inputs, int n, int retainGraph, out nint flat);
    [LibraryImport(Lib)] internal static partial int gmx_swap_memory(nint a, nint b);

    [LibraryImport(Lib)] internal static partial int gmx_profile_start();
    [LibraryImport(Lib)] internal static partial int gmx_profile_stop();
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] internal static partial void gmx_profile_begin(string name);
    [LibraryImport(Lib)] internal static partial void gmx_profile_end();
    [LibraryImport(Lib)] internal static partial long gmx_profile_read(byte* text, long capacity);

    [LibraryImport(Lib)] internal static partial int gmx_torch_version(byte* text, int capacity);
    [LibraryImport(Lib)] internal static partial int gmx_build_info(byte* text, int capacity);
    [LibraryImport(Lib)] internal static partial int gmx_get_threads();
    [LibraryImport(Lib)] internal static partial int gmx_set_threads(int n);
    [LibraryImport(Lib)] internal static partial int gmx_set_deterministic(int on);
    [LibraryImport(Lib)] internal static partial int gmx_set_tf32(int products, int convolutions);
    [LibraryImport(Lib)] internal static partial int gmx_get_tf32(out int bits);
    [LibraryImport(Lib)] internal static partial int gmx_set_cudnn_benchmark(int on);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_devices();
    [LibraryImport(Lib)] internal static partial int gmx_set_autocast(int on, int cuda);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] internal static partial int gmx_generator_new(string device, out nint generator);
    [LibraryImport(Lib)] internal static partial int gmx_generator_seed(nint generator, ulong seed);
    [LibraryImport(Lib)] internal static partial void gmx_generator_free(nint generator);
    [LibraryImport(Lib)] internal static partial int gmx_instructions_limit(int level);
    [LibraryImport(Lib)] internal static partial int gmx_tune_allocator();
    [LibraryImport(Lib)] internal static partial int gmx_use_arena();
    [LibraryImport(Lib)] internal static partial void gmx_release_startup_pages();
    [LibraryImport(Lib)] internal static partial int gmx_arena(out long live, out long most, out long reach, int restart);
    [LibraryImport(Lib)] internal static partial int gmx_winograd(int mode);
    [LibraryImport(Lib)] internal static partial int gmx_winograd_has_bf16();
    [LibraryImport(Lib)] internal static partial int gmx_cpu_has_bf16();

    [LibraryImport(Lib)] internal static partial int gmx_cuda_built();
    [LibraryImport(Lib)] internal static partial int gmx_cuda_name(int device, byte* text, int capacity);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_synchronize(int device);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_memory(int device, long* figures);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_reset_peak(int device);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_away(int device, out nint away);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_back(nint away);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_graph_new(out nint graph);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_graph_begin(nint graph, nint sharing);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_graph_end(nint graph, int keep);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_graph_replay(nint graph);
    [LibraryImport(Lib)] internal static partial void gmx_cuda_graph_free(nint graph);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_event_new(int device, out nint e);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_event_record(nint e, int device);
    [LibraryImport(Lib)] internal static partial int gmx_cuda_event_seconds(nint from, nint to, out double seconds);
    [LibraryImport(Lib)] internal static partial void gmx_cuda_event_free(nint e);
}
