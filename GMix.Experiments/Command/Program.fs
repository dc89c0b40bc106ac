module GMix.Experiments.Program

open System
open System.Collections.Generic
open System.CommandLine
open System.CommandLine.Help
open System.CommandLine.Invocation
open System.Diagnostics
open System.IO
open System.Linq
open GMix
open GMix.Torch

let private command (args: string array) =
    let quoted (word: string) = if word |> Seq.forall (fun c -> Char.IsLetterOrDigit c || "-_./,:=+".Contains c) && word <> "" then word else "'" + word + "'"
    Some("gmix " + String.Join(" ", args |> Array.map quoted))

let private ended (result: ComparisonResult) =
    for run, reason in result.Failed do
        eprintfn "failed: %s #%d (%s): %s" run.Config.Method.Title run.Config.Seed run.Folder reason
    match result.Outcome with
    | Outcome.Completed -> if result.Failed.IsEmpty then 0 else 1
    | Outcome.Stopped ->
        eprintfn "stopped; continue with: gmix resume %s" result.Folder
        1

let private outOf result = Flags.get result Flags.out |> Option.defaultValue "runs"
let private nameOf result word = Flags.get result Flags.name |> Option.defaultWith (fun () -> Compare.freshName (outOf result) word)

let private comparisonOf (result: ParseResult) args : ComparisonOptions =
    { Workers = Flags.get result Flags.workers |> Option.defaultValue 1; TensorBoard = result.GetValue Flags.tensorBoard; Command = command args }

let private compareVerb args =
    Verb.make "compare" "Train several methods on the same data; a table and an HTML report at the end.\n  gmix compare --dataset cifar10 --data DIR --model wrn-16-2 --methods vanilla,mixup,dgmix --epochs 3\n  gmix compare --limit 500 --model mlp --seeds 0..4 --workers 2"
        ([ Flags.methods; Flags.seeds; Flags.workers; Flags.tensorBoard ] @ Flags.training) [] (fun result ->
            let token, handlers = Signals.stopping ()
            use _ = handlers
            let methods = Flags.get result Flags.methods |> Option.defaultValue Verb.paperMethods
            let seeds = Flags.get result Flags.seeds |> Option.defaultValue [ 0 ]
            Compare.run (outOf result) (nameOf result "compare") (Flags.setup result) methods seeds (comparisonOf result args) token |> ended)

let private trainVerb args =
    Verb.make "train" "Train one method; checkpoint after every epoch.\n  gmix train --method dgmix --model wrn-16-2 --epochs 10 --tensorboard"
        ([ Flags.method; Flags.seed; Flags.tensorBoard; Flags.profile ] @ Flags.training) [] (fun result ->
            let token, handlers = Signals.stopping ()
            use _ = handlers
            let method = Flags.get result Flags.method |> Option.defaultValue "vanilla"
            let seed = Flags.get result Flags.seed |> Option.defaultValue 0
            let setup, name = Flags.setup result, nameOf result "train"
            match Flags.profileFolder result (Path.Combine(outOf result, name)) with
            | Some folder -> Profiling.ofRun folder setup method seed
            | None -> ()
            Compare.run (outOf result) name setup [ method ] [ seed ] { comparisonOf result args with Workers = 1 } token |> ended)

let private resumeVerb args =
    let path = Argument<string>("RUN", Description = "a run's folder, or an experiment's")
    path.CompletionSources.Add Completion.ofRuns
    path.HelpName <- "RUN"
    Verb.make "resume" "Continue what was interrupted, bit for bit as if it had not been.\n  gmix resume runs/train-20261231-235959\n  gmix resume runs/compare-20261231-235959 --workers 2" [ Flags.workers; Flags.tensorBoard ] [ path ] (fun result ->
        let token, handlers = Signals.stopping ()
        use _ = handlers
        Compare.resume (result.GetValue path) (comparisonOf result args) token |> ended)

let private reportVerb args =
    let paths = Argument<string array>("RUNS", Description = "folders of runs or experiments", Arity = ArgumentArity.OneOrMore)
    paths.CompletionSources.Add Completion.ofRuns
    paths.HelpName <- "RUNS"
    let show = Flags.switch "--open" "show the report in the browser"
    let output = Flags.text "--output" "FILE" "the report's file (default report.html in the first folder)"
    let json = Flags.switch "--json" "one line for programs instead of tables: means and deviations per data set, model and method"
    Verb.make "report" "Table and HTML report of runs that exist.\n  gmix report runs/compare-20261231-235959 --open\n  gmix report runs/a runs/b --output both.html" [ output; json; show ] [ paths ] (fun result ->
        let folders = result.GetValue paths |> List.ofArray
        let runs = folders |> List.collect RunStore.list
        if runs |> List.forall (fun r -> r.Epochs.IsEmpty) then raise (GMixInputException $"{folders.Head}: no run in it has finished an epoch, so there is nothing to report")
        let asJson = result.GetValue json
        if not asJson then
            for comparison in Summary.comparisons runs do
                ConsoleTables.print (Tables.comparison comparison)
        let path = Flags.get result output |> Option.defaultValue (Path.Combine(folders.Head, "report.html"))
        let written = Report.create "GMix: a comparison of training methods" |> Report.withRuns runs |> Report.withRemarks (Compare.remarks runs) |> Report.withCommand (command args).Value |> Report.save path
        if asJson then printfn "%s" (TableWriters.json (Summary.comparisons runs)) else printfn "report   %s" written
        if result.GetValue show then Browser.openFile written |> Option.iter (eprintfn "%s")
        0)

