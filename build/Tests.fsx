/// Runs the test programs one after the other (each uses every core by itself) and adds up what they report.
module Tests

#load "Steps.fsx"

open System
open System.Diagnostics
open System.IO
open System.Xml.Linq
open Steps

type Outcome = { Passed: int; Failed: int; Skipped: int }

let private none = { Passed = 0; Failed = 0; Skipped = 0 }

let private attribute (name: string) (element: XElement) = match element.Attribute(XName.Get name) with null -> "" | found -> found.Value
let private child (name: string) (element: XElement) = match element.Element(XName.Get name) with null -> "" | found -> found.Value.Trim()

let private show (lines: string seq) =
    for text in Seq.truncate 30 lines do
        printfn "      %s" (text.TrimEnd())

/// A stack's frames in this repository's own files.
let private ownFrames (stack: string) =
    stack.Split '\n' |> Array.filter (fun frame -> frame.Contains(" in " + root)) |> Array.map (fun frame -> frame.Trim().Replace(root + "/", ""))

/// The tests that a log of xunit's verbose reporter says were started and never came to an end.
let private unfinished (log: string[]) =
    let names (ending: string) =
        log |> Array.choose (fun text -> match text.IndexOf ending with -1 -> None | at -> Some(text.Substring(0, at).Trim()))
    names " [STARTING]" |> Array.except (names " [FINISHED]")

/// Reads a result file of xunit (its XML, version 2) and prints what failed and what was skipped.
let private readResults (file: string) =
    let document = XDocument.Load file
    let mutable outcome = none
    for test in document.Descendants(XName.Get "test") do
        match attribute "result" test with
        | "Pass" -> outcome <- { outcome with Passed = outcome.Passed + 1 }
        | "Skip" ->
            outcome <- { outcome with Skipped = outcome.Skipped + 1 }
            printfn "    skipped  %s: %s" (attribute "name" test) (child "reason" test)
        | _ ->
            outcome <- { outcome with Failed = outcome.Failed + 1 }
            printfn "    FAILED   %s" (attribute "name" test)
            for failure in test.Elements(XName.Get "failure") do
                show ((child "message" failure).Split '\n')
                show (ownFrames (child "stack-trace" failure))
            match child "output" test with
            | "" -> ()
            | output -> show (output.Split '\n')
    // what broke outside any test: a fixture, a clean-up
    for error in document.Descendants(XName.Get "error") do
        outcome <- { outcome with Failed = outcome.Failed + 1 }
        printfn "    FAILED   %s %s" (attribute "type" error) (attribute "name" error)
        for failure in error.Elements(XName.Get "failure") do
            show ((child "message" failure).Split '\n')
    outcome

let private runProject (words: string list) (name: string) =
    let program = inRoot $"tests/{name}/bin/Release/net10.0/{name}"
    let results = inCache $"tests/{name}.xml"
    Directory.CreateDirectory(Path.GetDirectoryName results) |> ignore
    File.Delete results
    let clock = Stopwatch.StartNew()
    announce $"  {name} …"
    let code, log = tryRun ("test-" + name) ([ program; "-noLogo"; "-noColor"; "-reporter"; "verbose"; "-xml"; results ] @ words)
    announce ""
    let said = if File.Exists results then (try Some(readResults results) with :? System.Xml.XmlException -> None) else None
    let outcome =
        match said with
        | Some outcome -> outcome
        | None ->
            let lines = File.ReadAllLines log
            printfn "    FAILED   %s ended with code %d before it could report (whole log: %s)" name code (relative log)
            for test in unfinished lines do
                printfn "      while running %s" test
            let ending = lines |> Array.tryFindIndexBack (fun text -> text.EndsWith "]" || text.Contains " [FINISHED]") |> Option.defaultValue -1
            show (lines |> Array.skip (ending + 1) |> Array.truncate 8 |> Array.map (fun text -> if text.Length > 200 then text.Substring(0, 200) + "..." else text))
            { none with Failed = 1 }
    printfn "  %-24s %4d passed, %d failed, %d skipped%s%7.1f s" name outcome.Passed outcome.Failed outcome.Skipped (String(' ', 16)) clock.Elapsed.TotalSeconds
    outcome

/// Every project under tests/, in order of name. Words go to the test programs (`-class NAME`, `-method NAME`: xunit's own);
/// a first word without a dash picks the projects whose name contains it. Gives the exit code.
let runAll (words: string list) =
    let part, words = match words with first :: rest when not (first.StartsWith "-") -> first, rest | _ -> "", words
    let all = Directory.GetDirectories(inRoot "tests") |> Array.map Path.GetFileName |> Array.sort |> List.ofArray
    let projects = all |> List.filter (fun name -> name.EndsWith ".Tests" && name.Contains(part, StringComparison.OrdinalIgnoreCase))
    if projects.IsEmpty then stop 2 ($"no test project's name contains '{part}': there are " + String.Join(", ", all))
    let total =
        projects
        |> List.map (runProject words)
        |> List.fold (fun a b -> { Passed = a.Passed + b.Passed; Failed = a.Failed + b.Failed; Skipped = a.Skipped + b.Skipped }) none
    printfn "%d passed, %d failed, %d skipped" total.Passed total.Failed total.Skipped
    if total.Failed > 0 || total.Passed = 0 then 1 else 0
