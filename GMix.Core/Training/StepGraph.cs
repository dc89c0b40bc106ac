using GMix.Methods;
using GMix.Torch;

namespace GMix.Training;

/// <summary>How training steps are given to the device.</summary>
public enum GraphMode
{
    /// <summary>Operator by operator.</summary>
    Off,
    /// <summary>As a graph would be recorded, but run at once: on the host, to hold what is recorded to its rules.</summary>
    Direct,
    /// <summary>The whole step as one CUDA graph.</summary>
    Cuda,
}

/// <summary>
/// Runs whole training steps: mix, both passes, ascent, selection, update. On a GPU a step of each form is recorded once and replayed for every
/// further step of that form, so the host gives the device one thing to do instead of thousands. The batch and all numbers that differ from step to
/// step (λ, permutation, masks, noise, radius, learning rate) are in tensors that are filled before the replay.
/// </summary>
/// <remarks>
/// <para>Steps have one form where the same operators run on the same shapes: a method whose Mix sometimes draws nothing, mixes at different stages, or
/// perturbs only every k-th step has a few. The first steps of a form run unrecorded, as training steps like any other, to let libraries choose
/// their algorithms and memory. A shorter last batch runs unrecorded always.</para>
/// <para>A step that reads a number on the host cannot be recorded (see <see cref="Recording"/>). None of GMix's own words does; a word of a
/// script may, and all steps then run unrecorded: <see cref="Refusal"/> says why.</para>
/// <para>Recorded and unrecorded steps run the same operators on the same numbers and give the same bits.</para>
/// </remarks>
public sealed class StepGraph : IDisposable
{
    /// <summary>Steps of a form before it is recorded.</summary>
    private const int Warmups = 2;

    private readonly MethodStep _step;
    private readonly Sgd _optimizer;
    private readonly Device _device;
    private readonly GraphMode _mode;
    private readonly int _count;
    private readonly Dictionary<string, Slot> _slots = [];
    private CudaGraph? _memory;

    /// <param name="step">The method on its network.</param>
    /// <param name="optimizer">The update of the same network.</param>
    /// <param name="mode">See <see cref="GraphMode"/>; <see cref="ModeFor"/> has the default.</param>
    /// <param name="count">Examples of the batches that are worth recording; others run unrecorded.</param>
    public StepGraph(MethodStep step, Sgd optimizer, GraphMode mode, int count)
    {
        (_step, _optimizer, _mode, _count, _device) = (step, optimizer, mode, count, step.Network.Device);
        if (mode == GraphMode.Cuda && !_device.IsCuda) throw new ArgumentException($"a CUDA graph on {_device}", nameof(mode));
    }

    /// <summary>The mode that suits a device: graphs on a GPU, where they are wanted.</summary>
    public static GraphMode ModeFor(Device device, bool wanted) => wanted && device.IsCuda ? GraphMode.Cuda : GraphMode.Off;

    /// <summary>Why no step is recorded any more, although they should be; null otherwise.</summary>
    public string? Refusal { get; private set; }

    /// <summary>Steps that ran as replays of a recording, or, in the mode <see cref="GraphMode.Direct"/>, as one would be recorded.</summary>
    public long Recorded { get; private set; }

    /// <summary>Forms of step seen so far that can be recorded.</summary>
    public int Forms => _slots.Count;

    /// <summary>One step with its update. The result's tensors are overwritten by the next step of the same form.</summary>
    public StepResult Run(Batch batch, StepContext at)
    {
        if (_mode == GraphMode.Off || Refusal is not null || batch.Count != _count || FormOf(at) is not { } form) return Unrecorded(batch, at);
        if (!_slots.TryGetValue(form, out var slot)) _slots[form] = slot = new Slot(batch);
        slot.Fill(batch);
        var bound = slot.Numbers.Fill(at);
        try
        {
            var result = _mode == GraphMode.Direct ? First(slot, bound) : OnGpu(slot, bound);
            slot.Runs++;
            return result;
        }
        catch (Exception e) when (e is RecordingException || (e is TorchException && slot.Runs == Warmups))
        {
            Refusal = e.Message;
            FreeSlots();
            return Unrecorded(batch, at);
        }
    }

    private StepResult OnGpu(Slot slot, StepContext at)
    {
        if (slot.Runs < Warmups)
            using (new SideStream(_device)) return First(slot, at);
        if (slot.Graph is null) Record(slot, at);
        slot.Graph!.Replay();
        Recorded++;
        return slot.Result!;
    }

