namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open GMix.Training
open Spectre.Console

/// What a person sees of a whole grid of runs: done, running with progress, waiting, and the time left.
type internal GridDisplay(total: int, skipped: int, titleWidth: int, context: ProgressContext option, workers: int, wide: bool) =
    let gate = obj ()
    let clock = Stopwatch.StartNew()
    // from the first step on: what it takes to start says nothing about the pace
    let pace = Stopwatch()
    let mutable finished = 0
    let mutable failed = 0
    let mutable running = 0
    // work in units of forwards of the whole training, so that a DG-Mix run counts for more than a Vanilla one
    let mutable doneWork = 0.0
    let mutable leftWork = 0.0
    let mutable planned = 0.0
    let partial = Dictionary<string, float>()
    let tasks = Dictionary<string, ProgressTask>()

    // a task without a description is refused
    let whole = context |> Option.map (fun c -> c.AddTask("starting", true, float (max 1 total)))

    let time (seconds: float) =
        let span = TimeSpan.FromSeconds(Math.Ceiling seconds)
        if span.TotalHours >= 1.0 then $"{int span.TotalHours} h {span.Minutes} min"
        elif span.TotalMinutes >= 1.0 then $"{span.Minutes} min {span.Seconds:D2} s"
        else $"{span.Seconds} s"

    /// Seconds left, from the work done so far at the pace so far.
    let left () =
        let underway = Seq.sum partial.Values
        let ready = doneWork + underway
        if ready <= 0.0 || not pace.IsRunning then None else Some(max 0.0 (leftWork - underway) * pace.Elapsed.TotalSeconds / ready)

    let over () = finished + failed

    /// ", about 3 min 20 s left", or nothing where there is nothing to say.
    let leftText () =
        match left () with
        | _ when over () = total -> ""
        | Some seconds -> $", about {time seconds} left"
        | None -> ""

    /// Where bars have no room the words stand alone; what is too long for a line is cut, never wrapped: a wrapped line leaves rests behind.
    let fit (text: string) =
        let room = max 20 (GridDisplay.Width - 1 - (if wide then GridDisplay.BarWidth else 0))
        Markup.Escape(if text.Length > room then text.Substring(0, room - 1) + "…" else text)

    let refresh () =
        whole
        |> Option.iter (fun task ->
            // a run that is half done counts half
            let share = if planned > 0.0 then 1.0 - (leftWork - Seq.sum partial.Values) / planned else 1.0
            task.Value <- share * task.MaxValue
            let waiting = total - over () - running
            let failures = if failed > 0 then $", {failed} failed" else ""
            let queue = if waiting > 0 then $", {waiting} waiting" else ""
            task.Description <- fit $"{finished} of {total} done{failures}, {running} running{queue}{leftText ()}")

    /// A line that stays: above the bars on a terminal.
    let line (text: string) =
        match context with
        | None -> Console.Out.WriteLine text
        | Some _ -> AnsiConsole.WriteLine text

    /// Columns of a bar, its percentage, and the space between.
    static member private BarWidth = 24 + 7

    static member private Width = AnsiConsole.Profile.Width

    /// The work of a run in forwards.
    static member WorkOf(job: Job, images: int) = job.Method.Cost.InForwards * float job.Config.Epochs * float (max 1 images)

    /// What is planned, before the first run starts.
    member _.Plan(work: float) =
        leftWork <- work
        planned <- work
        if skipped > 0 then line $"{skipped} complete already"
        line $"""{total} to train, {workers} side by side{(if workers = 1 then " (one after the other)" else "")}"""
        refresh ()

    member _.Start(title: string, work: float) : RunWatcher =
        lock gate (fun () ->
            running <- running + 1
            partial[title] <- 0.0
            context |> Option.iter (fun c -> tasks[title] <- c.AddTask(fit $"  {title.PadRight titleWidth}  starting", true, 1.0))
            refresh ())
        let mutable lastShown = -1000L
        { Step =
            fun p ->
                lock gate (fun () ->
                    let share = float (p.Epoch * p.Steps + p.Step) / float (p.Epochs * p.Steps)
                    partial[title] <- share * work
                    pace.Start()
                    if clock.ElapsedMilliseconds - lastShown > 150L then
                        lastShown <- clock.ElapsedMilliseconds
                        match tasks.TryGetValue title with
                        | true, task ->
                            task.Value <- share
                            let epochs = string p.Epochs
                            let epoch = (string (min p.Epochs (p.Epoch + 1))).PadLeft epochs.Length
                            let percent = if wide then "" else $"{100.0 * share, 3:F0} %%  "
                            task.Description <-
                                fit $"  {title.PadRight titleWidth}  {percent}epoch {epoch}/{epochs}  loss {p.Loss:F3}  {p.ImagesPerSecond, 6:N0} images/s"
                        | _ -> ()
                        refresh ())
          Epoch = ignore }

    /// A run is over: a line with its numbers, or what went wrong.
    member _.End(title: string, work: float, ended: RunEnd, last: EpochRecord option) =
        lock gate (fun () ->
            running <- running - 1
            partial.Remove title |> ignore
            match tasks.TryGetValue title with
            | true, task ->
                task.StopTask()
                tasks.Remove title |> ignore
            | _ -> ()
            let place () = $"[{(string (over ())).PadLeft (string total).Length}/{total}]"
            match ended with
            | RunEnd.Completed ->
                finished <- finished + 1
                doneWork <- doneWork + work
                leftWork <- leftWork - work
                let numbers =
                    match last with
                    | Some e ->
                        let gap = match e.Gap with Some g -> Format.signed 1 g | None -> "–"
                        $"test {e.TestAcc, 5:F1} %%  gap {gap, 6}"
                    | None -> ""
                line $"{place ()} {title.PadRight titleWidth}  {numbers}{leftText ()}"
            | RunEnd.Failed reason ->
                failed <- failed + 1
                leftWork <- leftWork - work
                line $"{place ()} {title.PadRight titleWidth}  FAILED: {reason}"
            | RunEnd.Stopped -> line $"        {title.PadRight titleWidth}  stopped with a checkpoint"
            | RunEnd.Locked -> line $"        {title.PadRight titleWidth}  another process is training it; it will be looked at again"
            refresh ())

    /// Runs `work` with a display: bars on a terminal, else lines.
    static member Show(total: int, skipped: int, titleWidth: int, workers: int, work: GridDisplay -> 'a) : 'a =
        if total = 0 || not AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected then
            work (GridDisplay(total, skipped, titleWidth, None, workers, false))
        else
            let progress = AnsiConsole.Progress(HideCompleted = true, AutoClear = true)
            progress.RefreshRate <- TimeSpan.FromMilliseconds 200.0
            // the words come first: a bar only where they leave it room
            let wide = GridDisplay.Width >= titleWidth + 47 + GridDisplay.BarWidth
            let columns: ProgressColumn array =
                [| TaskDescriptionColumn(Alignment = Justify.Left)
                   if wide then
                       ProgressBarColumn(Width = 24)
                       PercentageColumn() |]
            progress.Columns(columns).Start(fun context -> work (GridDisplay(total, skipped, titleWidth, Some context, workers, wide)))
