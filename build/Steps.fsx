/// How the build talks and remembers: one short line per step, a log file per command, a stamp per finished step.
module Steps

open System
open System.Diagnostics
open System.IO
open System.Security.Cryptography
open System.Text

/// A step cannot go on: the line says what is wrong and what to do. Code 2 means the machine or the command line, 1 the code being built.
exception Stop of line: string * detail: string list * code: int

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))
let cache = Path.Combine(root, ".cache")
let inRoot (path: string) = Path.Combine(root, path)
let inCache (path: string) = Path.Combine(cache, path)
let relative (path: string) = Path.GetRelativePath(root, path)
let stop code line = raise (Stop(line, [], code))

// --- lines ----------------------------------------------------------------------------------------------------------

let private live = not Console.IsOutputRedirected

/// On a terminal: a line that the next one takes the place of.
let announce (text: string) = if live then printf "\r\027[K%s" text

let private line (name: string) (what: string) (seconds: float option) =
    let time = match seconds with Some s -> sprintf "%7.1f s" s | None -> ""
    sprintf "  %-13s %-58s%s" name what time

/// Does `work` and prints one line: the step's name, what `work` says it did, and the seconds it took.
/// On a terminal the line stands there from the start, with `doing`.
let step name doing (work: unit -> string) =
    announce (line name (doing + " …") None)
    let clock = Stopwatch.StartNew()
    try
        let said = work ()
        announce ""
        printfn "%s" (line name said (Some clock.Elapsed.TotalSeconds))
    with _ ->
        announce ""
        reraise ()

let warn (text: string) = printfn "  warning       %s" text

// --- commands ---------------------------------------------------------------------------------------------------------

/// The folder where NuGet keeps packages unless told otherwise; Paket reads it as its source.
let packagesFolder = Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".nuget", "packages")

let private prepare (info: ProcessStartInfo) =
    info.WorkingDirectory <- root
    info.UseShellExecute <- false
    for name, value in [ "DOTNET_NOLOGO", "1"; "DOTNET_CLI_TELEMETRY_OPTOUT", "1"; "DOTNET_SKIP_FIRST_TIME_EXPERIENCE", "1"
                         "DOTNET_CLI_UI_LANGUAGE", "en"; "MSBUILDDISABLENODEREUSE", "1"; "DEBIAN_FRONTEND", "noninteractive" ] do
        info.Environment[name] <- value
    // paket.dependencies names the default folder, so everything here uses that one
    info.Environment.Remove "NUGET_PACKAGES" |> ignore
    // what `dotnet fsi` sets for itself is not for its children
    for name in [ "MSBuildSDKsPath"; "MSBuildExtensionsPath"; "MSBUILD_EXE_PATH"; "MSBuildLoadMicrosoftTargetsReadOnly" ] do
        info.Environment.Remove name |> ignore
    info

let isOnPath (program: string) =
    (Environment.GetEnvironmentVariable "PATH" |> Option.ofObj |> Option.defaultValue "").Split ':'
    |> Array.exists (fun folder -> folder <> "" && File.Exists(Path.Combine(folder, program)))

/// Runs a command without input; its output goes to `.cache/logs/<log>.log`. Gives the exit code and that file.
/// The shell redirects, so that a compiler server left behind cannot hold a pipe open.
let tryRun (log: string) (command: string list) =
    let file = inCache (Path.Combine("logs", log + ".log"))
    Directory.CreateDirectory(Path.GetDirectoryName file) |> ignore
    let script = "exec \"$@\" >\"$GMIX_BUILD_LOG\" 2>&1 </dev/null"
    let info = ProcessStartInfo("sh", [ "-c"; script; "sh" ] @ command) |> prepare
    info.Environment["GMIX_BUILD_LOG"] <- file
    use child = Process.Start info
    child.WaitForExit()
    child.ExitCode, file

