using System.Runtime.InteropServices;

namespace GMix.Torch;

/// <summary>What kind of failure libtorch reported (<c>gmx::Status</c> in native/shim.h).</summary>
public enum TorchErrorKind { None, General, Index, Value, Type, NotImplemented, OutOfMemory, NoCuda }

/// <summary>A failure inside libtorch, with the operator that failed and the shapes it was given.</summary>
public class TorchException : Exception
{
    internal TorchException(TorchErrorKind kind, string message) : base(message) => Kind = kind;

    /// <summary>The kind of failure.</summary>
    public TorchErrorKind Kind { get; }

    /// <summary>Turns a status of the shim into an exception; <paramref name="doing"/> is only built on failure.</summary>
    internal static void ThrowIf(int status, Func<string> doing)
    {
        if (status != 0) Throw(status, doing());
    }

    internal static void Throw(int status, string doing)
    {
        // libtorch's messages run over several lines (schema dumps, hints for Python); the first says what is wrong
        var text = (Marshal.PtrToStringUTF8(NativeMethods.gmx_last_error()) ?? "").Split('\n')[0].Trim();
        var message = $"{doing}: {text}";
        throw (TorchErrorKind)status == TorchErrorKind.OutOfMemory ? new TorchOutOfMemoryException(message) : new TorchException((TorchErrorKind)status, message);
    }
}

/// <summary>The device has no room for what was asked.</summary>
public sealed class TorchOutOfMemoryException : TorchException
{
    internal TorchOutOfMemoryException(string message) : base(TorchErrorKind.OutOfMemory, message) { }
}
