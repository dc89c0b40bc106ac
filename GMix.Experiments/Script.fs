namespace GMix.Experiments

open System
open System.CommandLine
open System.IO
open System.Runtime.InteropServices
open System.Threading
open GMix
open GMix.Data
open GMix.Methods
open GMix.Models
open GMix.Torch

/// Ctrl-C and SIGTERM as a token: training stops after the current step, with a checkpoint.
[<RequireQualifiedAccess>]
module Signals =
    let stopping () : CancellationToken * IDisposable =
        let source = new CancellationTokenSource()
        let stop (context: PosixSignalContext) =
            // a second signal ends the process at once
            context.Cancel <- not source.IsCancellationRequested
            source.Cancel()
        let handlers = [ for s in [ PosixSignal.SIGINT; PosixSignal.SIGTERM ] -> PosixSignalRegistration.Create(s, stop) ]
        source.Token, { new IDisposable with member _.Dispose() = for h in handlers do h.Dispose() }

    [<DllImport("libc", EntryPoint = "kill")>]
    extern int private sendSignal(int pid, int signal)

    /// Leaves stopping to a child: a SIGTERM is passed on; a Ctrl-C from the terminal has reached it already.
    let leaveTo (pid: int) : IDisposable =
        let ignored = PosixSignalRegistration.Create(PosixSignal.SIGINT, fun context -> context.Cancel <- true)
        let passed =
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, fun context ->
                context.Cancel <- true
                sendSignal (pid, 15) |> ignore)
        { new IDisposable with
            member _.Dispose() =
                ignored.Dispose()
                passed.Dispose() }

/// How much a script trains.
[<RequireQualifiedAccess>]
type ScriptScale =
    /// Seconds: that everything works.
    | Smoke
    /// Small nets on little data, trained until Vanilla knows its training images: two cores, under two hours for all tables and figures.
    | Cpu
    /// The protocol of the paper.
    | Paper

/// What a script was started with.
type Script =
    { Name: string
      Scale: ScriptScale
      /// None: official-format synthetic sets are made, save at the scale paper.
      Data: string option
      Out: string
      Preset: Preset
      Seeds: int list option
      Grid: GridOptions }

/// A data set and a model of the paper at a scale.
type Scaled =
    { Dataset: string
      Data: string option
      Limit: int
      Model: string
      Train: Train
      Seeds: int list }

/// What a script shows in the end.
type Publication =
    { Title: string
      Experiments: Experiment list
      Tables: Comparison list -> Table list
      Figures: Comparison list -> Figure list
      Remarks: string list }

