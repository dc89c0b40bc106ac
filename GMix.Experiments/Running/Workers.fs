namespace GMix.Experiments

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.Globalization
open System.IO
open System.Reflection
open System.Threading
open GMix
open GMix.Data
open GMix.Training

/// How a run that was handed to someone ended.
[<RequireQualifiedAccess>]
type RunEnd =
    | Completed
    | Stopped
    /// Another process holds it.
    | Locked
    | Failed of reason: string

/// Training in this process and in others. A worker is the command with the verb `worker`: it reads run folders, one a line, trains each, and
/// writes what happens, one line an event. The end of its input, or the word stop, makes it stop after the current step with a checkpoint.
[<RequireQualifiedAccess>]
module Workers =
    /// The verb that makes the command a worker.
    [<Literal>]
    let Verb = "worker"

    let private invariant = CultureInfo.InvariantCulture

    /// Trains one run here; every way it can end is a value.
    let internal train (tensorBoard: bool) (folder: string) (job: Job) (open': TrainConfig -> DatasetSplits) (watcher: RunWatcher) (stop: CancellationToken) : RunEnd =
        let failed (e: exn) =
            let reason = e.Message.Split('\n')[0]
            // what went wrong before the first step leaves no trace by itself
            try RunStore.markFailed folder reason with :? GMixInputException -> ()
            RunEnd.Failed reason
        try
            let data = open' job.Config
            Runner.check job data |> ignore
            match Runner.execute tensorBoard folder job data watcher stop with
            | Outcome.Completed -> RunEnd.Completed
            | Outcome.Stopped -> RunEnd.Stopped
        with
        | :? RunLockedException -> RunEnd.Locked
        | e -> failed e

    let private stepLine (p: TrainProgress) =
        String.Join('\t', "step", p.Epoch, p.Epochs, p.Step, p.Steps, p.ImagesPerSecond.ToString("R", invariant), p.SecondsLeft.ToString("R", invariant), p.Loss.ToString("R", invariant))

    /// A worker's life: until its input ends.
    let serve (tensorBoard: bool) (input: TextReader) (output: TextWriter) : int =
        use stopping = new CancellationTokenSource()
        use folders = new BlockingCollection<string>()
        let listen () =
            let rec go () =
                match input.ReadLine() with
                | null
                | "stop" ->
                    stopping.Cancel()
                    folders.CompleteAdding()
                | "" -> go ()
                | folder ->
                    folders.Add folder
                    go ()
            go ()
        let listener = Thread(listen, IsBackground = true)
        listener.Start()
        let say (line: string) =
            output.WriteLine line
            output.Flush()
        let shelf = DataShelf()
        for folder in folders.GetConsumingEnumerable() do
            if not stopping.IsCancellationRequested then
                let clock = Stopwatch.StartNew()
                let mutable last = -1000L
                let watcher =
                    { Step =
                        fun p ->
                            if clock.ElapsedMilliseconds - last > 200L then
                                last <- clock.ElapsedMilliseconds
                                say (stepLine p)
                      Epoch = fun e -> say ("epoch\t" + RunStore.epochToJson e) }
                let ended =
                    try
                        train tensorBoard folder (Runner.jobOf (RunStore.read folder)) shelf.Open watcher stopping.Token
                    with :? GMixInputException as e -> RunEnd.Failed e.Message
                match ended with
                | RunEnd.Completed -> say "end\tcompleted"
                | RunEnd.Stopped -> say "end\tstopped"
                | RunEnd.Locked -> say "end\tlocked"
                | RunEnd.Failed reason -> say $"end\tfailed\t{reason}"
        0

    /// The command's file, beside this assembly.
    let private gmix () = Path.Combine(Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location), "gmix")

    /// A worker in a process of its own.
    type internal Worker(tensorBoard: bool) =
        let child =
            let start =
                ProcessStartInfo(gmix (), [ Verb; if tensorBoard then "--tensorboard" ], RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false)
            // threads that spin while they wait would take the cores of the neighbours
            start.Environment["OMP_WAIT_POLICY"] <- "PASSIVE"
            let child = Process.Start start
            // read, so that the pipe never fills; the last line is the reason if it dies
            child
        let mutable complaint = ""
        do
            child.ErrorDataReceived.Add(fun e -> if not (String.IsNullOrWhiteSpace e.Data) then complaint <- e.Data)
            child.BeginErrorReadLine()

        let tell (line: string) =
            try
                child.StandardInput.WriteLine line
                child.StandardInput.Flush()
            with
            | :? IOException
            | :? ObjectDisposedException
            | :? InvalidOperationException -> ()

        member _.Id = child.Id

        /// Asks it to stop after the current step.
        member _.Stop() = tell "stop"

        /// Whether it can take another run.
        member _.Alive = not child.HasExited

        /// Trains a run there, and tells what happens.
        member _.Train(folder: string, watcher: RunWatcher) : RunEnd =
            tell folder
            let number (text: string) = Double.Parse(text, invariant)
            let rec listen () =
                match child.StandardOutput.ReadLine() with
                | null ->
                    child.WaitForExit()
                    RunEnd.Failed $"""the worker process ended with code {child.ExitCode}{(if complaint = "" then "" else ": " + complaint)}"""
                | line ->
                    match line.Split '\t' with
                    | [| "step"; epoch; epochs; step; steps; speed; left; loss |] ->
                        watcher.Step(TrainProgress(int epoch, int epochs, int step, int steps, number speed, number left, number loss))
                        listen ()
                    | parts when parts[0] = "epoch" ->
                        watcher.Epoch(RunStore.epochOfJson (line.Substring 6))
                        listen ()
                    | [| "end"; "completed" |] -> RunEnd.Completed
                    | [| "end"; "stopped" |] -> RunEnd.Stopped
                    | [| "end"; "locked" |] -> RunEnd.Locked
                    | parts when parts[0] = "end" -> RunEnd.Failed(String.Join(' ', parts |> Array.skip 2))
                    | _ -> listen ()
            listen ()

        interface IDisposable with
            member _.Dispose() =
                try child.StandardInput.Close() with :? IOException | :? InvalidOperationException -> ()
                if not (child.WaitForExit 30000) then child.Kill()
                child.Dispose()
