namespace GMix.Experiments

open System
open System.Globalization
open System.IO
open System.Text
open GMix
open GMix.Torch
open GMix.Training

/// Where one training step's time goes: a table on the console, and profile.txt, profile.csv and profile.json (Chrome's trace format) in a folder.
[<RequireQualifiedAccess>]
module Profiling =
    let private number (format: string) (value: float) = value.ToString(format, CultureInfo.InvariantCulture)

    let private size (bytes: int64) =
        if bytes = 0L then "" elif bytes < 1048576L then number "F1" (float bytes / 1024.0) + " KiB" else number "F1" (float bytes / 1048576.0) + " MiB"

    /// Steps that run before the one that is recorded: the first ones choose algorithms and fetch memory.
    let warmup = 5

    /// The step's parts and its operators as text; the first `rows` operators and all others in one row.
    let table (title: string) (rows: int) (profile: Profile) : string =
        let text = StringBuilder()
        let line (s: string) = text.Append(s.TrimEnd()).Append('\n') |> ignore
        line $"""{title}: one step of {number "F3" (profile.Seconds * 1e3)} ms"""
        line ""
        line $"""{"part of the step", -44} {"times", 7} {"ms", 11} {"share", 8}"""
        for struct (name, calls, seconds) in profile.Spans() do
            let indent = if name = profile.Name then "" else "  "
            line $"""{indent + name, -44} {calls, 7} {number "F3" (seconds * 1e3), 11} {number "F1" (100.0 * seconds / profile.Seconds), 7}%%"""
        line ""
        line $"""{"operator", -44} {"calls", 7} {"self ms", 11} {"share", 8} {"with inner ms", 14} {"gives", 12}"""
        let row (name: string) calls self share total bytes =
            let name = if name.Length > 44 then name.Substring(0, 43) + "…" else name
            line $"""{name, -44} {calls, 7} {number "F3" (self * 1e3), 11} {number "F1" (100.0 * share), 7}%% {total, 14} {size bytes, 12}"""
        let all = profile.Rows() |> List.ofSeq
        for r in List.truncate rows all do
            row r.Name r.Calls r.Self r.Share (number "F3" (r.Total * 1e3)) r.Bytes
        if all.Length > rows then
            let rest = List.skip rows all
            row $"{rest.Length} more" (rest |> List.sumBy _.Calls) (rest |> List.sumBy _.Self) (rest |> List.sumBy _.Share) "" (rest |> List.sumBy _.Bytes)
        text.ToString()

    /// Refuses a folder that cannot be written to, before anything is measured.
    let check (folder: string) =
        try
            Directory.CreateDirectory folder |> ignore
            let probe = Path.Combine(folder, ".profile")
            File.WriteAllText(probe, "")
            File.Delete probe
        with
        | :? IOException
        | :? UnauthorizedAccessException -> raise (GMixInputException $"--profile {folder}: cannot write there; name a folder that can be made or written to")

    /// Writes the three files and prints the table's head.
    let save (folder: string) (title: string) (profile: Profile) =
        Directory.CreateDirectory folder |> ignore
        let path name = Path.Combine(folder, name)
        File.WriteAllText(path "profile.txt", table title Int32.MaxValue profile)
        File.WriteAllText(path "profile.csv", profile.ToCsv())
        File.WriteAllText(path "profile.json", profile.ToTrace())
        Console.Out.WriteLine(table title 15 profile)
        Console.Out.WriteLine $"""profile  {path "profile.txt"}, profile.csv, profile.json (for chrome://tracing or ui.perfetto.dev)"""
        Console.Out.WriteLine ""

    /// Profiles a step of a run with a trainer of its own, so that the run itself is what it would have been.
    let ofRun (folder: string) (setup: Setup) (methodName: string) (seed: int) =
        let job = Runner.job setup methodName seed
        job.Config.Check()
        let data = Trainer.Open job.Config
        Runner.check job data |> ignore
        check folder
        use trainer = new Trainer(job.Config, data, job.Method)
        let c = job.Config
        save folder $"{job.Method.Title} on {c.Model}, batch {c.Batch}, {Resolve.precisionName c.Precision}, {c.Threads} threads, {c.Device}" (trainer.ProfileStep warmup)