let private inspectVerb args =
    let path = Argument<string>("RUN", Description = "a finished run's folder")
    path.CompletionSources.Add Completion.ofRuns
    path.HelpName <- "RUN"
    let sensitivity = Flags.switch "--sensitivity" "how much each training example's loss reacts, and which react least"
    let landscape = Flags.switch "--landscape" "the loss on a plane around the solution"
    let sharpness = Flags.switch "--sharpness" "worst-case and average rise of the loss nearby, top Hessian eigenvalue, trace"
    let images = Flags.integer "--images" "training images (default: sharpness 2048, landscape 512, sensitivity all; less without a flag)"
    let draws = Flags.integer "--draws" "random perturbations of the average case (default 50)"
    let grid, range = Flags.integer "--grid" "points along each direction of the plane, odd (default 15)", Flags.number "--range" "how far the plane reaches (default 1)"
    let rho, adaptive = Flags.number "--rho" "radius of the ball (default 0.05)", Flags.number "--adaptive-rho" "radius of the adaptive ball (default 0.5)"
    let sigma = Flags.number "--sigma" "standard deviation of the average case (default rho / sqrt(d))"
    let json = Flags.switch "--json" "print the JSON instead of tables"
    Verb.make "inspect" "Measure sensitivity, loss landscape and sharpness at a run's final weights; inspect.json and inspect.html in its folder.\n  gmix inspect runs/train-20261231-235959 --sharpness"
        [ sensitivity; landscape; sharpness; images; draws; grid; range; rho; adaptive; sigma; Flags.seed; Flags.data; Flags.device; Flags.threads; json ] [ path ] (fun result ->
            let options =
                { Sensitivity = result.GetValue sensitivity; Landscape = result.GetValue landscape; Sharpness = result.GetValue sharpness
                  Images = Flags.get result images; Draws = Flags.get result draws; Grid = Flags.get result grid; Range = Flags.get result range
                  Rho = Flags.get result rho; AdaptiveRho = Flags.get result adaptive; Sigma = Flags.get result sigma
                  Seed = Flags.get result Flags.seed |> Option.defaultValue 0
                  Data = Flags.get result Flags.data; Device = Flags.get result Flags.device; Threads = Flags.get result Flags.threads }
            Inspect.run (result.GetValue path) options (result.GetValue json) (command args)
            0)

