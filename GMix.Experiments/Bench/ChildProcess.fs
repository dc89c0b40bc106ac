namespace GMix.Experiments

open System
open System.ComponentModel
open System.Diagnostics

/// Programs that a benchmark runs as processes of their own.
[<RequireQualifiedAccess>]
module internal ChildProcess =
    /// What became of one.
    type Ended =
        { Code: int
          Output: string
          Error: string }

        /// The last line that it printed.
        member this.LastLine = this.Output.Trim().Split('\n') |> Array.last

        /// Throws where it failed, in the words that it ended with.
        member this.OrFail(what: string) =
            if this.Code <> 0 then
                let last = this.Error.Trim().Split('\n') |> Array.last
                raise (InvalidOperationException $"{what} ended with code {this.Code}: {last}")
            this

    /// Runs a program with some variables set to its end, None where it does not start. `meanwhile` is called every 20 ms.
    let watch (program: string) (arguments: string list) (environment: (string * string) list) (meanwhile: Process -> unit) : Ended option =
        try
            let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false)
            for name, value in environment do
                start.Environment[name] <- value
            use child = Process.Start start
            let error, output = child.StandardError.ReadToEndAsync(), child.StandardOutput.ReadToEndAsync()
            while not (child.WaitForExit 20) do
                meanwhile child
            Some { Code = child.ExitCode; Output = output.Result; Error = error.Result }
        with :? Win32Exception -> None

    /// Runs a program with some variables set to its end, None where it does not start.
    let run program arguments environment = watch program arguments environment ignore
