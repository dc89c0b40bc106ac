using GMix.Data;
using GMix.Methods;
using GMix.Models;
using GMix.Nn;
using GMix.Torch;

namespace GMix.Training;

/// <summary>Everything that decides a training run, resolved: two equal configurations on one machine give bitwise equal weights.</summary>
public sealed record TrainConfig
{
    /// <summary>Name of the data set.</summary>
    public string Dataset { get; init; } = "synthetic";
    /// <summary>Folder of the data; null where it is generated or found by default.</summary>
    public string? Data { get; init; }
    /// <summary>Class-balanced part of the training images; 0 for all.</summary>
    public int Limit { get; init; }
    /// <summary>Class-balanced part of the test images, the same for every seed; 0 for all.</summary>
    public int TestLimit { get; init; }
    /// <summary>For image folders: every image centre-cropped and resized to Size × Size; null keeps their own size.</summary>
    public int? Size { get; init; }
    /// <summary>CIFAR-100's 20 coarse labels instead of its 100 fine ones.</summary>
    public bool CoarseLabels { get; init; }
    /// <summary>Normalises with the widespread but too small deviations, to compare with code that does.</summary>
    public bool LegacyNormalization { get; init; }
    /// <summary>Name of the model.</summary>
    public string Model { get; init; } = "wrn-10-1";
    /// <summary>Choices beyond the model's name.</summary>
    public ModelOptions ModelOptions { get; init; } = new();
    /// <summary>Name of the method.</summary>
    public string Method { get; init; } = "vanilla";
    /// <summary>Its hyper-parameters.</summary>
    public MethodOptions MethodOptions { get; init; } = new();
    /// <summary>Augmentation of the training images.</summary>
    public Augmentation Augmentation { get; init; } = Augmentation.None;
    /// <summary>Epochs ≥ 1.</summary>
    public int Epochs { get; init; } = 15;
    /// <summary>Examples per step.</summary>
    public int Batch { get; init; } = 128;
    /// <summary>Peak learning rate.</summary>
    public double LearningRate { get; init; } = 0.1;
    /// <summary>SGD's momentum, weight decay, Nesterov, clipping.</summary>
    public SgdOptions Sgd { get; init; } = new();
    /// <summary>How the learning rate falls.</summary>
    public ScheduleKind Schedule { get; init; } = ScheduleKind.Cosine;
    /// <summary>Shares of the training at which a step schedule drops.</summary>
    public IReadOnlyList<double> Milestones { get; init; } = [0.5, 0.75];
    /// <summary>By what it drops.</summary>
    public double Factor { get; init; } = 0.1;
    /// <summary>Epochs of linear warm-up.</summary>
    public double Warmup { get; init; }
    /// <summary>Leaves a shorter last batch out.</summary>
    public bool DropLast { get; init; }
    /// <summary>Streams the images from host memory even where they fit the device; the batches are bitwise the same.</summary>
    public bool Stream { get; init; }
    /// <summary>Arithmetic.</summary>
    public Precision Precision { get; init; } = Precision.Float32;
    /// <summary>On the processor: which 3x3 convolutions run by Winograd's algorithm; null leaves it as the thread has it, at first to what pays.</summary>
    public Winograd? Winograd { get; init; }
    /// <summary>Threads of one operator.</summary>
    public int Threads { get; init; } = 1;
    /// <summary>cpu, cuda or cuda:INDEX.</summary>
    public string Device { get; init; } = "cpu";
    /// <summary>On a GPU: whole steps as CUDA graphs where their shapes allow. The bits are the same without.</summary>
    public bool Graph { get; init; } = true;
    /// <summary>On a GPU: which float32 operations may use TF32.</summary>
    public Tf32 Tf32 { get; init; } = Tf32.Convolutions;
    /// <summary>On a GPU: lets cuDNN search its fastest algorithms; two runs may then differ in their last bits.</summary>
    public bool CudnnBenchmark { get; init; }
    /// <summary>Seed of initial weights and of every draw.</summary>
    public long Seed { get; init; }
    /// <summary>α of the mixed copies on which methods that do not mix get their vicinal accuracy.</summary>
    public double VicinalAlpha { get; init; } = 1;
    /// <summary>Measures clean training accuracy every so many epochs (always at the last); its pass is not in the training time.</summary>
    public int CleanEvery { get; init; } = 1;

    /// <summary>Refuses values out of their ranges.</summary>
    /// <exception cref="GMixInputException">One is; the message names its flag.</exception>
    public void Check()
    {
        static void Need(bool good, string message)
        {
            if (!good) throw new GMixInputException(message);
        }
        Augmentation.Check();
        Need(Size is null or (>= 8 and <= 1024), $"--size {Size}: must be from 8 to 1024 pixels");
        Need(Epochs >= 1, $"--epochs {Epochs}: must be at least 1");
        Need(Batch >= 1, $"--batch {Batch}: must be at least 1");
        Need(double.IsFinite(LearningRate) && LearningRate > 0, $"--lr {LearningRate:R}: must be a number above 0");
        Need(Sgd.Momentum is >= 0 and < 1, $"--momentum {Sgd.Momentum:R}: must be at least 0 and below 1");
        Need(double.IsFinite(Sgd.WeightDecay) && Sgd.WeightDecay >= 0, $"--weight-decay {Sgd.WeightDecay:R}: must be at least 0");
        Need(double.IsFinite(Sgd.ClipNorm) && Sgd.ClipNorm >= 0, $"--clip {Sgd.ClipNorm:R}: must be at least 0 (0 means no clipping)");
        Need(!Sgd.Nesterov || Sgd.Momentum > 0, "--nesterov needs a momentum above 0");
        Need(double.IsFinite(Warmup) && Warmup >= 0 && (Warmup == 0 || Warmup < Epochs), $"--warmup {Warmup:R}: must be at least 0 and less than the {Epochs} epochs");
        Need(Threads is >= 1 and <= 1024, $"--threads {Threads}: must be at least 1");
        Need(Limit >= 0, $"--limit {Limit}: must be at least 0 (0 means all)");
        Need(TestLimit >= 0, $"--test-limit {TestLimit}: must be at least 0 (0 means all)");
        Need(Milestones.All(m => m is > 0 and < 1), "--milestones: shares of the training between 0 and 1, such as 0.5,0.75");
        Need(double.IsFinite(Factor) && Factor > 0, $"--factor {Factor:R}: must be above 0");
        Need(VicinalAlpha >= 0, $"--alpha {VicinalAlpha:R}: must be at least 0 (0 means no mixing)");
        Need(CleanEvery >= 1, $"--clean-every {CleanEvery}: must be at least 1");
    }
}
