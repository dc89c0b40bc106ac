using GMix.Methods;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>
/// The mean loss L(w) of a network on examples that do not change, with its gradient and Hessian products. BatchNorm runs on its running
/// statistics and dropout is off, so that L is a function of w alone. The loss is cross-entropy without label smoothing, in nats.
/// </summary>
public sealed class FixedLoss
{
    private readonly Loss _loss = new();
    private readonly Tensor[] _parameters;

    /// <param name="network">The network; its weights and buffers are never changed here.</param>
    /// <param name="batches">The examples in the batches that run together; they must outlive this object.</param>
    public FixedLoss(Network network, IReadOnlyList<VicinalBatch> batches)
    {
        if (batches.Count == 0) throw new ArgumentException("a loss needs at least one batch", nameof(batches));
        (Network, Batches) = (network, batches);
        Count = batches.Sum(b => b.Count);
        _parameters = [.. network.Parameters.Parts.Select(p => p.Parameter.Value)];
    }

    /// <summary>Whose loss.</summary>
    public Network Network { get; }
    /// <summary>The examples.</summary>
    public IReadOnlyList<VicinalBatch> Batches { get; }
    /// <summary>Examples in all batches, n.</summary>
    public int Count { get; }

    /// <summary>L at the weights as they are.</summary>
    public double Value() => Enumerable.Range(0, Batches.Count).Sum(i => Value(i) * Batches[i].Count) / Count;

    /// <summary>The mean loss of one batch at the weights as they are.</summary>
    public double Value(int batch)
    {
        using var scope = new TensorScope();
        using var noGrad = Autograd.NoGrad();
        return Run(batch).Losses.Mean(DType.Float64).Item();
    }

    /// <summary>L and the accuracy in percent, counted with λ where labels are mixed.</summary>
    public (double Loss, double Accuracy) Measure()
    {
        var (loss, credit) = (0.0, 0.0);
        for (var i = 0; i < Batches.Count; i++)
        {
            using var scope = new TensorScope();
            using var noGrad = Autograd.NoGrad();
            var (losses, logits) = Run(i);
            // as Value does it, so that both give the same number
            loss += losses.Mean(DType.Float64).Item() * Batches[i].Count;
            credit += Batches[i].Targets.Credit(logits.ArgMax(1)).Sum().Item();
        }
        return (loss / Count, 100 * credit / Count);
    }

    /// <summary>L and ∇L, shape (d), at the weights as they are.</summary>
    public (double Value, Tensor Gradient) WithGradient()
    {
        var total = Network.Parameters.Value.ZerosLike();
        var sum = 0.0;
        for (var i = 0; i < Batches.Count; i++)
        {
            using var scope = new TensorScope();
            var (value, gradient) = WithGradient(i);
            using var noGrad = Autograd.NoGrad();
            sum += value * Batches[i].Count;
            total.AddInPlace(gradient, (double)Batches[i].Count / Count);
        }
        return (sum / Count, total);
    }

    /// <summary>The mean loss of one batch and its gradient, shape (d).</summary>
    public (double Value, Tensor Gradient) WithGradient(int batch)
    {
        using var scope = new TensorScope();
        using var withGrad = Autograd.WithGrad();
        var mean = Run(batch).Losses.Mean(DType.Float64);
        var gradient = scope.Keep(Network.Parameters.Gradient(mean));
        return (mean.Item(), gradient);
    }

    /// <summary>H v with the Hessian H of L at the weights as they are: the gradient of ⟨∇L, v⟩, by differentiating twice. Shape (d).</summary>
    /// <param name="vector">v, shape (d).</param>
    public Tensor HessianTimes(Tensor vector)
    {
        var total = Network.Parameters.Value.ZerosLike();
        for (var i = 0; i < Batches.Count; i++)
        {
            using var scope = new TensorScope();
            Tensor along;
            using (Autograd.WithGrad())
            {
                var gradients = Autograd.Gradients(Run(i).Losses.Mean(DType.Float64), _parameters, createGraph: true);
                along = gradients.Select((g, p) => (g * Stretch(vector, p)).Sum()).Aggregate((a, b) => a + b);
            }
            var product = Network.Parameters.Gradient(along);
            using var noGrad = Autograd.NoGrad();
            total.AddInPlace(product, (double)Batches[i].Count / Count);
        }
        return total;
    }

    /// <summary>The part of a vector over all weights that belongs to one parameter, in the parameter's shape.</summary>
    private Tensor Stretch(Tensor vector, int part)
    {
        var parameter = _parameters[part];
        return vector.AsStrided(parameter.Shape, parameter.Strides, Network.Parameters.Parts[part].Offset);
    }

    private (Tensor Losses, Tensor Logits) Run(int batch)
    {
        var b = Batches[batch];
        var logits = Network.Logits(b.Inputs, new ForwardPass(BatchNormMode.Eval) { AtStage = b.AtStage });
        return (_loss.PerExample(logits, b.Targets), logits);
    }
}
