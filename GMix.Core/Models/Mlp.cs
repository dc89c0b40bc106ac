using GMix.Nn;
using GMix.Torch;

namespace GMix.Models;

/// <summary>A perceptron with ReLU between its layers: <c>fc1</c>, <c>fc2</c>, … on the flattened image.</summary>
public sealed class Mlp : Model
{
    private readonly Linear[] _layers;
    private readonly Activation _activation;
    private Tensor[]? _weights;

    /// <summary>The nonlinearity between layers.</summary>
    public enum Activation { Relu, Tanh, Softplus, Gelu }

    /// <param name="inputs">Elements of one image.</param>
    /// <param name="hidden">Width of each hidden layer; none makes softmax regression.</param>
    /// <param name="classes">Classes.</param>
    /// <param name="activation">ReLU, or a smooth one where a test needs derivatives.</param>
    public Mlp(int inputs, IReadOnlyList<int> hidden, int classes, Activation activation = Activation.Relu)
    {
        Classes = classes;
        _activation = activation;
        int[] widths = [inputs, .. hidden, classes];
        _layers = [.. Enumerable.Range(1, widths.Length - 1).Select(i => Add($"fc{i}", new Linear(widths[i - 1], widths[i])))];
    }

    /// <inheritdoc/>
    public override int Classes { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var h = x.Flatten(1);
        if (_activation == Activation.Relu && pass.AtStage is null) return h.Perceptron(_weights ??= [.. NamedParameters().Select(p => p.Parameter.Value)]);
        for (var i = 0; i < _layers.Length; i++)
        {
            h = _layers[i].Forward(h);
            if (i < _layers.Length - 1) h = pass.Stage(i + 1, Activate(h));
        }
        return h;
    }

    private Tensor Activate(Tensor h) => _activation switch
    {
        Activation.Relu => h.Relu(),
        Activation.Tanh => h.Tanh(),
        Activation.Softplus => h.Softplus(),
        _ => h.Gelu(),
    };
}
