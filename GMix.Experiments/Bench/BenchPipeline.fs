namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open GMix
open GMix.Data
open GMix.Draws
open GMix.Methods
open GMix.Torch
open GMix.Training

/// How fast batches are made, without a network.
type PipelineSpeed =
    { /// What was measured, for people.
      Name: string
      /// The same for programs.
      Key: string
      /// Median over the steps.
      ImagesPerSecond: float
      /// Slowest and fastest tenth of the steps.
      Low: float
      High: float }

[<RequireQualifiedAccess>]
module BenchPipeline =
    let private line (text: string) = Console.Out.WriteLine text

    /// Images per second that the pipeline makes: crop with 4 pixels of padding, flip, normalise in float32 and channels-last; with Mixup; and
    /// the same from a stream. The variants take turns, so that a change of the machine's speed meets all of them.
    let run (setup: Setup) (steps: int) : ImageSet * PipelineSpeed list =
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let train = setup.Train
        if train.Batch < 1 then raise (GMixInputException $"--batch {train.Batch}: must be at least 1")
        let threads = train.Threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)
        if threads < 1 then raise (GMixInputException $"--threads {threads}: must be at least 1")
        let data = Trainer.Open (Runner.job setup "vanilla" 0).Config
        let set = data.Train
        let device = Device.Parse train.Device
        TorchRuntime.TuneAllocator()
        TorchRuntime.Threads <- threads
        let order = PipelineOrder(0L, set.Count, min train.Batch set.Count, true)
        let augmentation = Augmentation(Pad = 4, Flip = true, Mode = (if train.Reflect then PadMode.Reflect else PadMode.Zero), Cutout = train.Cutout, Erasing = train.Erasing)
        augmentation.Check()
        use resident = Pipeline.Open(set, data.Normalization, DType.Float32, device, true, false)
        use streaming = Pipeline.Open(set, data.Normalization, DType.Float32, device, true, true)
        let mixup = Mixup()
        // batches of one epoch after another, without end
        let endless = Seq.initInfinite id |> Seq.collect (fun epoch -> order.Batches(order.Epoch epoch))
        use residentPass = resident.Pass endless
        use streamingPass = streaming.Pass endless
        let step (pass: PipelinePass) mix at =
            use _ = new TensorScope()
            use _ = Autograd.NoGrad()
            let clock = Stopwatch.StartNew()
            let struct (images, labels) = pass.Next(augmentation, CounterRandom(0L, DrawStream.Augment, 0, int64 at))
            let last =
                if mix then
                    let batch = Batch(images, labels)
                    let draw = Trainer.DrawOf(mixup, 0L, 0, at, batch.Count, set.Height, set.Width)
                    mixup.Apply(batch, draw, null).Inputs
                else images
            // a GPU works behind the host's back: wait for it
            if device.IsCuda then last.Select(0, 0L).Sum(DType.Float64).Item() |> ignore
            clock.Elapsed.TotalSeconds
        let place = if resident :? OnDevicePipeline then "on the device" else "too large for the device, streamed"
        let variants =
            [ $"crop, flip, normalise; {place}", "augment", step residentPass false
              "crop, flip, normalise, Mixup", "augment_mix", step residentPass true
              "crop, flip, normalise, Mixup; streamed", "augment_mix_streamed", step streamingPass true ]
            |> List.map (fun (name, key, step) -> name, key, step, ResizeArray<float>())
        let warmup = 5
        for at in 0 .. warmup + steps - 1 do
            for _, _, step, times in variants do
                let seconds = step at
                if at >= warmup then times.Add seconds
        set,
        [ for name, key, _, times in variants do
              let sorted = times |> Seq.sort |> Array.ofSeq
              let speed share = float order.BatchSize / sorted[min (sorted.Length - 1) (int (share * float sorted.Length))]
              { Name = name; Key = key; ImagesPerSecond = speed 0.5; Low = speed 0.9; High = speed 0.1 } ]

    /// Prints what `run` measured: a table, or with `json` one line for programs.
    let print (setup: Setup) (set: ImageSet) (speeds: PipelineSpeed list) (json: bool) =
        if json then
            use stream = new MemoryStream()
            do
                use writer = new Utf8JsonWriter(stream)
                writer.WriteStartObject()
                writer.WriteString("dataset", setup.Dataset)
                writer.WriteNumber("size", set.Height)
                writer.WriteNumber("batch", setup.Train.Batch)
                writer.WriteNumber("threads", TorchRuntime.Threads)
                writer.WriteStartObject "img_per_s"
                for speed in speeds do
                    writer.WriteNumber(speed.Key, Math.Round speed.ImagesPerSecond)
                writer.WriteEndObject()
                writer.WriteEndObject()
            line (Text.Encoding.UTF8.GetString(stream.ToArray()))
        else
            line $"{setup.Dataset}, {set.Channels} x {set.Height} x {set.Width}, batches of {setup.Train.Batch}, {TorchRuntime.Threads} threads; images/s, median (slowest and fastest tenth)"
            for speed in speeds do
                line $"{speed.Name, -50} {speed.ImagesPerSecond, 10:N0} ({speed.Low:N0} to {speed.High:N0})"
