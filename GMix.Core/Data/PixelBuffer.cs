using System.IO.MemoryMappedFiles;

namespace GMix.Data;

/// <summary>
/// Bytes of decoded images at one fixed address: a pinned array, anonymous memory where an array is too small (above 2 GiB), or a
/// read-only view of a cache file. The address stays valid until <see cref="Dispose"/>; a buffer that is never disposed keeps mapped
/// memory until the process ends, so that a span handed out earlier can never point at freed memory.
/// </summary>
public sealed unsafe class PixelBuffer : IDisposable
{
    private readonly byte[]? _array;
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly bool _readOnly;
    private byte* _pointer;

    private PixelBuffer(byte[] array)
    {
        _array = array;
        Length = array.Length;
        // Arrays handed in here are always on the pinned object heap.
        _pointer = (byte*)System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
    }

    private PixelBuffer(MemoryMappedFile file, MemoryMappedViewAccessor view, long length, bool readOnly)
    {
        _file = file;
        _view = view;
        _readOnly = readOnly;
        Length = length;
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _pointer = start + view.PointerOffset;
    }

    /// <summary>Number of bytes.</summary>
    public long Length { get; }

    /// <summary>The first byte. Valid until <see cref="Dispose"/>, and for array-backed buffers only while this object is referenced.</summary>
    public byte* Pointer => _pointer != null || Length == 0 ? _pointer : throw new ObjectDisposedException(nameof(PixelBuffer));

    /// <summary>Uninitialised memory of <paramref name="length"/> bytes.</summary>
    public static PixelBuffer Allocate(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (length <= Array.MaxLength)
        {
            return new PixelBuffer(GC.AllocateUninitializedArray<byte>((int)length, pinned: true));
        }
        MemoryMappedFile file = MemoryMappedFile.CreateNew(null, length);
        return new PixelBuffer(file, file.CreateViewAccessor(0, length), length, readOnly: false);
    }

    /// <summary>A copy of <paramref name="bytes"/>.</summary>
    public static PixelBuffer CopyOf(ReadOnlySpan<byte> bytes)
    {
        PixelBuffer buffer = Allocate(bytes.Length);
        bytes.CopyTo(buffer.Writable(0, bytes.Length));
        return buffer;
    }

    /// <summary>A read-only view of <paramref name="length"/> bytes of a file, from byte <paramref name="offset"/>.</summary>
    public static PixelBuffer Map(string path, long offset, long length)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        MemoryMappedFile file = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        return new PixelBuffer(file, file.CreateViewAccessor(offset, length, MemoryMappedFileAccess.Read), length, readOnly: true);
    }

    /// <summary>The bytes <c>[offset, offset + length)</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the buffer.</exception>
    public ReadOnlySpan<byte> AsSpan(long offset, int length)
    {
        Check(offset, length);
        // Array-backed spans keep their array alive by themselves.
        return _array is not null ? _array.AsSpan((int)offset, length) : new ReadOnlySpan<byte>(Pointer + offset, length);
    }

    /// <summary>The same range for filling; only for buffers from <see cref="Allocate"/>.</summary>
    internal Span<byte> Writable(long offset, int length)
    {
        if (_readOnly)
        {
            throw new InvalidOperationException("This pixel buffer is a read-only view of a file.");
        }
        Check(offset, length);
        return _array is not null ? _array.AsSpan((int)offset, length) : new Span<byte>(Pointer + offset, length);
    }

    /// <summary>Releases mapped memory. Spans and pointers taken before are invalid afterwards.</summary>
    public void Dispose()
    {
        if (_pointer == null)
        {
            return;
        }
        _pointer = null;
        if (_view is not null)
        {
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
            _file!.Dispose();
        }
    }

    private void Check(long offset, int length)
    {
        if (offset < 0 || length < 0 || offset > Length - length)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes {offset} to {offset + length} leave a buffer of {Length} bytes.");
        }
        ObjectDisposedException.ThrowIf(_pointer == null && Length > 0, this);
    }
}