/// The frame of a script: its flags, its scale, its output, its exit code.
[<RequireQualifiedAccess>]
module Script =
    let private scales = [ "smoke", ScriptScale.Smoke; "cpu", ScriptScale.Cpu; "paper", ScriptScale.Paper ]
    let scaleName scale = scales |> List.find (fun (_, s) -> s = scale) |> fst

    let private scaleFlag = Flags.choice "--scale" "how much is trained (default smoke)" scales
    let private workersFlag = Flags.integer "--workers" "runs side by side (default: one, or one per core where every model is small)"
    let private retryFlag = Flags.switch "--retry" "train runs that failed before once more"
    let private failFastFlag = Flags.switch "--fail-fast" "stop at the first run that fails"
    let private keepGoingFlag = Flags.switch "--keep-going" "go on when a run fails (default)"

    /// Flags, as any program reads them: `-- --scale smoke` or `--scale smoke`.
    let private parse (name: string) (args: string array) : Script option =
        let root = RootCommand $"GMix: {name}"
        let flags: System.CommandLine.Option list =
            [ scaleFlag; Flags.data; Flags.out; Flags.preset; Flags.seeds; workersFlag; retryFlag; failFastFlag; keepGoingFlag; Flags.tensorBoard ]
        for flag in flags do
            root.Options.Add flag
        let words = args |> Array.skip (min 1 args.Length) |> Array.filter (fun w -> w <> "--")
        if words |> Array.exists (fun w -> w = "--help" || w = "-h" || w = "-?") then
            root.Parse([| "--help" |]).Invoke() |> ignore
            None
        else
            let result = root.Parse words
            if result.Errors.Count > 0 then
                raise (GMixInputException $"{result.Errors[0].Message.TrimEnd('.')} (see dotnet fsi GMix.Scripts/{name}.fsx --help)")
            if result.GetValue keepGoingFlag && result.GetValue failFastFlag then
                raise (GMixInputException "--keep-going and --fail-fast exclude each other")
            let out = Flags.get result Flags.out |> Option.defaultValue "runs"
            let data =
                Flags.get result Flags.data
                |> Option.orElse (match Environment.GetEnvironmentVariable "GMIX_DATA" with null | "" -> None | folder -> Some folder)
            let command = String.Join(" ", Array.append [| "dotnet"; "fsi"; $"GMix.Scripts/{name}.fsx" |] words)
            Some
                { Name = name
                  Scale = Flags.get result scaleFlag |> Option.defaultValue ScriptScale.Smoke
                  Data = data
                  Out = out
                  Preset = Flags.get result Flags.preset |> Option.defaultValue Preset.Fair
                  Seeds = Flags.get result Flags.seeds
                  Grid =
                    { Root = out
                      Workers = Flags.get result workersFlag
                      Retry = result.GetValue retryFlag
                      FailFast = result.GetValue failFastFlag
                      TensorBoard = result.GetValue Flags.tensorBoard
                      Command = Some command } }

    /// The value for the script's scale.
    let pick (script: Script) smoke cpu paper =
        match script.Scale with
        | ScriptScale.Smoke -> smoke
        | ScriptScale.Cpu -> cpu
        | ScriptScale.Paper -> paper

    /// Images per class of the synthetic sets, for training and testing.
    let private madeSize scale classes =
        match scale, classes with
        | ScriptScale.Cpu, c when c <= 10 -> 50, 50
        | ScriptScale.Cpu, c when c <= 100 -> 10, 10
        | ScriptScale.Cpu, _ -> 2, 2
        | _, c when c <= 10 -> 20, 10
        | _, c when c <= 100 -> 2, 1
        | _ -> 1, 1

    /// The folder of the data: the one given, else a synthetic set in the official format, made once below --out.
    let dataFor (script: Script) (dataset: string) : string option =
        let info = Datasets.Get dataset
        match script.Data, script.Scale with
        | _ when info.Files.Count = 0 -> script.Data
        | Some folder, _ -> Some folder
        | None, ScriptScale.Paper -> raise (GMixInputException $"--scale paper needs the real {info.Title}: give its folder with --data, or fetch it with: gmix data get {dataset} --data DIR")
        | None, scale ->
            let folder = Path.Combine(script.Out, $"made-data-{scaleName scale}")
            if not (Directory.Exists(Path.Combine(folder, info.Folder))) then
                Directory.CreateDirectory folder |> ignore
                let train, test = madeSize scale info.ClassCount
                DataStore.Make(dataset, folder, MakeOptions(TrainPerClass = train, TestPerClass = test)) |> ignore
            Some folder

    let private modelAt scale (model: string) =
        match scale, model with
        | ScriptScale.Paper, _ -> model
        | ScriptScale.Smoke, _ -> if model.StartsWith "wrn" then "mlp-32" else "mlp-16"
        | ScriptScale.Cpu, "mobilenet" -> "mobilenet-0.25"
        | ScriptScale.Cpu, "resnet18" -> "wrn-16-1"
        | ScriptScale.Cpu, _ -> "wrn-10-1"

    /// Of each data set at the scale cpu: images to train on, images to test on, examples per step, epochs. Chosen by trial so that Vanilla ends with
    /// at least 99 % of its training images right, and all tables and figures together keep within the time of two cores.
    let private small dataset =
        match dataset with
        | "svhn" -> 400, 1000, 50, 100
        | "stl10" -> 500, 1000, 10, 40
        | "tiny-imagenet" -> 400, 400, 20, 50
        | "cifar100" -> 1000, 1000, 25, 30
        | _ -> 1000, 1000, 25, 20

    /// A data set and a model of the paper's protocol, or what stands for them at a smaller scale.
    let scaled (script: Script) (dataset: string) (model: string) : Scaled =
        let classes = (Datasets.Get dataset).ClassCount
        let basis = { Train.defaults with Preset = script.Preset }
        let limit, train, seeds =
            match script.Scale with
            | ScriptScale.Smoke -> (if script.Data.IsSome then max 200 classes else 0), { basis with Epochs = Some 2; Batch = 50 }, [ 0; 1 ]
            // half resolution from the first convolution on, and no augmentation, so that Vanilla can know its training images within the time
            | ScriptScale.Cpu ->
                let limit, testLimit, batch, epochs = small dataset
                limit,
                { basis with
                    Epochs = Some epochs
                    Batch = batch
                    Augment = Some "none"
                    CleanEvery = epochs
                    TestLimit = testLimit
                    Models = ModelOptions(StemStride = Nullable 2) },
                [ 0..2 ]
            | ScriptScale.Paper -> 0, basis, [ 0..2 ]
        { Dataset = dataset
          Data = dataFor script dataset
          Limit = limit
          Model = modelAt script.Scale model
          Train = train
          Seeds = script.Seeds |> Option.defaultValue seeds }

    let private line (text: string) = Console.Out.WriteLine text

    /// Trains what is not complete; Ctrl-C and SIGTERM stop with a checkpoint.
    let train (script: Script) (experiments: Experiment list) : GridResult =
        let token, handlers = Signals.stopping ()
        use _ = handlers
        Grid.run script.Grid experiments token

    let private saveTable (folder: string) (name: string) (table: Table) =
        let at extension = Path.Combine(folder, name + extension)
        RunStore.writeAtomically (at ".md") (TableWriters.markdown table)
        RunStore.writeAtomically (at ".csv") (TableWriters.csv table)
        RunStore.writeAtomically (at ".tex") (TableWriters.latex table)

    /// Trains and shows: tables on the console and as Markdown, CSV and LaTeX, figures as SVG, all of it in an HTML report. The exit code: 0, or 1
    /// when a run failed or training was stopped.
    let publish (script: Script) (publication: Publication) : int =
        line $"{publication.Title} (scale {scaleName script.Scale})"
        let result = train script publication.Experiments
        for run, reason in result.Failed do
            eprintfn "failed: %s %s #%d (%s): %s" run.Config.Dataset run.Config.Method.Title run.Config.Seed run.Folder reason
        if not result.Failed.IsEmpty then eprintfn "%d runs failed; train them once more with --retry" result.Failed.Length
        match result.Outcome with
        | Outcome.Stopped ->
            eprintfn "stopped; the same command continues"
            1
        | Outcome.Completed when result.Runs.IsEmpty -> 1
        | Outcome.Completed ->
            let comparisons = Summary.comparisons result.Runs
            let folder = Path.Combine(script.Out, $"{script.Name}-{scaleName script.Scale}")
            Directory.CreateDirectory folder |> ignore
            let tables, figures = publication.Tables comparisons, publication.Figures comparisons
            // the report has the order's test and the evidence by itself; a table that stands alone takes them along
            let order = Findings.ordering comparisons |> Option.map Findings.orderingText |> Option.defaultValue []
            let evidence = Findings.evidence result.Runs script.Grid.Command result.Wall
            tables
            |> List.iteri (fun i table ->
                let table = if i = 0 then { table with Legend = table.Legend @ order } else table
                line ""
                ConsoleTables.print table
                saveTable folder (if i = 0 then "table" else $"table-{i + 1}") { table with Legend = table.Legend @ evidence })
            for figure in figures do
                FigureSvg.save (Path.Combine(folder, figure.Id + ".svg")) figure
            TableWriters.saveSummary folder comparisons |> ignore
            // the report has a comparison's own tables and figures by itself
            let own = comparisons |> List.collect (fun c -> Charts.standard c) |> List.map (fun f -> f.Id)
            let report =
                Report.create publication.Title
                |> Report.withRuns result.Runs
                |> Report.withRemarks (publication.Remarks @ Compare.remarks result.Runs)
                |> Report.withTables (tables |> List.filter (fun t -> not (comparisons |> List.exists (fun c -> Tables.comparison c = t))))
                |> Report.withFigures (figures |> List.filter (fun f -> not (List.contains f.Id own)))
                |> Report.withWallTime result.Wall
            let report = match script.Grid.Command with Some c -> Report.withCommand c report | None -> report
            let written = report |> Report.save (Path.Combine(folder, "report.html"))
            line ""
            line $"report   {written}"
            line $"tables   {folder} (Markdown, CSV, LaTeX), {figures.Length} figures (SVG)"
            if result.Failed.IsEmpty then 0 else 1

    /// Runs a script's body and ends the process with its exit code: 0 fine, 1 a run failed, 2 bad input.
    let run (name: string) (args: string array) (body: Script -> int) : unit =
        let complain (message: string) =
            eprintfn "%s: %s" name (message.ReplaceLineEndings " ")
            2
        let code =
            try
                match parse name args with
                | Some script -> body script
                | None -> 0
            with
            | :? GMixInputException as e -> complain e.Message
            | :? TorchOutOfMemoryException as e -> complain $"out of memory: {e.Message}"
            | :? IOException
            | :? UnauthorizedAccessException as e -> complain e.Message
        if code <> 0 then exit code

    /// A script that is one publication.
    let publishes (name: string) (args: string array) (publication: Script -> Publication) : unit =
        run name args (fun script -> publish script (publication script))