let private dataVerb () =
    let data = Command("data", "What data is there; download, check or make it.")
    let dir = Flags.data
    let name () =
        let names = [ for d in GMix.Data.Datasets.All do if d.Files.Count > 0 then d.Name ]
        let argument = Argument<string>("NAME", Description = String.Join(" ", names))
        argument.CompletionSources.Add(Completion.ofWords (fun () -> names))
        argument.HelpName <- "NAME"
        argument
    data.Subcommands.Add(
        Verb.make "list" "Every data set, and where it is.\n  gmix data list --data DIR" [ dir ] [] (fun result ->
            DataCommand.list (Flags.get result dir)
            0))
    let getName, all = name (), Flags.switch "--all" "also the parts that training does not need (SVHN's extra)"
    data.Subcommands.Add(
        Verb.make "get" "Download from the makers' site, resume a broken download, check size and sum, unpack.\n  gmix data get cifar10 --data DIR" [ dir; all ] [ getName ] (fun result ->
            let token, handlers = Signals.stopping ()
            use _ = handlers
            DataCommand.get (Flags.get result dir) (result.GetValue getName) (result.GetValue all) token
            0))
    let verifyName = name ()
    data.Subcommands.Add(
        Verb.make "verify" "Read everything and tell: official, a subset, damaged or missing (exit code 1 for the last two).\n  gmix data verify cifar10 --data DIR" [ dir ] [ verifyName ] (fun result ->
            let token, handlers = Signals.stopping ()
            use _ = handlers
            if DataCommand.verify (Flags.get result dir) (result.GetValue verifyName) token then 0 else 1))
    let makeName = name ()
    let train, test = Flags.integer "--train" "training images per class", Flags.integer "--test" "test images per class"
    data.Subcommands.Add(
        Verb.make "make" "Write a small synthetic set in the official format.\n  gmix data make cifar10 --data DIR" [ dir; train; test; Flags.seed ] [ makeName ] (fun result ->
            let number option = Flags.get result option |> Option.defaultValue 0
            DataCommand.make (Flags.get result dir) (result.GetValue makeName) (number train) (number test) (number Flags.seed)
            0))
    let rows, columns = Flags.integer "--rows" "rows of the sheet (default 4)", Flags.integer "--cols" "columns of the sheet (default 8)"
    let epoch = Flags.integer "--epoch" "which epoch's first batch, from 0 (default 0)"
    let output = Flags.text "--output" "FILE" "the picture (default preview.png); the page with the labels goes beside it"
    data.Subcommands.Add(
        Verb.make "preview" "A contact sheet of what a method trains on: augmented and mixed images with their labels.\n  gmix data preview --dataset cifar10 --method mixup --output preview.png"
            ([ Flags.dataset; dir; Flags.limit; Flags.size; Flags.coarse; Flags.method; rows; columns; Flags.seed; epoch; output; Flags.preset; Flags.augment; Flags.cutout; Flags.erasing; Flags.reflect ] @ Flags.methodParameters) [] (fun result ->
                let number option fallback = Flags.get result option |> Option.defaultValue fallback
                let method = Flags.get result Flags.method |> Option.defaultValue "mixup"
                let picture, page =
                    Preview.make (Flags.setup result) method (number rows 4) (number columns 8) (number Flags.seed 0) (number epoch 0)
                    |> Preview.save (Flags.get result output |> Option.defaultValue "preview.png")
                printfn "picture  %s" picture
                printfn "labels   %s" page
                0))
    data

let private runsVerb () =
    let words = Argument<string array>("WORD", Description = "only runs of this experiment, data set, model, method, state (complete, partial, failed), seed=N, or whose id begins so", Arity = ArgumentArity.ZeroOrMore)
    let json = Flags.switch "--json" "one JSON object a line, for programs"
    let remove = Flags.switch "--remove" "delete the runs that fit; needs a word"
    Verb.make "runs" "List runs, filter them, remove them.\n  gmix runs cifar10 failed\n  gmix runs 3f2a --remove" [ Flags.out; json; remove ] [ words ] (fun result ->
        let words = result.GetValue words |> List.ofArray
        let runs = RunStore.list (outOf result) |> List.filter (RunsCommand.fits words)
        if result.GetValue remove then
            if words.IsEmpty then raise (GMixInputException "--remove needs a word that says which runs, such as a part of an id")
            RunsCommand.remove runs
            printfn "%d runs removed" runs.Length
        elif result.GetValue json then
            if not runs.IsEmpty then printfn "%s" (RunsCommand.json runs)
        else
            ConsoleTables.print (RunsCommand.table runs)
        0)

/// GMix.Scripts beside the command's own folder or above it.
let private scriptFolder () =
    let rec above (folder: DirectoryInfo) =
        if isNull folder then None
        else
            let path = Path.Combine(folder.FullName, "GMix.Scripts")
            if Directory.Exists path then Some path else above folder.Parent
    above (DirectoryInfo AppContext.BaseDirectory)

let private scriptNames () =
    match scriptFolder () with
    | Some folder -> [ for path in Directory.GetFiles(folder, "*.fsx") do Path.GetFileNameWithoutExtension path ] |> List.filter ((<>) "gmix") |> List.sort
    | None -> []

let private scriptNamed (name: string) =
    if File.Exists name then name
    else
        match scriptFolder () |> Option.map (fun folder -> Path.Combine(folder, name + ".fsx")) with
        | Some path when File.Exists path -> path
        | _ -> raise (GMixInputException $"run {name}: no such file, and no script of that name in GMix.Scripts; give the path of an .fsx file")

let private runVerb () =
    let script = Argument<string>("SCRIPT", Description = "a script's file, or the name of one in GMix.Scripts")
    script.CompletionSources.Add(Completion.ofWords scriptNames)
    script.HelpName <- "SCRIPT"
    let words = Argument<string array>("WORDS", Description = "words for the script, such as --scale cpu --data DIR", Arity = ArgumentArity.ZeroOrMore)
    let run =
        Verb.make "run" "Run an experiment script.\n  gmix run table-1 --scale smoke\n  gmix run own-method.fsx --workers 2 --tensorboard" [] [ script; words ] (fun result ->
            let path = scriptNamed (result.GetValue script)
            let start = ProcessStartInfo("dotnet", [ "fsi"; "--quiet"; path; yield! result.GetValue words; yield! result.UnmatchedTokens ])
            use child =
                try Process.Start start
                with :? System.ComponentModel.Win32Exception as e -> raise (GMixInputException($"run {path}: the program dotnet does not start ({e.Message}); install the .NET SDK", e))
            use _ = Signals.leaveTo child.Id
            child.WaitForExit()
            child.ExitCode)
    run.TreatUnmatchedTokensAsErrors <- false
    run

