namespace GMix.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Text.Json
open GMix.Torch
open GMix.Training

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

    /// What a GPU's arithmetic depends on, for people; nothing on the host, where none of it applies.
    let gpuWords (config: TrainConfig) =
        if not (config.Device.StartsWith("cuda", StringComparison.Ordinal)) then []
        else
            [ match config.Tf32 with
              | Tf32.On -> "TF32 for matrix products and convolutions"
              | Tf32.Off -> "no TF32"
              | _ -> "TF32 for convolutions"
              if config.CudnnBenchmark then "cuDNN's fastest algorithms" else "deterministic algorithms"
              if config.Graph then "whole steps as CUDA graphs" else "no CUDA graphs" ]

    /// Where a run computes, in one line: the device with what its arithmetic depends on.
    let device (config: TrainConfig) =
        let name = if config.Device.StartsWith("cuda", StringComparison.Ordinal) then Cuda.Name(Device.Parse config.Device) else ""
        String.Join(", ", (if name = "" then config.Device else $"{config.Device} {name}") :: gpuWords config)

    /// The facts with those of the GPU that a run uses.
    let forRun (config: TrainConfig) (facts: EnvironmentInfo) : EnvironmentInfo =
        if not (config.Device.StartsWith("cuda", StringComparison.Ordinal)) then facts
        else
            let extra = match facts.Extra with null -> Dictionary<string, JsonElement>() | given -> Dictionary<string, JsonElement> given
            let put (name: string) (value: 'T) = extra[name] <- JsonSerializer.SerializeToElement value
            put "gpu" (Cuda.Name(Device.Parse config.Device))
            put "precision" (config.Precision.ToString().ToLowerInvariant())
            put "tf32" (config.Tf32.ToString().ToLowerInvariant())
            put "cudnnBenchmark" config.CudnnBenchmark
            put "cudaGraphs" config.Graph
            { facts with Extra = extra }

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
