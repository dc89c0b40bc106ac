using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Brings a network's weights and buffers back, bit for bit, at disposal: for measurements that run training passes.</summary>
internal sealed class StateGuard : IDisposable
{
    private readonly (Tensor Value, Tensor Copy)[] _state;

    public StateGuard(Network network)
    {
        using var noGrad = Autograd.NoGrad();
        _state = [.. network.State().Select(s => (s.Value, TensorScope.Detach(s.Value.Clone())))];
    }

    public void Dispose()
    {
        using var noGrad = Autograd.NoGrad();
        foreach (var (value, copy) in _state)
        {
            value.CopyFrom(copy);
            copy.Dispose();
        }
    }
}
