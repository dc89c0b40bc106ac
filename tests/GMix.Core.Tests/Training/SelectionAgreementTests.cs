using GMix.Methods;
using GMix.Nn;
using GMix.Torch;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Training;

/// <summary>Whether bfloat16 decides selections by rounding: the measurement, and scoring in float32.</summary>
public sealed class SelectionAgreementTests
{
    private static TrainConfig Config(Precision precision, ScorePrecision score) => new()
    {
        Dataset = "synthetic", Model = "wrn-10-1", Method = "dgmix", MethodOptions = new MethodOptions { ScorePrecision = score }, Epochs = 1, Batch = 32, Limit = 160, TestLimit = 20,
        Seed = 3, Precision = precision,
    };

    private static (IReadOnlyList<Agreement> Steps, double[] Weights) Train(Precision precision, ScorePrecision score = ScorePrecision.Training, bool watched = true)
    {
        var config = Config(precision, score);
        var method = MethodCatalog.Get(config.Method, config.MethodOptions);
        var watch = new SelectionAgreement();
        using var trainer = new Trainer(config, Trainer.Open(config), watched ? watch.Watch(method) : method);
        while (!trainer.Done) trainer.RunEpoch();
        using var scope = new TensorScope();
        return (watch.Steps, trainer.Network.Parameters.Value.ToDoubles());
    }

    /// <summary>EXACT: the comparison sees every step and leaves training as it is, bit for bit.</summary>
    [Fact]
    public void WatchingChangesNothing()
    {
        var (steps, weights) = Train(Precision.BFloat16);
        Assert.Equal(5, steps.Count);
        Assert.Equal(Train(Precision.BFloat16, watched: false).Weights, weights);
    }

    /// <summary>EXACT: without bfloat16 there is nothing to disagree about, and scoring in float32 changes nothing.</summary>
    [Fact]
    public void Float32AgreesWithItself()
    {
        var (steps, weights) = Train(Precision.Float32);
        Assert.All(steps, s => Assert.Equal((1.0, 0.0), (s.Overlap, s.Noise)));
        Assert.Equal(weights, Train(Precision.Float32, ScorePrecision.Float32).Weights);
    }

    /// <summary>EXACT: scoring in float32 selects what float32 selects. In bfloat16's own arithmetic the sensitivities carry noise.</summary>
    [Fact]
    public void ScoringInFloat32SelectsAsFloat32()
    {
        Assert.All(Train(Precision.BFloat16, ScorePrecision.Float32).Steps, s => Assert.Equal(1.0, s.Overlap));
        Assert.All(Train(Precision.BFloat16).Steps, s => Assert.True(s.Noise > 0 && s.RankCorrelation is > 0 and <= 1 && s.Overlap is >= 0 and <= 1));
    }
}
