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

    /// Images per second of training steps of each method on random images of `size` pixels: the median over `steps` after warm-up. The methods
    /// take turns, so that a change of the machine's speed meets all of them.
    let train (setup: Setup) (methods: string list) (size: int) (steps: int) : (string * float) list =
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let classes = 10
        let configs = methods |> List.map (fun m -> Runner.job setup m 0)
        let config = configs.Head.Config
        config.Check()
        TorchRuntime.TuneAllocator()
        TorchRuntime.Threads <- config.Threads
        let device = Device.Parse config.Device
        if device.IsCuda then TorchRuntime.SetDeterministic true
        TorchRuntime.Tf32 <- config.Tf32
        if config.CudnnBenchmark then TorchRuntime.SetCudnnBenchmark true
        let mode = StepGraph.ModeFor(device, config.Graph)
        let runs =
            configs
            |> List.map (fun job ->
                let network = new Network(ModelCatalog.Create(config.Model, ImageShape(classes, 3, size, size), config.ModelOptions), config.Precision, device, 0L)
                let stepper, optimizer = new MethodStep(network, job.Method), new Sgd(network.Parameters, config.Sgd)
                job.Method, network, stepper, optimizer, new StepGraph(stepper, optimizer, mode, config.Batch), ResizeArray<float>())
        // a recorded step runs twice as it is, then once to be recorded
        let warmup = if mode = GraphMode.Off then 2 else 4
        for step in 0 .. warmup + steps - 1 do
            for method, network, stepper, _, graph, times in runs do
                use _ = new TensorScope()
                let random = CounterRandom(0L, DrawStream.Noise, 0, int64 step)
                use generator = new Generator(device)
                let images = Tensor.Normal([| int64 config.Batch; 3L; int64 size; int64 size |], generator.Seed(random.NextUInt64()), 0.0, 1.0, network.Type, Nullable device)
                let images = if network.ChannelsLast then images.Contiguous MemoryFormat.ChannelsLast else images
                let labels = Tensor.From(Array.init config.Batch (fun _ -> int64 (random.NextInt classes)), [| int64 config.Batch |]).To device
                let draw = method.Mix.Draw(random, config.Batch, size, size)
                // a GPU works behind the host's back: wait for it
                Cuda.Synchronize device
                let clock = Stopwatch.StartNew()
                graph.Run(Batch(images, labels), StepContext(0, int64 step, 0.1, 0.1, draw)) |> ignore
                Cuda.Synchronize device
                if step >= warmup then times.Add clock.Elapsed.TotalSeconds
        [ for method, network, stepper, optimizer, graph, times in runs do
              let sorted = times |> Seq.sort |> Array.ofSeq
              yield method.Name, Math.Round(float config.Batch / sorted[sorted.Length / 2], 1)
              if not (isNull graph.Refusal) then line $"{method.Name}: runs without CUDA graphs: {graph.Refusal}"
              graph.Dispose()
              stepper.Dispose()
              optimizer.Dispose()
              network.Dispose() ]

    /// Prints what `train` measured: a table, or with `json` one line for programs.
    let printTrain (setup: Setup) (speeds: (string * float) list) (json: bool) =
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
                writer.WriteEndObject()
            line (Text.Encoding.UTF8.GetString(stream.ToArray()))
        else
            let basis = speeds |> List.tryFind (fun (n, _) -> n = "vanilla") |> Option.map snd
            for name, speed in speeds do
                let ratio = basis |> Option.map (fun b -> $"{b / speed, 8:F2} x Vanilla's time") |> Option.defaultValue ""
                line $"{name, -10} {speed, 9:F1} images/s {ratio}"
