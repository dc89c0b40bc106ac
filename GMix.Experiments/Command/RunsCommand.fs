namespace GMix.Experiments

open System
open System.IO
open GMix

/// `gmix runs`: what lies below a folder, which of it, and away with it.
[<RequireQualifiedAccess>]
module RunsCommand =
    let private stateText (run: Run) =
        match run.State with
        | RunState.Complete -> "complete"
        | RunState.Partial epochs -> $"partial {epochs}/{run.Config.Epochs}"
        | RunState.Failed reason -> $"failed: {reason}"

    /// Whether a run fits a filter: a word that its id begins with, or that is its experiment, data set, model, method or state.
    let fits (words: string list) (run: Run) =
        let c = run.Config
        let own = [ run.File.Name; c.Dataset; c.Model; c.Method.Name; (stateText run).Split(' ', ':').[0]; $"seed={c.Seed}" ]
        words |> List.forall (fun w -> own |> List.contains w || run.Id.StartsWith(w, StringComparison.Ordinal))

    let table (runs: Run list) : Table =
        { Title = "Runs"
          Scale = (if runs.Length = 1 then "1 run" else $"{runs.Length} runs")
          Columns = [ "Run"; "Experiment"; "Data"; "Model"; "Method"; "Seed"; "State"; "Best Acc" ]
          Rows =
            [ for run in runs do
                  let c = run.Config
                  [ Cell.text run.Id
                    Cell.text run.File.Name
                    Cell.text c.Dataset
                    Cell.text c.Model
                    Cell.text c.Method.Title
                    Cell.text (string c.Seed)
                    Cell.text (stateText run)
                    (match Summary.ofRun run with Some s -> Cell.text (Format.number 2 s.BestAcc.Value) | None -> Cell.missing) ] ]
          Legend = [] }

    /// One JSON object a line.
    let json (runs: Run list) : string =
        runs
        |> List.map (fun run ->
            Text.Json.JsonSerializer.Serialize
                {| id = run.Id
                   folder = run.Folder
                   experiment = run.File.Name
                   dataset = run.Config.Dataset
                   model = run.Config.Model
                   method = run.Config.Method.Name
                   seed = run.Config.Seed
                   state = (stateText run).Split(' ', ':').[0]
                   epochs = run.Epochs.Length
                   of_epochs = run.Config.Epochs
                   best_acc = Summary.ofRun run |> Option.map (fun s -> s.BestAcc.Value) |> Option.toNullable |})
        |> fun lines -> String.Join('\n', lines)

    /// Removes runs; one that is being trained is refused before any is touched.
    let remove (runs: Run list) =
        for run in runs do
            Runner.refuseLocked run.Folder
        for run in runs do
            Directory.Delete(run.Folder, true)