    private void Record(Slot slot, StepContext at)
    {
        var graph = new CudaGraph();
        try
        {
            using var away = new SideStream(_device);
            using var scope = new TensorScope();
            StepResult? result = null;
            // forms take turns and nothing of one is read after another has begun, so they share memory
            graph.Capture(_memory, () => result = Body(slot.Batch, at));
            slot.Keep(result!);
        }
        catch
        {
            graph.Dispose();
            throw;
        }
        slot.Graph = graph;
        _memory ??= graph;
    }

    /// <summary>A step by the rules of recording, run at once. Where it breaks them nothing has changed.</summary>
    private StepResult First(Slot slot, StepContext at)
    {
        using var before = slot.Runs == 0 ? new Moved(_step) : null;
        try
        {
            using var recording = Recording.Begin();
            var result = Body(slot.Batch, at);
            if (_mode == GraphMode.Direct) Recorded++;
            return result;
        }
        catch (RecordingException)
        {
            before?.Restore();
            throw;
        }
    }

    private StepResult Body(Batch batch, StepContext at)
    {
        var result = _step.Run(batch, at);
        _optimizer.Update(result.Direction, Rate(at));
        return result;
    }

    private StepResult Unrecorded(Batch batch, StepContext at)
    {
        // on a GPU the rate is a tensor here too: the same operators, so the same bits
        if (_device.IsCuda) return Body(batch, at);
        var result = _step.Run(batch, at);
        _optimizer.Update(result.Direction, at.LearningRate);
        return result;
    }

    private Tensor Rate(StepContext at) => at.OnDevice("learning rate", _device, a => Tensor.Scalar(a.LearningRate, DType.Float64));

    /// <summary>What decides which operators the step runs; null where it cannot be recorded.</summary>
    private string? FormOf(StepContext at) =>
        at.Draw.Form is { } draw ? $"{draw} {(_step.Method.Perturb.Active && at.Perturbs(_step.Method.Perturb.When) ? "perturbed" : "plain")} {_step.State.Values.Count}" : null;

    private void FreeSlots()
    {
        foreach (var slot in _slots.Values) slot.Dispose();
        _slots.Clear();
        _memory = null;
    }

    /// <summary>Frees graphs and tensors.</summary>
    public void Dispose() => FreeSlots();

    /// <summary>One form of step: its tensors that are filled before each replay, its recording, and what that leaves.</summary>
    private sealed class Slot : IDisposable
    {
        private readonly List<Tensor> _kept = [];

        public Slot(Batch like)
        {
            using var noGrad = Autograd.NoGrad();
            Batch = new Batch(TensorScope.Detach(like.Images.Clone()), TensorScope.Detach(like.Labels.Clone()));
        }

        public Batch Batch { get; }
        public StepBuffers Numbers { get; } = new();
        public CudaGraph? Graph { get; set; }
        public StepResult? Result { get; private set; }
        public int Runs { get; set; }

        public void Fill(Batch batch)
        {
            Batch.Images.Upload(batch.Images);
            Batch.Labels.Upload(batch.Labels);
        }

        /// <summary>Keeps what a recording leaves; |ε| would need tensors that are gone.</summary>
        public void Keep(StepResult result)
        {
            Tensor?[] tensors =
            [
                result.Direction, result.Logits, result.Batch.Inputs, result.Batch.Targets.A, result.Batch.Targets.B, result.Batch.Targets.Lambda,
                result.LossesAtW, result.GradientNorm, result.LossesAtPerturbed, result.Selected, .. result.Found.Values,
            ];
            foreach (var tensor in tensors)
                if (tensor is not null) _kept.Add(TensorScope.Detach(tensor));
            Result = result with { FindEpsilonNorm = null };
        }

        public void Dispose()
        {
            foreach (var tensor in _kept) tensor.Dispose();
            Graph?.Dispose();
            Numbers.Dispose();
            Batch.Images.Dispose();
            Batch.Labels.Dispose();
        }
    }

    /// <summary>A copy of what a step moves apart from the weights, which come back by themselves: BatchNorm's statistics, what the method carries.</summary>
    private sealed class Moved : IDisposable
    {
        private readonly (Tensor Value, Tensor Copy)[] _copies;

        public Moved(MethodStep step)
        {
            using var noGrad = Autograd.NoGrad();
            _copies = [.. step.Network.Buffers.Select(b => b.Value).Concat(step.State.Values.Values).Select(v => (v, TensorScope.Detach(v.Clone())))];
        }

        public void Restore()
        {
            foreach (var (value, copy) in _copies) value.Upload(copy);
        }

        public void Dispose()
        {
            foreach (var (_, copy) in _copies) copy.Dispose();
        }
    }
}
