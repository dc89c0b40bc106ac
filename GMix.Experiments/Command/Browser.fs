namespace GMix.Experiments

open System
open System.ComponentModel
open System.Diagnostics
open System.IO

/// Opens a page in the browser that a person has chosen.
[<RequireQualifiedAccess>]
module Browser =
    /// The commands to try, in order: those of BROWSER (separated as PATH is, %s for the address), else the platform's own.
    let candidates (browser: string) (address: string) : (string * string list) list =
        if not (String.IsNullOrWhiteSpace browser) then
            [ for command in browser.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries) do
                  let words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray
                  if words |> List.exists (fun w -> w.Contains "%s") then
                      words.Head, words.Tail |> List.map (fun w -> w.Replace("%s", address))
                  else
                      words.Head, words.Tail @ [ address ] ]
        elif OperatingSystem.IsWindows() then [ "cmd", [ "/c"; "start"; ""; address ] ]
        elif OperatingSystem.IsMacOS() then [ "open", [ address ] ]
        else [ "xdg-open", [ address ] ]

    /// Why a command did not open the page; None where it did, or is still at it after three seconds, as a browser is.
    let private attempt (program: string, arguments: string list) : string option =
        try
            use child = Process.Start(ProcessStartInfo(program, arguments, UseShellExecute = false))
            if child.WaitForExit 3000 && child.ExitCode <> 0 then Some $"{program} ended with code {child.ExitCode}" else None
        with :? Win32Exception -> Some $"{program} is not there"

    /// Opens a file; what went wrong as one line, where every way failed.
    let openFile (path: string) : string option =
        let address = Uri(Path.GetFullPath path).AbsoluteUri
        let rec go complaints rest =
            match rest with
            | [] ->
                let said = complaints |> List.rev |> String.concat ", "
                Some $"no browser to open {path} with ({said}); open the file yourself, or name a program in BROWSER"
            | candidate :: rest ->
                match attempt candidate with
                | None -> None
                | Some complaint -> go (complaint :: complaints) rest
        go [] (candidates (Environment.GetEnvironmentVariable "BROWSER") address)
