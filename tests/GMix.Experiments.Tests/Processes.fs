/// The command, and other programs, as processes of their own.
module GMix.Experiments.Tests.Processes

open System
open System.Diagnostics
open System.IO
open System.Threading
open GMix.Experiments.Tests.MadeUpRuns

let gmixPath = Path.Combine(projectRoot, "GMix.Experiments", "bin", "Release", "net10.0", "gmix")

/// Starts a program with some variables set, its output redirected and its input at an end.
let startWith (variables: (string * string) list) (program: string) (arguments: string list) (folder: string) =
    let info = ProcessStartInfo(program, arguments, WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true)
    info.Environment.Remove "GMIX_DATA" |> ignore
    for name, value in variables do
        info.Environment[name] <- value
    let child = Process.Start info
    child.StandardInput.Close()
    child

/// Exit code, standard output, standard error.
let finish (child: Process) =
    let output = child.StandardOutput.ReadToEndAsync()
    let error = child.StandardError.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, output.Result, error

let runWith variables program arguments folder =
    use child = startWith variables program arguments folder
    finish child

let run program arguments folder = runWith [] program arguments folder

let gmix arguments folder = run gmixPath arguments folder

/// Waits until something holds; whether it did within the seconds.
let within (seconds: float) (holds: unit -> bool) =
    let deadline = DateTime.UtcNow.AddSeconds seconds
    let mutable yes = holds ()
    while not yes && DateTime.UtcNow < deadline do
        Thread.Sleep 5
        yes <- holds ()
    yes

/// Files of that name at any depth below a folder.
let filesNamed (name: string) (folder: string) =
    if Directory.Exists folder then Directory.GetFiles(folder, name, SearchOption.AllDirectories) else [||]

/// SIGTERM.
let terminate (child: Process) =
    use kill = Process.Start("kill", [ "-TERM"; string child.Id ])
    kill.WaitForExit()

let findProgram (name: string) =
    (Environment.GetEnvironmentVariable "PATH").Split(Path.PathSeparator) |> Array.map (fun folder -> Path.Combine(folder, name)) |> Array.tryFind File.Exists

/// A program that a test cannot do without: the test is skipped where it is missing.
let programFor (what: string) (name: string) : string =
    match findProgram name with
    | Some path -> path
    | None ->
        Xunit.Assert.Skip $"{name} is not there: {what}"
        ""
