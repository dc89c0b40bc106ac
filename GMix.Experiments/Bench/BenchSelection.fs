namespace GMix.Experiments

open System
open System.Threading
open GMix
open GMix.Methods
open GMix.Training

/// How far the selections of BG- and DG-Mix under bfloat16 are those that float32 makes, along real training.
[<RequireQualifiedAccess>]
module BenchSelection =
    let private line (text: string) = Console.Out.WriteLine text

    let private percent (value: float) = value.ToString("F1", Globalization.CultureInfo.InvariantCulture)

    let private row (what: string) (steps: Agreement list) =
        let mean (pick: Agreement -> float) = steps |> List.averageBy pick
        let overlaps = steps |> List.map (fun s -> s.Overlap) |> List.sort
        line $"  {what, -14} {steps.Length, 6} {percent (100.0 * mean (fun s -> s.Overlap)), 9} {percent (100.0 * overlaps[overlaps.Length / 20]), 9} {mean (fun s -> s.RankCorrelation), 9:F3} {mean (fun s -> s.Noise), 9:F3}"

    /// Trains each method in bfloat16 and compares every selection with float32's at the same weights on the same batch.
    let run (setup: Setup) (methods: string list) =
        let setup = { setup with Train = { setup.Train with Precision = Some GMix.Nn.Precision.BFloat16 } }
        let token, handlers = Signals.stopping ()
        use _ = handlers
        for name in methods do
            let job = Runner.job setup name 0
            match job.Method.Combine with
            | :? Binary
            | :? Decomposed -> ()
            | _ -> raise (GMixInputException $"--methods {name}: it selects nothing; use bgmix, dgmix or esam")
            let watch = SelectionAgreement()
            let data = Trainer.Open job.Config
            use trainer = new Trainer(job.Config, data, watch.Watch job.Method, null)
            let mutable last: EpochResult = null
            while not trainer.Done && not token.IsCancellationRequested do
                last <- trainer.RunEpoch(ignore, token)
            let steps = List.ofSeq watch.Steps
            line ""
            line $"{job.Method.Title}: {job.Method.Combine}, {setup.Model} on {setup.Dataset}, {data.Train.Count} images, batch {job.Config.Batch}, {trainer.EpochsDone} epochs"
            let accuracy, clean = (if isNull last then nan else last.TestAccuracy), (if isNull last then nan else last.TrainAccuracy)
            line $"  ended with test accuracy {percent accuracy} %%, training accuracy {percent clean} %%"
            line "  epochs          steps overlap %  5 % below     ranks     noise"
            let epochs = steps |> List.map (fun s -> s.Epoch) |> List.distinct
            let chunk = max 1 ((epochs.Length + 4) / 5)
            for part in epochs |> List.chunkBySize chunk do
                let first, final = List.head part, List.last part
                row $"{first + 1}-{final + 1}" (steps |> List.filter (fun s -> s.Epoch >= first && s.Epoch <= final))
            row "all" steps
