namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open GMix.Torch

/// Where and with what this process runs: the evidence that every run and report carries.
[<RequireQualifiedAccess>]
module Machine =
    /// The first line that a program prints, or None where it is missing or fails.
    let private firstLine program (arguments: string list) (folder: string) =
        try
            let start = ProcessStartInfo(program, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = folder)
            for a in arguments do
                start.ArgumentList.Add a
            use child = Process.Start start
            let line = child.StandardOutput.ReadLine()
            child.WaitForExit()
            if child.ExitCode = 0 then Option.ofObj line else None
        with _ -> None

    /// The commit the code was built from, with "+changes" where the working tree differs; "unknown" outside a repository.
    let commit =
        lazy
            (let folder = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location)
             match firstLine "git" [ "rev-parse"; "HEAD" ] folder with
             | None -> "unknown"
             | Some hash ->
                 // a changed or added file of the project: what the tree holds is not what the commit says
                 let changed = firstLine "git" [ "status"; "--porcelain" ] folder |> Option.isSome
                 if changed then hash + "+changes" else hash)

    let private cpu () =
        try
            File.ReadLines "/proc/cpuinfo"
            |> Seq.tryFind (fun l -> l.StartsWith("model name", StringComparison.Ordinal))
            |> Option.map (fun l -> l.Substring(l.IndexOf ':' + 1).Trim())
            |> Option.defaultValue (RuntimeInformation.ProcessArchitecture.ToString())
        with _ -> RuntimeInformation.ProcessArchitecture.ToString()

    let private os () =
        try
            File.ReadLines "/etc/os-release"
            |> Seq.tryFind (fun l -> l.StartsWith("PRETTY_NAME=", StringComparison.Ordinal))
            |> Option.map (fun l -> l.Substring("PRETTY_NAME=".Length).Trim '"')
            |> Option.defaultValue RuntimeInformation.OSDescription
        with _ -> RuntimeInformation.OSDescription

    /// The BLAS that is mapped into this process, by its file's name.
    let private blas () =
        try
            let loaded = File.ReadLines "/proc/self/maps" |> Seq.map (fun l -> l.Substring(l.LastIndexOf ' ' + 1)) |> Seq.distinct |> List.ofSeq
            let has (part: string) = loaded |> List.exists (fun path -> path.Contains(part, StringComparison.Ordinal))
            if has "openblas" then "OpenBLAS"
            elif has "libmkl" || TorchRuntime.BuildInfo.Contains("BLAS_INFO=mkl", StringComparison.Ordinal) then "MKL"
            elif has "libblas.so" then "reference BLAS (slow: install libopenblas0-pthread)"
            else "built in"
        with _ -> "unknown"

    let version =
        let v = Assembly.GetExecutingAssembly().GetName().Version
        if isNull v then "unknown" else v.ToString 3

    /// The facts, now.
    let environment (command: string option) : EnvironmentInfo =
        { Commit = commit.Value
          Libtorch = TorchRuntime.Version
          Blas = blas ()
          Cpu = cpu ()
          Cores = Environment.ProcessorCount
          Os = os ()
          Gmix = version
          Started = DateTimeOffset.Now.ToString "yyyy-MM-ddTHH:mm:sszzz"
          Command = command
          Extra = null }
