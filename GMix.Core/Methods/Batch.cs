using GMix.Torch;

namespace GMix.Methods;

/// <summary>Examples as the data set gives them.</summary>
/// <param name="Images">(n, c, h, w), normalised.</param>
/// <param name="Labels">(n), Int64 class indices.</param>
public sealed record Batch(Tensor Images, Tensor Labels)
{
    /// <summary>n.</summary>
    public int Count => (int)Labels.Count;
}

/// <summary>Soft labels without one-hot rows: λ a + (1 − λ) b per example. Unmixed labels have no B and no λ.</summary>
/// <param name="A">(n), Int64.</param>
/// <param name="B">(n), Int64: the partner's class.</param>
/// <param name="Lambda">(n), weights of A.</param>
public sealed record Targets(Tensor A, Tensor? B = null, Tensor? Lambda = null)
{
    /// <summary>Whether labels are mixed.</summary>
    public bool Mixed => B is not null;

    /// <summary>The targets of some examples.</summary>
    public Targets Rows(Tensor rows) => Mixed ? new(A.Rows(rows), B!.Rows(rows), Lambda!.Rows(rows)) : new(A.Rows(rows));

    /// <summary>Credit of predicted classes (n), as Mixup counts accuracy: λ where A is predicted plus 1 − λ where B is; values in [0, 1].</summary>
    public Tensor Credit(Tensor predicted)
    {
        var a = predicted.Eq(A).To(DType.Float64);
        if (!Mixed) return a;
        var lambda = Lambda!.To(DType.Float64);
        return lambda * a + (1 - lambda) * predicted.Eq(B!).To(DType.Float64);
    }
}

/// <summary>The batch that is trained on: V in methods that mix, the batch itself in others.</summary>
/// <param name="Inputs">(n, c, h, w).</param>
/// <param name="Targets">Its labels.</param>
public sealed record VicinalBatch(Tensor Inputs, Targets Targets)
{
    /// <summary>n.</summary>
    public int Count => (int)Targets.A.Count;

    /// <summary>Changes hidden activations at a stage, for methods that mix there instead of at the input.</summary>
    public Func<int, Tensor, Tensor>? AtStage { get; init; }

    /// <summary>The stage that <see cref="AtStage"/> changes; a network without that stage is an error.</summary>
    public int Stage { get; init; }

    /// <summary>Whether this is the batch as the data set gave it.</summary>
    internal bool IsThe(Batch batch) => ReferenceEquals(Inputs, batch.Images) && !Targets.Mixed && AtStage is null;

    /// <summary>What a mix found out on the way, for diagnostics and traces (MaxUp: the losses of all copies).</summary>
    public IReadOnlyDictionary<string, Tensor> Found { get; init; } = new Dictionary<string, Tensor>();
}