/// The lines of a log worth showing: the compilers' errors where there are any, else its end.
let tail (file: string) =
    let lines = if File.Exists file then File.ReadAllLines file else [||]
    let errors =
        lines
        |> Array.filter (fun text -> text.Contains "error" && (text.Contains ": error" || text.Contains "error:" || text.StartsWith "E: "))
        |> Array.map (fun text -> text.Trim().Replace(root + "/", ""))
        |> Array.distinct
    let shown = if errors.Length > 0 then Array.truncate 15 errors else lines |> Array.skip (max 0 (lines.Length - 20))
    shown |> Array.map (fun text -> if text.Length > 240 then text.Substring(0, 237) + "..." else text) |> List.ofArray

/// As `tryRun`; a failure stops the build with `failure`, the end of the log and where the log is.
let run log failure command =
    match tryRun log command with
    | 0, _ -> ()
    | _, file -> raise (Stop(sprintf "%s (whole log: %s)" failure (relative file), tail file, 1))

/// The first line that a quick command prints, or "" where it fails or is not there.
let ask (program: string) (arguments: string list) =
    try
        let info = ProcessStartInfo(program, arguments) |> prepare
        info.RedirectStandardOutput <- true
        info.RedirectStandardError <- true
        info.RedirectStandardInput <- true
        use child = Process.Start info
        child.StandardInput.Close()
        child.ErrorDataReceived.Add ignore
        child.BeginErrorReadLine()
        let said = child.StandardOutput.ReadToEnd()
        child.WaitForExit()
        if child.ExitCode = 0 then said.Trim() else ""
    with :? ComponentModel.Win32Exception -> ""

/// Runs a program with this terminal as its own and gives its exit code.
let hand (program: string) (arguments: string list) =
    use child = Process.Start(ProcessStartInfo(program, arguments) |> prepare)
    child.WaitForExit()
    child.ExitCode

// --- stamps -----------------------------------------------------------------------------------------------------------

let private ignoredFolders = set [ "bin"; "obj"; "build"; ".git"; ".cache"; ".paket"; "paket-files"; "runs"; "TestResults" ]

/// Files under `folder` whose name ends in one of `endings`, without those that builds make.
let rec files (endings: string list) (folder: string) : string list =
    if not (Directory.Exists folder) then []
    else
        [ for file in Directory.GetFiles folder do
              if endings |> List.exists (fun ending -> file.EndsWith(ending, StringComparison.Ordinal)) then file
          for inner in Directory.GetDirectories folder do
              if not (ignoredFolders.Contains(Path.GetFileName inner)) then yield! files endings inner ]

/// A hash of the files' names and contents and of some words.
let fingerprint (words: string list) (paths: string list) =
    use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256
    for word in words do
        hash.AppendData(Encoding.UTF8.GetBytes(word + "\n"))
    for path in List.sort paths do
        hash.AppendData(Encoding.UTF8.GetBytes(relative path + "\n"))
        hash.AppendData(SHA256.HashData(File.ReadAllBytes path))
    Convert.ToHexString(hash.GetHashAndReset()).ToLowerInvariant()

/// Size and time of the outputs: what another command rebuilt is not what this step made.
let private state (outputs: string list) =
    [ for path in outputs do
          if File.Exists path then
              let info = FileInfo path
              $"{relative path} {info.Length} {info.LastWriteTimeUtc.Ticks}"
          elif Directory.Exists path then relative path
          else relative path + " is missing" ]
    |> String.concat "\n"

/// Does `work` unless the step `name` was finished with the same `mark` before and its `outputs` are as it left them.
let once name (mark: string) (outputs: string list) unchanged doing (work: unit -> string) =
    let stamp = inCache (Path.Combine("stamps", name))
    let expected () = mark + "\n" + state outputs
    if File.Exists stamp && File.ReadAllText stamp = expected () then
        step name doing (fun () -> unchanged)
    else
        step name doing (fun () ->
            Directory.CreateDirectory(Path.GetDirectoryName stamp) |> ignore
            File.Delete stamp
            let said = work ()
            File.WriteAllText(stamp, expected ())
            said)
