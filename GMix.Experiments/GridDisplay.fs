namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open GMix.Training
open Spectre.Console

/// What a person sees of a whole grid of runs: done, running with progress, waiting, and the time left.
type internal GridDisplay(total: int, skipped: int, titleWidth: int, context: ProgressContext option, workers: int) =
    let gate = obj ()
    let clock = Stopwatch.StartNew()
    let mutable finished = 0
    let mutable failed = 0
    let mutable running = 0
    // work in units of forwards of the whole training, so that a DG-Mix run counts for more than a Vanilla one
    let mutable doneWork = 0.0
    let mutable leftWork = 0.0
    let partial = Dictionary<string, float>()
    let tasks = Dictionary<string, ProgressTask>()

    let whole =
        context |> Option.map (fun c -> c.AddTask("", true, float (max 1 total)))

    let time (seconds: float) =
        let span = TimeSpan.FromSeconds(Math.Ceiling seconds)
        if span.TotalHours >= 1.0 then $"{int span.TotalHours} h {span.Minutes} min"
        elif span.TotalMinutes >= 1.0 then $"{span.Minutes} min {span.Seconds:D2} s"
        else $"{span.Seconds} s"

    /// Seconds left, from the work done so far at the pace so far.
    let left () =
        let underway = Seq.sum partial.Values
        let ready = doneWork + underway
        if ready <= 0.0 then None else Some(max 0.0 (leftWork - underway) * clock.Elapsed.TotalSeconds / ready)

    let leftText () = match left () with Some seconds -> $"about {time seconds} left" | None -> "time left not known yet"

    let refresh () =
        whole
        |> Option.iter (fun task ->
            task.Value <- float (finished + failed)
            let failures = if failed > 0 then $"{failed} failed, " else ""
            task.Description <- Markup.Escape($"{finished} of {total} done, {failures}{running} running, {total - finished - failed - running} waiting, {leftText ()}"))

    let line (text: string) = if context.IsNone then Console.Out.WriteLine text

    /// The work of a run in forwards.
    static member WorkOf(job: Job, images: int) = job.Method.Cost.InForwards * float job.Config.Epochs * float (max 1 images)

    /// What is planned, before the first run starts.
    member _.Plan(work: float) =
        leftWork <- work
        if skipped > 0 then line $"{skipped} complete already"
        line $"""{total} to train, {workers} side by side{(if workers = 1 then " (one after the other)" else "")}"""
        refresh ()

    member _.Start(title: string, work: float) : RunWatcher =
        lock gate (fun () ->
            running <- running + 1
            partial[title] <- 0.0
            context |> Option.iter (fun c -> tasks[title] <- c.AddTask(Markup.Escape("  " + title.PadRight titleWidth), true, 1.0))
            refresh ())
        let mutable lastShown = -1000L
        { Step =
            fun p ->
                lock gate (fun () ->
                    let share = float (p.Epoch * p.Steps + p.Step) / float (p.Epochs * p.Steps)
                    partial[title] <- share * work
                    if clock.ElapsedMilliseconds - lastShown > 150L then
                        lastShown <- clock.ElapsedMilliseconds
                        match tasks.TryGetValue title with
                        | true, task ->
                            task.Value <- share
                            task.Description <-
                                Markup.Escape($"  {title.PadRight titleWidth} epoch {p.Epoch + 1, 3}/{p.Epochs} {p.ImagesPerSecond, 7:N0} images/s loss {p.Loss, 6:F3}")
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
            let place () = $"[{finished + failed, 3}/{total}]"
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
                line $"{place ()} {title.PadRight titleWidth}  {numbers}  {leftText ()}"
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
            work (GridDisplay(total, skipped, titleWidth, None, workers))
        else
            let progress = AnsiConsole.Progress(HideCompleted = true, AutoClear = false)
            progress.RefreshRate <- TimeSpan.FromMilliseconds 200.0
            progress
                .Columns(TaskDescriptionColumn(Alignment = Justify.Left), ProgressBarColumn(Width = 24), PercentageColumn())
                .Start(fun context -> work (GridDisplay(total, skipped, titleWidth, Some context, workers)))