let private workerVerb () =
    let worker =
        Verb.make Workers.Verb "Trains what it is told on its standard input." [ Flags.tensorBoard ] [] (fun result ->
            // the one who gave the work says when to stop: a Ctrl-C reaches the whole group
            let _, handlers = Signals.stopping ()
            use _ = handlers
            Workers.serve (result.GetValue Flags.tensorBoard) Console.In Console.Out)
    worker.Hidden <- true
    worker

let private completionVerb () =
    let shell = Argument<string>("SHELL", Description = "bash, zsh or fish")
    shell.CompletionSources.Add(Completion.ofWords (fun () -> Completion.scripts |> List.map fst))
    shell.HelpName <- "SHELL"
    Verb.make "completion" "Print a script that completes verbs, flags, names and run folders in a shell.\n  source <(gmix completion bash)\n  gmix completion fish | source" [] [ shell ] (fun result ->
        let name = result.GetValue shell
        match Completion.scripts |> List.tryFind (fun (known, _) -> known = name) with
        | Some(_, script) ->
            printf "%s" script
            0
        | None ->
            let known = Completion.scripts |> List.map fst |> String.concat " "
            raise (GMixInputException $"completion {name}: no such shell; there are {known}"))

let private root args =
    let root = RootCommand "GMix: training with Mixup and sharpness-aware minimisation, and how the methods compare."
    let verbs =
        [ compareVerb args; trainVerb args; resumeVerb args; reportVerb args; runVerb (); runsVerb (); inspectVerb args; dataVerb (); BenchCommand.verb ()
          completionVerb (); workerVerb () ]
    for v in verbs do
        root.Subcommands.Add v
    // help as it comes, then the verb's examples; a verb with verbs of its own shows theirs
    for help in root.Options |> Seq.choose (fun o -> match o with :? HelpOption as h -> Some h | _ -> None) do
        let usual = help.Action :?> SynchronousCommandLineAction
        help.Action <-
            { new SynchronousCommandLineAction() with
                // a verb is explained without its arguments
                member _.ClearsParseErrors = true
                member _.Invoke result =
                    let code = usual.Invoke result
                    let rec shown (command: Command) =
                        match Verb.examplesOf command with
                        | Some own -> if command.Hidden then [] else own
                        | None -> command.Subcommands |> Seq.collect (shown >> Seq.truncate 1) |> List.ofSeq
                    let output = result.InvocationConfiguration.Output
                    match shown result.CommandResult.Command with
                    | [] -> ()
                    | lines ->
                        output.WriteLine(if lines.Length = 1 then "Example:" else "Examples:")
                        for line in lines do output.WriteLine("  " + line)
                        output.WriteLine()
                    code }
    root

/// "bench trace" for that verb.
let rec private pathOf (result: Parsing.CommandResult) =
    match result.Parent with
    | :? Parsing.CommandResult as parent when not (isNull parent.Parent) -> $"{pathOf parent} {result.Command.Name}"
    | _ -> result.Command.Name

/// One line for a person: what is wrong and where to look.
let private complain (message: string) =
    eprintfn "gmix: %s" (message.ReplaceLineEndings " ")
    2

[<EntryPoint>]
let main args =
    try
        match Completion.asked args with
        | Some(line, position) ->
            for candidate in Completion.candidates (root args) line position do printfn "%s" candidate
            0
        | None ->
        let result = (root args).Parse args
        if result.Errors.Count > 0 then
            let help = if result.CommandResult.Command :? RootCommand then "gmix --help" else $"gmix {pathOf result.CommandResult} --help"
            // what is there and should not be tells a person more than what is not there
            let wrong =
                match Seq.tryHead result.UnmatchedTokens with
                | Some word -> $"there is no verb or flag '{word}' here"
                | None -> result.Errors[0].Message.TrimEnd '.'
            complain $"{wrong} (see {help})"
        else
            result.Invoke(InvocationConfiguration(EnableDefaultExceptionHandler = false))
    with
    | :? GMixInputException as e -> complain e.Message
    | :? TorchOutOfMemoryException as e -> complain $"out of memory: {e.Message}; use a smaller --batch or --model"
    | :? IOException | :? UnauthorizedAccessException as e -> complain e.Message
    | e when not (isNull e.InnerException) && (e.InnerException :? GMixInputException) -> complain e.InnerException.Message
