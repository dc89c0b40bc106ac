namespace GMix.Torch;

/// <summary>Reverse-mode differentiation, and switching it off.</summary>
public static unsafe class Autograd
{
    /// <summary>Whether operators record a graph on this thread.</summary>
    public static bool Enabled => NativeMethods.gmx_grad_enabled() != 0;

    /// <summary>Stops recording until disposed: <c>using (Autograd.NoGrad()) …</c></summary>
    public static GradMode NoGrad() => new(false);

    /// <summary>Records until disposed, also inside <see cref="NoGrad"/>.</summary>
    public static GradMode WithGrad() => new(true);

    /// <summary>Restores the former mode at disposal.</summary>
    public readonly struct GradMode : IDisposable
    {
        private readonly int _before;
        internal GradMode(bool on)
        {
            _before = NativeMethods.gmx_grad_enabled();
            NativeMethods.gmx_set_grad_enabled(on ? 1 : 0);
        }

        /// <inheritdoc/>
        public void Dispose() => NativeMethods.gmx_set_grad_enabled(_before);
    }

    /// <summary>
    /// The gradients of <paramref name="output"/> (a scalar, or any shape with <paramref name="seed"/> of that shape) with respect to each input.
    /// An input that does not take part gives zeros.
    /// </summary>
    /// <param name="retainGraph">Keep the graph for a further call.</param>
    /// <param name="createGraph">Make the gradients differentiable themselves.</param>
    public static Tensor[] Gradients(Tensor output, IReadOnlyList<Tensor> inputs, Tensor? seed = null, bool retainGraph = false, bool createGraph = false)
    {
        var n = inputs.Count;
        var handles = new nint[n];
        var results = new nint[n];
        for (var i = 0; i < n; i++) handles[i] = inputs[i].Handle;
        fixed (nint* p = handles, r = results)
        {
            var status = NativeMethods.gmx_grad(output.Handle, seed?.Handle ?? 0, p, n, retainGraph || createGraph ? 1 : 0, createGraph ? 1 : 0, r);
            GC.KeepAlive(inputs);
            if (status != 0) TorchException.Throw(status, "the backward pass");
        }
        var gradients = new Tensor[n];
        for (var i = 0; i < n; i++) gradients[i] = results[i] != 0 ? Tensor.Adopt(results[i]) : inputs[i].ZerosLike();
        return gradients;
    }

    /// <summary>The gradients of a scalar, or of the mean of several, as one flat vector: each input's elements in its memory order, one input after another. One native call.</summary>
    internal static Tensor FlatGradient(Tensor output, nint[] inputs, bool retainGraph)
    {
        fixed (nint* p = inputs)
        {
            var status = NativeMethods.gmx_grad_flat(output.Handle, p, inputs.Length, retainGraph ? 1 : 0, out var flat);
            if (status != 0) TorchException.Throw(status, "the backward pass");
            return Tensor.Adopt(flat);
        }
    }
}

/// <summary>Runs matrix products and convolutions in bfloat16 while open; closing it drops the cached casts of the weights.</summary>
public readonly struct Autocast : IDisposable
{
    private readonly bool _on, _cuda;

    /// <param name="on">False makes it do nothing, so that call sites need no branch.</param>
    /// <param name="device">Where the pass runs.</param>
    public Autocast(bool on, Device device)
    {
        (_on, _cuda) = (on, device.IsCuda);
        if (_on) Set(true);
    }

    private void Set(bool on)
    {
        var status = NativeMethods.gmx_set_autocast(on ? 1 : 0, _cuda ? 1 : 0);
        if (status != 0) TorchException.Throw(status, "switching autocast");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_on) Set(false);
    }
}
