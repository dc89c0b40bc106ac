using GMix.Methods;
using GMix.Torch;
using Xunit;

namespace GMix.Core.Tests.Methods;

/// <summary>Every Mix with every Perturb with every Combine: it works, or is refused by name with the reason.</summary>
public class CombinationTable
{
    private static readonly Mix[] mixes =
        [new NoMix(), new Mixup(), new Mixup(0.5, true, true), new CutMix(1, 1), new ManifoldMixup(2, [1, 2]), new ManifoldMixup(2, [0]), new GaussianNoise(), new CropFlip(), new MaxUp(2), new MaxUp(2, new GaussianNoise()), new MaxUp(2, new ManifoldMixup())];

    private static readonly Perturb[] perturbs =
    [
        new NoPerturb(), new Sam(), new Sam(0.1, 0.01), new Sam { AscentOn = AscentBatch.Clean }, new Sam { Scope = PerturbScope.Weights }, new Sam { When = new When(2) }, new Asam(), new Asam(WeightsOnly: true), new AaceSam(), new AaceSam(0.2, true, 0.1, AaceTarget.Random),
        new MaskedSam(), new MaskedSam(PerElement: true), new Amp(), new Amp(0.5, 1, 2, true), new Amp(Steps: 0),
    ];

    private static readonly Combine[] combines =
    [
        new All(), new Binary(), new Binary(0.5, SelectionScore.Random, SelectionRounding.Ceil), new Binary(Subset: SubsetForward.Reuse), new Decomposed(), new Decomposed(Subset: SubsetForward.Reuse), new Decomposed(Subset: SubsetForward.Reuse, MinusAtBase: true),
        new Decomposed(MinusByBatch: true), new Gsam(), new GradientNormPenalty(), new GradientNormPenalty(NormalizeBase: true), new LookSam(),
    ];

    public static TheoryData<int> MixNumbers { get; } = [.. Enumerable.Range(0, mixes.Length)];

    [Theory, MemberData(nameof(MixNumbers))]
    public void Works_or_is_refused_by_name(int mixNumber)
    {
        var mix = mixes[mixNumber];
        // ten examples: γ n is whole for every γ in the table, so that costs are exact
        using var lab = new Lab(count: 10);
        var before = Lab.Bits(lab.Network.Parameters.Value);
        foreach (var perturb in perturbs)
            foreach (var combine in combines)
            {
                var method = Lab.Of(mix, perturb, combine);
                var hidden = mix is ManifoldMixup { Layers: [1, 2] };
                var reason = mix is MaxUp { Copy: ManifoldMixup } ? "copies by ManifoldMixup"
                    : perturb is NoPerturb or Amp { Steps: 0 } && combine is not All ? $"Combine {combine} needs a Perturb"
                    : hidden && combine is Binary { Subset: SubsetForward.Recompute } or Decomposed { Subset: SubsetForward.Recompute } && hidden ? "cannot run a part of the batch by itself"
                    : hidden && combine is Decomposed { MinusAtBase: true } ? "cannot run a part of the batch by itself"
                    : null;
                if (reason is not null)
                {
                    var error = Assert.Throws<GMixInputException>(() => new MethodStep(lab.Network, method));
                    Assert.StartsWith("Test: ", error.Message);
                    Assert.Contains(reason, error.Message);
                    Assert.DoesNotContain('\n', error.Message);
                    continue;
                }
                using var step = new MethodStep(lab.Network, method);
                var (forwards, backwards) = (0.0, 0.0);
                for (var t = 0; t < 2; t++)
                {
                    using var scope = new TensorScope();
                    var result = step.Run(lab.Batch, lab.At(method, t));
                    Assert.True(result.Direction.AllFinite().Item() != 0, $"{method}");
                    Assert.Equal(lab.Network.Parameters.Length, result.Direction.Count);
                    (forwards, backwards) = (forwards + result.Forwards / 2, backwards + result.Backwards / 2);
                }
                Assert.True(Math.Abs(method.Cost.Forwards - forwards) + Math.Abs(method.Cost.Backwards - backwards) < 1e-12, $"{method} promises {method.Cost} and ran {new Cost(forwards, backwards)}");
                Assert.True(before.AsSpan().SequenceEqual(Lab.Bits(lab.Network.Parameters.Value)), $"{method} moved the weights");
            }
    }
}
