namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open GMix
open GMix.Draws
open GMix.Methods
open GMix.Models
open GMix.Nn
open GMix.Torch
open GMix.Training

/// Measuring: golden traces, and the speed of training steps.
[<RequireQualifiedAccess>]
module Bench =
    let private line (text: string) = Console.Out.WriteLine text

    /// Replays golden traces; true when all agree within `tolerance` and every selection is the same.
    let traces (files: string list) (tolerance: float) : bool =
        for file in files do
            if not (File.Exists file) then raise (GMixInputException $"{file}: there is no such file")
        files
        |> List.map (fun file ->
            let c = Trace.Compare file
            let good = c.LargestError <= tolerance && c.SelectionsAgree
            let verdict = if good then "agrees" else "DIFFERS"
            let selections = if c.SelectionsAgree then "selections equal" else "selections differ"
            line $"{Path.GetFileName c.File, -45} {c.Method, -10} {c.Model, -10} largest relative error {c.LargestError:E2} ({c.WorstTensor}, {c.Compared} tensors), {selections}: {verdict}"
            good)
        |> List.forall id

    /// Holds models with formula-filled weights against an independent implementation's logits; true when all agree.
    let models (files: string list) (tolerance: float) : bool =
        files
        |> List.collect (fun file -> ModelCheck.Compare(file, tolerance) |> List.ofSeq)
        |> List.map (fun c ->
            let verdict = if c.Agrees then "agrees" else "DIFFERS"
            let shape = String.Join("x", c.Shape)
            let difference = match c.Difference with null -> "" | d -> $" ({d})"
            line $"{c.Model, -12} {c.Classes, 4} classes {shape, -9} relative error eval {c.EvalError:E2}, train {c.TrainError:E2}: {verdict}{difference}"
            c.Agrees)
        |> List.forall id

    /// Most memory that this process has held so far, in MiB.
    let peakMemory () =
        File.ReadLines "/proc/self/status"
        |> Seq.tryFind (fun l -> l.StartsWith("VmHWM:", StringComparison.Ordinal))
        |> Option.map (fun l -> Math.Round(float (l.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries)[1]) / 1024.0, 1))

    /// What `train` measured: images/s by method, and the most memory that was held, of the host and of a GPU, in MiB.
    type Measured = { Speeds: (string * float) list; PeakMemory: float option; DeviceMemory: float option }

    /// Images per second of training steps of each method on random images of `size` pixels: the median over `steps` after warm-up, all on one
    /// network. The methods take turns of a tenth of a second, or one step where that is longer, so that a change of the machine's speed meets
    /// all of them and none finds its weights out of the caches at every step. On a GPU, which works behind the host's back, a whole turn counts as
    /// one measurement, with a wait at either end. With `profile` one further step of each is recorded there.
    let train (setup: Setup) (methods: string list) (size: int) (steps: int) (profile: string option) : Measured =
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let classes = 10
        let configs = methods |> List.map (fun m -> Runner.job setup m 0)
        let config = configs.Head.Config
        config.Check()
        profile |> Option.iter Profiling.check
        TorchRuntime.TuneAllocator()
        TorchRuntime.Threads <- config.Threads
        let device = Device.Parse config.Device
        use network = new Network(ModelCatalog.Create(config.Model, ImageShape(classes, 3, size, size), config.ModelOptions), config.Precision, device, 0L)
        use optimizer = new Sgd(network.Parameters, config.Sgd)
        if device.IsCuda then TorchRuntime.SetDeterministic true
        TorchRuntime.Tf32 <- config.Tf32
        if config.Winograd.HasValue then TorchRuntime.Winograd <- config.Winograd.Value
        if config.CudnnBenchmark then TorchRuntime.SetCudnnBenchmark true
        let mode = StepGraph.ModeFor(device, config.Graph)
        let rate = 0.01
        // made beforehand, as a data pipeline makes them on the side: a step is then followed by the next one
        let batches =
            [| for i in 0L .. 3L do
                   use scope = new TensorScope()
                   let random = CounterRandom(0L, DrawStream.Noise, 0, i)
                   use generator = new Generator(device)
                   let images = Tensor.Normal([| int64 config.Batch; 3L; int64 size; int64 size |], generator.Seed(random.NextUInt64()), 0.0, 1.0, network.Type, Nullable device)
                   let images = if network.ChannelsLast then images.Contiguous MemoryFormat.ChannelsLast else images
                   let labels = Tensor.From(Array.init config.Batch (fun _ -> int64 (random.NextInt classes)), [| int64 config.Batch |]).To device
                   Batch(scope.Keep images, scope.Keep labels) |]
        let position = ref 0L
        let step (method: Method) (graph: StepGraph) =
            use _ = new TensorScope()
            position.Value <- position.Value + 1L
            let draw = method.Mix.Draw(CounterRandom(0L, DrawStream.Mix, 0, position.Value), config.Batch, size, size)
            graph.Run(batches[int (position.Value % 4L)], StepContext(0, position.Value, rate, rate, draw)) |> ignore
        /// Seconds of a step, the mean of `count`.
        let timed count method graph =
            Cuda.Synchronize device
            let clock = Stopwatch.StartNew()
            for _ in 1..count do
                step method graph
            Cuda.Synchronize device
            clock.Elapsed.TotalSeconds / float count
        let runs =
            configs
            |> List.map (fun job ->
                let stepper = new MethodStep(network, job.Method)
                job.Method, (stepper, new StepGraph(stepper, optimizer, mode, config.Batch)), ResizeArray<float>())
        // a step that is recorded runs twice as it is before that
        let warmest = if mode = GraphMode.Off then 2 else 5
        let turns =
            runs
            |> List.map (fun (method, (_, graph), _) ->
                let clock = Stopwatch.StartNew()
                let rec warm count =
                    let seconds = timed 1 method graph
                    if count < warmest || (clock.Elapsed.TotalSeconds < 0.5 && count < 1000) then warm (count + 1) else seconds
                max 1 (int (0.1 / warm 1)))
        while runs |> List.exists (fun (_, _, times) -> times.Count < steps) do
            for (method, (_, graph), times), turn in List.zip runs turns do
                if device.IsCuda then
                    if times.Count < steps then times.Add(timed turn method graph)
                else
                    for _ in 1 .. min turn (steps - times.Count) do
                        times.Add(timed 1 method graph)
        let speeds =
            [ for method, _, times in runs do
                  let sorted = times |> Seq.sort |> Array.ofSeq
                  method.Name, Math.Round(float config.Batch / sorted[sorted.Length / 2], 1) ]
        let peak = peakMemory ()
        let onDevice = if device.IsCuda then Some(Math.Round(float (Cuda.Memory device).ReservedPeak / 1048576.0, 1)) else None
        match profile with
        | None -> ()
        | Some folder ->
            for method, (_, graph), _ in runs do
                let into = if runs.Length = 1 then folder else Path.Combine(folder, method.Name)
                let title = $"{method.Title} on {config.Model}, batch {config.Batch}, {Resolve.precisionName config.Precision}, {config.Threads} threads, {config.Device}"
                Cuda.Synchronize device
                let whole () =
                    step method graph
                    Cuda.Synchronize device
                Profiling.save into title (Profiler.Record("step", whole))
        for method, (stepper, graph), _ in runs do
            if not (isNull graph.Refusal) then line $"{method.Name}: runs without CUDA graphs: {graph.Refusal}"
            graph.Dispose()
            stepper.Dispose()
        for batch in batches do
            batch.Images.Dispose()
            batch.Labels.Dispose()
        { Speeds = speeds; PeakMemory = peak; DeviceMemory = onDevice }

    /// Prints what `train` measured: a table, or with `json` one line for programs.
    let printTrain (setup: Setup) (measured: Measured) (json: bool) =
        let speeds = measured.Speeds
        if json then
            use stream = new MemoryStream()
            do
                use writer = new Utf8JsonWriter(stream)
                writer.WriteStartObject()
                writer.WriteString("model", setup.Model)
                writer.WriteNumber("batch", setup.Train.Batch)
                writer.WriteStartObject "img_per_s"
                for name, speed in speeds do
                    writer.WriteNumber(name, speed)
                writer.WriteEndObject()
                measured.PeakMemory |> Option.iter (fun mib -> writer.WriteNumber("peak_mib", mib))
                measured.DeviceMemory |> Option.iter (fun mib -> writer.WriteNumber("device_mib", mib))
                writer.WriteEndObject()
            line (Text.Encoding.UTF8.GetString(stream.ToArray()))
        else
            let basis = speeds |> List.tryFind (fun (n, _) -> n = "vanilla") |> Option.map snd
            for name, speed in speeds do
                let ratio = basis |> Option.map (fun b -> $"{b / speed, 8:F2} x Vanilla's time") |> Option.defaultValue ""
                line $"{name, -10} {speed, 9:F1} images/s {ratio}"
            measured.PeakMemory |> Option.iter (fun mib -> line $"peak memory {mib, 8:F1} MiB")
            measured.DeviceMemory |> Option.iter (fun mib -> line $"on the GPU  {mib, 8:F1} MiB")
