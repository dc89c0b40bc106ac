namespace GMix.Torch;

/// <summary>A random number generator of libtorch. GMix seeds it from (seed, epoch, step) before each use, so draws never depend on what was drawn before.</summary>
public sealed class Generator : IDisposable
{
    private nint _handle;

    /// <summary>A generator for tensors on that device.</summary>
    public Generator(Device device)
    {
        var status = NativeMethods.gmx_generator_new(device.ToString(), out _handle);
        if (status != 0) TorchException.Throw(status, $"a random generator on {device}");
    }

    internal nint Handle => _handle != 0 ? _handle : throw new ObjectDisposedException(nameof(Generator));

    /// <summary>Starts the stream that belongs to <paramref name="seed"/>.</summary>
    public Generator Seed(ulong seed)
    {
        Recording.Refuse("draw random numbers: make them with Draw.OnDevice");
        var status = NativeMethods.gmx_generator_seed(Handle, seed);
        if (status != 0) TorchException.Throw(status, "seeding a random generator");
        return this;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_handle != 0) NativeMethods.gmx_generator_free(_handle);
        _handle = 0;
        GC.SuppressFinalize(this);
    }

    /// <summary>A safety net for a generator that nobody disposed.</summary>
    ~Generator() => Dispose();
}
