using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace GMix.Data;

/// <summary>
/// Bytes of decoded images at one fixed address: a pinned array, native memory where an array is too small (above 2 GiB), a scratch file, or
/// a read-only view of a cache file. The address stays valid until <see cref="Dispose"/>; a buffer that is never disposed keeps such
/// memory until the process ends, so that a span handed out earlier can never point at freed memory.
/// </summary>
public sealed unsafe class PixelBuffer : IDisposable
{
    private readonly byte[]? _array;
    private readonly MemoryMappedFile? _file;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly bool _readOnly;
    private readonly bool _native;
    private byte* _pointer;

    private PixelBuffer(byte[] array)
    {
        _array = array;
        Length = array.Length;
        // Arrays handed in here are always on the pinned object heap.
        _pointer = (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(array, 0);
    }

    private PixelBuffer(byte* native, long length)
    {
        _native = true;
        _pointer = native;
        Length = length;
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
        return new PixelBuffer((byte*)NativeMemory.Alloc((nuint)length), length);
    }

    /// <summary>
    /// As <see cref="Allocate"/>, but where an array is too small the bytes are those of a file without a name in <paramref name="directory"/>,
    /// so that sets larger than the machine's memory can be decoded.
    /// </summary>
    /// <exception cref="IOException">The disk has no room.</exception>
    internal static PixelBuffer AllocateScratch(long length, string directory, long arrayLimit)
    {
        if (length <= arrayLimit)
        {
            return Allocate(length);
        }
        Directory.CreateDirectory(directory);
        string path = Path.Combine(directory, $"scratch.{Guid.NewGuid():n}.tmp");
        try
        {
            // Room is reserved now: writing to a mapped hole on a full disk would kill the process.
            using FileStream stream = new(path, new FileStreamOptions
            {
                Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite | FileShare.Delete, PreallocationSize = length,
            });
            stream.SetLength(length);
            MemoryMappedFile file = MemoryMappedFile.CreateFromFile(stream, null, length, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
            return new PixelBuffer(file, file.CreateViewAccessor(0, length), length, readOnly: false);
        }
        finally
        {
            // The mapping outlives the name: nothing is left behind however the process ends.
            File.Delete(path);
        }
    }

    /// <summary>Whether the bytes are those of a file.</summary>
    internal bool IsMapped => _file is not null;

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
        if (_native)
        {
            NativeMemory.Free(_pointer);
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
