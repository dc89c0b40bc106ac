/// What a person meets around the command: completion in a shell, help with examples, the report in a browser.
module GMix.Experiments.Tests.ShellTests

open System
open System.IO
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Experiments.Tests.Processes
open Xunit

/// A shell's own folder with gmix in PATH and two experiments below runs/.
let private shellFolder =
    lazy
        (let folder = freshFolder "shell"
         for name in [ "first"; "second" ] do
             write (Path.Combine(folder, "runs")) name (settings "cifar10" "mlp" vanilla 2 0) 2 |> ignore
         Directory.CreateDirectory(Path.Combine(folder, "runs", "no-runs-here")) |> ignore
         folder)

let private withGmix = [ "PATH", Path.GetDirectoryName gmixPath + string Path.PathSeparator + Environment.GetEnvironmentVariable "PATH" ]

/// What bash puts in the place of the last word, as its own Tab key would: the script is sourced, the function called with bash's variables.
let private completed (words: string list) : string list =
    let line = String.Join(' ', words)
    // bash breaks words at = as well
    let broken = words |> List.collect (fun w -> match w.IndexOf '=' with -1 -> [ w ] | at -> [ w.Substring(0, at); "="; w.Substring(at + 1) ])
    let quoted = broken |> List.map (fun w -> $"'{w}'") |> String.concat " "
    let text =
        String.Join(
            '\n',
            [ "source <(gmix completion bash)"
              "complete -p gmix > /dev/null || exit 3"
              $"COMP_LINE='{line}' COMP_POINT={line.Length} COMP_WORDS=({quoted}) COMP_CWORD={broken.Length - 1}"
              "_gmix"
              "printf '%s\\n' \"${COMPREPLY[@]}\"" ]
        )
    let code, output, error = runWith withGmix (programFor "it runs the script" "bash") [ "--norc"; "-c"; text ] shellFolder.Value
    Assert.True((code = 0 && error = ""), $"code {code}: {error}")
    output.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

[<Fact>]
let ``bash completes verbs, flags, methods, models, data sets and run folders`` () =
    let cases =
        [ [ "gmix"; "com" ], [ "compare"; "completion" ]
          [ "gmix"; "bench"; "tr" ], [ "trace"; "train" ]
          [ "gmix"; "train"; "--pre" ], [ "--precision"; "--preset" ]
          [ "gmix"; "train"; "--preset"; "" ], [ "fair"; "paper" ]
          [ "gmix"; "train"; "--method"; "d" ], [ "dgmix" ]
          [ "gmix"; "train"; "--method=d" ], [ "dgmix" ]
          [ "gmix"; "compare"; "--methods"; "vanilla,dg" ], [ "vanilla,dgmix" ]
          [ "gmix"; "compare"; "--dataset"; "cifar" ], [ "cifar10"; "cifar100" ]
          [ "gmix"; "compare"; "--model"; "res" ], [ "resnet18" ]
          [ "gmix"; "data"; "get"; "s" ], [ "stl10"; "svhn" ]
          [ "gmix"; "run"; "table-" ], [ "table-1"; "table-2"; "table-3" ]
          [ "gmix"; "resume"; "" ], [ "runs/first"; "runs/second" ]
          [ "gmix"; "report"; "runs/f" ], [ "runs/first" ]
          [ "gmix"; "report"; "--output"; "nothing-of-that-name" ], []
          [ gmixPath; "insp" ], [ "inspect" ] ]
    for words, expected in cases do
        Assert.Equal<string list>(expected, completed words)
    let id = RunStore.list (Path.Combine(shellFolder.Value, "runs", "first")) |> List.exactlyOne |> _.Id
    Assert.Equal<string list>([ $"runs/first/{id}" ], completed [ "gmix"; "inspect"; "runs/first/" ])

[<Fact>]
let ``zsh and fish get a script too, another shell a line`` () =
    for shell in [ "zsh"; "fish" ] do
        let code, output, _ = gmix [ "completion"; shell ] projectRoot
        Assert.Equal(0, code)
        Assert.Contains("[suggest:", output)
        match findProgram shell with
        | Some program ->
            let path = Path.Combine(shellFolder.Value, "completion." + shell)
            File.WriteAllText(path, output)
            let code, _, error = run program [ "-n"; path ] shellFolder.Value
            Assert.True((code = 0), error)
        | None -> ()
    let code, _, error = gmix [ "completion"; "tcsh" ] projectRoot
    Assert.Equal(2, code)
    Assert.Contains("bash zsh fish", error)

[<Fact>]
let ``help of every verb ends with an example that names the verb`` () =
    let rec verbs path =
        let _, output, _ = gmix (path @ [ "--help" ]) projectRoot
        let lines = output.Split '\n' |> List.ofArray
        let after title = lines |> List.skipWhile ((<>) title) |> List.truncate 40
        let own =
            match after "Commands:" with
            | [] -> []
            | _ :: rest -> rest |> List.takeWhile (fun l -> l.StartsWith "  ") |> List.map (fun l -> (l.Trim().Split ' ')[0])
        (path, output) :: (own |> List.collect (fun verb -> verbs (path @ [ verb ])))
    let all = verbs []
    for path in [ []; [ "compare" ]; [ "resume" ]; [ "report" ]; [ "run" ]; [ "runs" ]; [ "bench"; "trace" ]; [ "data"; "get" ]; [ "completion" ] ] do
        Assert.Contains(path, all |> List.map fst)
    for path, output in all do
        let words = String.Join(' ', "gmix" :: path)
        let examples = output.Split '\n' |> Array.skipWhile (fun l -> not (l.StartsWith "Example"))
        Assert.True(examples |> Array.exists (fun l -> l.Contains words), $"{words} --help has no example:\n{output}")

[<Fact>]
let ``BROWSER names the commands to try, with or without a place for the address`` () =
    Assert.Equal<(string * string list) list>([ "firefox", [ "--new-tab"; "file:///a%20b" ]; "lynx", [ "-x"; "file:///a%20b"; "-y" ] ], Browser.candidates "firefox --new-tab:lynx -x %s -y" "file:///a%20b")
    Assert.Single(Browser.candidates "" "file:///a") |> ignore

[<Fact>]
let ``report --open shows the page in the browser of BROWSER, and says so where there is none`` () =
    let folder = freshFolder "open it"
    write (Path.Combine(folder, "runs")) "first" (settings "cifar10" "mlp" vanilla 2 0) 2 |> ignore
    let browser = Path.Combine(folder, "browser.sh")
    File.WriteAllText(browser, $"#!/bin/sh\necho \"$@\" > '{folder}/seen'\n")
    File.SetUnixFileMode(browser, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
    // a path with a space cannot stand in BROWSER
    let link = Path.Combine(Path.GetTempPath(), $"gmix-browser-{Environment.ProcessId}")
    File.CreateSymbolicLink(link, browser) |> ignore
    try
        let report browser = runWith [ "BROWSER", browser ] gmixPath [ "report"; "runs/first"; "--open" ] folder
        let code, _, error = report $"not-a-browser-at-all:{link}"
        Assert.True((code = 0 && error = ""), error)
        let page = Path.Combine(folder, "runs", "first", "report.html")
        Assert.Equal(Uri(page).AbsoluteUri, File.ReadAllText(Path.Combine(folder, "seen")).Trim())
        let code, output, error = report "not-a-browser-at-all"
        Assert.Equal(0, code)
        Assert.Contains("report.html", output)
        Assert.Equal("no browser to open runs/first/report.html with (not-a-browser-at-all is not there); open the file yourself, or name a program in BROWSER", error.Trim())
    finally
        File.Delete link
