namespace GMix.Experiments

open System
open System.Diagnostics
open GMix.Training
open Spectre.Console

/// What a person sees while runs train: on a terminal a bar per run that moves, elsewhere a line per epoch.
[<RequireQualifiedAccess>]
module Live =
    let private time (seconds: float) =
        if Double.IsFinite seconds && seconds >= 0.0 then
            let span = TimeSpan.FromSeconds(Math.Ceiling seconds)
            if span.TotalHours >= 1.0 then $"{int span.TotalHours}:{span.Minutes:D2}:{span.Seconds:D2}" else $"{span.Minutes}:{span.Seconds:D2}"
        else
            "–:––"

    let private epochLine (title: string) width (epochs: int) (e: EpochRecord) =
        let number format value = value |> Option.map (fun (x: float) -> x.ToString(format: string)) |> Option.defaultValue "–"
        let images = number "N0" e.ImagesPerSecond
        let loss, gap = number "F3" e.TrainLoss, number "+0.0;-0.0;0.0" e.Gap
        $"  {title.PadRight(width: int)}  epoch {e.Epoch, 3}/{epochs}  loss {loss}  test {e.TestAcc, 5:F1} %%  gap {gap, 6}  {images, 6} images/s  {e.Seconds, 6:F1} s"

    /// Runs `work` with a function that gives each run (title, epochs) its watcher. On a terminal that is wide enough, bars; else lines.
    let show (titles: string list) (work: (string -> int -> RunWatcher) -> 'a) : 'a =
        let width = titles |> List.map String.length |> List.fold max 0
        if not AnsiConsole.Profile.Capabilities.Interactive || Console.IsOutputRedirected then
            work (fun title epochs -> { RunWatcher.silent with Epoch = epochLine title width epochs >> Console.Out.WriteLine })
        else
            let progress = AnsiConsole.Progress(HideCompleted = false, AutoClear = false)
            progress.RefreshRate <- TimeSpan.FromMilliseconds 200.0
            // words first: a narrow terminal gets them without the bar
            let wide = AnsiConsole.Profile.Width >= width + 116
            let columns: ProgressColumn array =
                [| TaskDescriptionColumn(Alignment = Justify.Left)
                   if wide then
                       ProgressBarColumn(Width = 24)
                       PercentageColumn() |]
            progress
                .Columns(columns)
                .Start(fun context ->
                    let plain (title: string) = Markup.Escape(title.PadRight width)
                    let tasks = titles |> List.map (fun title -> title, context.AddTask(plain title, false)) |> dict
                    work (fun title epochs ->
                        let task = tasks[title]
                        task.StartTask()
                        let clock = Stopwatch.StartNew()
                        let mutable lastShown = -1000L
                        let mutable accuracy = ""
                        { Step =
                            fun p ->
                                task.MaxValue <- float (p.Epochs * p.Steps)
                                task.Value <- float (p.Epoch * p.Steps + p.Step)
                                // text at most ten times a second: a small net takes thousands of steps in one
                                if clock.ElapsedMilliseconds - lastShown > 100L || p.Step = p.Steps then
                                    lastShown <- clock.ElapsedMilliseconds
                                    task.Description <-
                                        if wide then
                                            $"{plain title} epoch {p.Epoch + 1, 3}/{epochs} batch {p.Step, 4}/{p.Steps} {p.ImagesPerSecond, 7:N0} images/s loss {p.Loss, 6:F3} left {time p.SecondsLeft, 6}{accuracy}"
                                        else
                                            $"{plain title} {p.Epoch + 1, 3}/{epochs} {p.Step, 4}/{p.Steps} {p.ImagesPerSecond, 6:N0} img/s loss {p.Loss, 6:F3} left {time p.SecondsLeft, 6}"
                          Epoch =
                            fun e ->
                                accuracy <- $" test {e.TestAcc:F1} %%"
                                if e.Epoch = epochs then
                                    task.Value <- task.MaxValue
                                    task.StopTask() }))
