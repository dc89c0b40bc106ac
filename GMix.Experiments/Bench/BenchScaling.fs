namespace GMix.Experiments

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open System.Threading.Tasks
open GMix
open GMix.Data

/// How cost grows: with the batch, with the number of images, and with the number of runs side by side. Each point is a process of its own, so that
/// its peak memory is its own.
[<RequireQualifiedAccess>]
module BenchScaling =
    let private line (text: string) = Console.Out.WriteLine text

    let private number (decimals: int) (value: float) = value.ToString($"F{decimals}", CultureInfo.InvariantCulture)

    /// A child's output and the most memory it ever had resident, in MiB (Linux counts it in /proc; 0 where there is none).
    let private child (arguments: string list) : ChildProcess.Ended * float =
        let mutable peak = 0.0
        // the figure grows only, and goes with the process: the last reading before the end is short of it by a few milliseconds' growth
        let look (child: Process) =
            try
                child.Refresh()
                peak <- max peak (float child.PeakWorkingSet64 / 1048576.0)
            with :? InvalidOperationException -> ()
        let what = $"gmix {String.Join(' ', arguments)}"
        match ChildProcess.watch Environment.ProcessPath arguments [] look with
        | Some ended -> ended.OrFail what, peak
        | None -> raise (InvalidOperationException $"{what} does not start")

    let private speed (model: string) (batch: int) (size: int) (steps: int) (threads: int) : float * float =
        let ended, peak =
            child [ "bench"; "train"; "--json"; "--methods"; "vanilla"; "--model"; model; "--batch"; string batch; "--size"; string size; "--steps"; string steps; "--threads"; string threads ]
        use json = JsonDocument.Parse ended.LastLine
        json.RootElement.GetProperty("img_per_s").GetProperty("vanilla").GetDouble(), peak

    /// Milliseconds of a step over the batch, and microseconds of it per example.
    let batches (model: string) (threads: int) (sizes: int list) (steps: int) =
        line $"{model}, 32x32, {threads} threads: a training step (Vanilla) over the batch"
        line "  batch    ms a step    us an example    peak MiB"
        for batch in sizes do
            let perSecond, peak = speed model batch 32 steps threads
            line $"  {batch, 5} {number 1 (1000.0 * float batch / perSecond), 12} {number 1 (1e6 / perSecond), 16} {number 0 peak, 11}"

    /// Seconds of an epoch over the number of images, on made images in CIFAR-10's format.
    let images (model: string) (threads: int) (counts: int list) =
        let folder = Path.Combine(Path.GetTempPath(), $"gmix-scaling-{Environment.ProcessId}")
        Directory.CreateDirectory folder |> ignore
        try
            let most = List.max counts
            DataStore.Make("cifar10", folder, MakeOptions(TrainPerClass = (most + 9) / 10, TestPerClass = 10)) |> ignore
            line $"{model}, {threads} threads: an epoch (Vanilla) over the number of images"
            line "  images    s an epoch    us an image    peak MiB"
            for count in counts do
                let run = Path.Combine(folder, $"runs-{count}")
                let _, peak =
                    child
                        [ "train"; "--dataset"; "cifar10"; "--data"; folder; "--limit"; string count; "--model"; model; "--stem-stride"; "2"; "--epochs"; "2"; "--clean-every"; "2"
                          "--threads"; string threads; "--out"; run; "--name"; "scaling" ]
                // the second epoch: the first also meets cold caches
                let epochs = Directory.GetDirectories(Path.Combine(run, "scaling")) |> Array.collect (fun f -> Array.ofList (RunStore.read f).Epochs)
                let seconds = (Array.last epochs).Seconds
                line $"  {count, 6} {number 2 seconds, 13} {number 1 (1e6 * seconds / float count), 14} {number 0 peak, 11}"
        finally
            Directory.Delete(folder, true)

    /// Images per second of one process with all cores against one process per core with one thread each, in turn; medians of rounds.
    let workers (models: string list) (batch: int) (size: int) (steps: int) (rounds: int) =
        let cores = Environment.ProcessorCount
        line $"{cores} cores, batch {batch}, {size}x{size}: images/s in all (Vanilla), median of {rounds} rounds"
        line $"  model              one run, 1 thread    one run, {cores} threads    {cores} runs side by side    gain"
        for model in models do
            let measured =
                [ for _ in 1..rounds ->
                      let alone = fst (speed model batch size steps 1)
                      let whole = fst (speed model batch size steps cores)
                      let together = [ for _ in 1..cores -> Task.Run(fun () -> fst (speed model batch size steps 1)) ] |> List.sumBy (fun t -> t.Result)
                      alone, whole, together ]
            let of' pick = measured |> List.map pick |> BenchPeer.median
            let gain = measured |> List.map (fun (_, whole, together) -> together / whole) |> BenchPeer.median
            line $"  {model, -16} {number 0 (of' (fun (a, _, _) -> a)), 19} {number 0 (of' (fun (_, w, _) -> w)), 22} {number 0 (of' (fun (_, _, t) -> t)), 24} {number 2 gain, 10} x"
