using System.Runtime.CompilerServices;
using System.Text;

namespace GMix.Torch;

/// <summary>One argument of an operator call. Made by implicit conversion from what operators take.</summary>
public readonly struct Arg
{
    internal readonly ArgKind Kind;
    internal readonly long Integer;
    internal readonly double Real;
    internal readonly object? Object;

    private Arg(ArgKind kind, object? value, long integer = 0, double real = 0) { Kind = kind; Object = value; Integer = integer; Real = real; }

    /// <summary>An optional argument that is not given.</summary>
    public static Arg None => default;

    /// <summary>A list of optional tensors, as <c>aten::index</c> takes.</summary>
    public static Arg Optional(Tensor?[] tensors) => new(ArgKind.OptionalTensorList, tensors);

    public static implicit operator Arg(Tensor? value) => value is null ? default : new(ArgKind.Tensor, value);
    public static implicit operator Arg(Tensor[] value) => new(ArgKind.TensorList, value);
    public static implicit operator Arg(long value) => new(ArgKind.Int, null, value);
    public static implicit operator Arg(int value) => new(ArgKind.Int, null, value);
    public static implicit operator Arg(double value) => new(ArgKind.Double, null, 0, value);
    public static implicit operator Arg(bool value) => new(ArgKind.Bool, null, value ? 1 : 0);
    public static implicit operator Arg(long[] value) => new(ArgKind.IntList, value);
    public static implicit operator Arg(double[] value) => new(ArgKind.DoubleList, value);
    public static implicit operator Arg(string value) => new(ArgKind.String, value);
    public static implicit operator Arg(Device value) => new(ArgKind.Device, value.ToString());
    public static implicit operator Arg(DType value) => new(ArgKind.Int, null, (long)value);
    public static implicit operator Arg(MemoryFormat value) => new(ArgKind.Int, null, (long)value);
    public static implicit operator Arg(Generator value) => new(ArgKind.Generator, value);
}

/// <summary>
/// One operator of libtorch, found by name once and called through the dispatcher with boxed arguments, so autograd and autocast apply.
/// Arguments left out at the end take the defaults of the operator's schema.
/// </summary>
public sealed unsafe class Operator
{
    private readonly nint _handle;
    private readonly string _name;

    private Operator(string name, nint handle) { _name = name; _handle = handle; }

    /// <summary>Finds an operator, e.g. <c>Find("aten::add", "Tensor")</c>. Keep the result: the look-up takes microseconds, a call less than one.</summary>
    /// <exception cref="TorchException">This libtorch has no such operator.</exception>
    public static Operator Find(string name, string overload = "")
    {
        var status = NativeMethods.gmx_operator_find(name, overload, out var handle);
        if (status != 0) TorchException.Throw(status, name);
        return new Operator(name, handle);
    }

    /// <summary>Calls the operator for its first result.</summary>
    public Tensor Call(params ReadOnlySpan<Arg> args)
    {
        nint result;
        Invoke(args, &result, 1);
        return Tensor.Adopt(result);
    }

    /// <summary>Calls an operator whose result is one of its arguments (an in-place operator), or that has none.</summary>
    public void Run(params ReadOnlySpan<Arg> args)
    {
        nint* results = stackalloc nint[8];
        var count = Invoke(args, results, 8);
        for (var i = 0; i < count; i++) NativeMethods.gmx_tensor_free(results[i]);
    }

    /// <summary>Calls the operator for all its results; a result that is undefined comes back as null.</summary>
    public Tensor?[] CallMany(int atMost, params ReadOnlySpan<Arg> args)
    {
        var buffer = stackalloc nint[atMost];
        var count = Invoke(args, buffer, atMost);
        var results = new Tensor?[count];
        for (var i = 0; i < count; i++) results[i] = buffer[i] == 0 ? null : Tensor.Adopt(buffer[i]);
        return results;
    }

    private int Invoke(ReadOnlySpan<Arg> args, nint* results, int capacity)
    {
        // lists are copied to one block of words on the stack; strings to bytes in the same block
        var words = 0;
        foreach (ref readonly var arg in args)
            words += arg.Object switch { long[] a => a.Length, double[] a => a.Length, Array a => a.Length, string s => s.Length / 2 + 2, _ => 0 };
        var block = stackalloc long[Math.Max(1, words <= 512 ? words : 0)];
        var large = words > 512 ? new long[words] : null;
        var native = stackalloc NativeArg[Math.Max(1, args.Length)];
        fixed (long* pinned = large)
        {
            var next = large is null ? block : pinned;
            for (var i = 0; i < args.Length; i++)
            {
                ref readonly var arg = ref args[i];
                native[i] = default;
                native[i].Kind = arg.Kind;
                switch (arg.Kind)
                {
                    case ArgKind.Tensor: native[i].Pointer = Unsafe.As<Tensor>(arg.Object)!.Handle; break;
                    case ArgKind.Generator: native[i].Pointer = Unsafe.As<Generator>(arg.Object)!.Handle; break;
                    case ArgKind.Double: native[i].Real = arg.Real; break;
                    case ArgKind.Int or ArgKind.Bool: native[i].Integer = arg.Integer; break;
                    case ArgKind.None: break;
                    default:
                        native[i].Pointer = (nint)next;
                        (native[i].Length, var used) = Copy(arg.Object!, next);
                        next += used;
                        break;
                }
            }
            var status = NativeMethods.gmx_operator_call(_handle, native, args.Length, results, capacity, out var count);
            foreach (ref readonly var arg in args) GC.KeepAlive(arg.Object);
            if (status != 0) TorchException.Throw(status, Describe(args));
            return count;
        }
    }

    private static (int Length, int Words) Copy(object list, long* target)
    {
        switch (list)
        {
            case long[] integers: integers.CopyTo(new Span<long>(target, integers.Length)); return (integers.Length, integers.Length);
            case double[] reals: reals.CopyTo(new Span<double>(target, reals.Length)); return (reals.Length, reals.Length);
            case string text:
                var bytes = Encoding.UTF8.GetBytes(text, new Span<byte>(target, (text.Length / 2 + 2) * 8));
                return (bytes, text.Length / 2 + 2);
            case Tensor?[] tensors:
                for (var i = 0; i < tensors.Length; i++) target[i] = tensors[i] is { } t ? t.Handle : 0;
                return (tensors.Length, tensors.Length);
            default: throw new NotSupportedException($"no operator takes {list.GetType().Name}");
        }
    }

    /// <summary>The operator with what it was given, e.g. <c>aten::mm(float32[2, 3], float32[4, 5])</c>.</summary>
    private string Describe(ReadOnlySpan<Arg> args)
    {
        var text = new StringBuilder(_name).Append('(');
        for (var i = 0; i < args.Length; i++)
        {
            if (i > 0) text.Append(", ");
            text.Append(args[i].Kind switch
            {
                ArgKind.None => "none",
                ArgKind.Int => args[i].Integer.ToString(),
                ArgKind.Bool => args[i].Integer != 0 ? "true" : "false",
                ArgKind.Double => args[i].Real.ToString("R"),
                ArgKind.IntList => $"[{string.Join(", ", (long[])args[i].Object!)}]",
                ArgKind.TensorList or ArgKind.OptionalTensorList => $"[{string.Join(", ", ((Tensor?[])args[i].Object!).Select(t => t?.ToString() ?? "none"))}]",
                _ => args[i].Object?.ToString(),
            });
        }
        return text.Append(')').ToString();
    }
}
