namespace GMix.Experiments

open System
open System.Diagnostics
open System.IO
open System.Text.Encodings.Web
open System.Text.Json
open GMix
open GMix.Methods
open GMix.Torch
open GMix.Training

/// What to measure of a run, and how large. None takes the full size where a measurement is asked for by name, a small one where all three run.
type InspectOptions =
    { Sensitivity: bool
      Landscape: bool
      Sharpness: bool
      Images: int option
      Draws: int option
      Grid: int option
      Range: float option
      Rho: float option
      AdaptiveRho: float option
      Sigma: float option
      Seed: int
      Data: string option
      Device: string option
      Threads: int option }

    static member defaults =
        { Sensitivity = false; Landscape = false; Sharpness = false; Images = None; Draws = None; Grid = None; Range = None; Rho = None
          AdaptiveRho = None; Sigma = None; Seed = 0; Data = None; Device = None; Threads = None }

/// `gmix inspect RUN`: measurements at the final weights of a run, as inspect.json and inspect.html in its folder.
[<RequireQualifiedAccess>]
module Inspect =
    let private input text = raise (GMixInputException text)

    let private shown = 12

    /// The run at `path`, or the only one below it.
    let private runAt (path: string) : Run =
        let run =
            match RunStore.folders path with
            | [ one ] -> RunStore.read one
            | [] -> input $"{path} is not a run: it has no config.json"
            | several -> input $"{path} holds {several.Length} runs; name one of them, such as {several.Head}"
        if not (File.Exists(RunStore.weightsPath run.Folder)) then
            input $"{run.Folder}: the run has no trained weights yet ({run.Epochs.Length} of {run.Config.Epochs} epochs are done); finish it with: gmix resume {run.Folder}"
        run

    /// One line on standard error that is written over; nothing where that goes to a file.
    let private teller () : (string -> Action<string>) * (unit -> unit) =
        if Console.IsErrorRedirected then (fun _ -> null), ignore
        else
            let mutable wide = 0
            let say (text: string) =
                eprintf "\r%s" (text.PadRight wide)
                wide <- text.Length
            (fun what -> Action<string>(fun detail -> say $"{what}: {detail}")), (fun () -> eprintf "\r%s\r" (String(' ', wide)))

    let private agreement (first: SensitivityEpoch) (second: SensitivityEpoch) =
        let other = dict [ for i in 0 .. second.Examples.Length - 1 -> second.Examples[i], i ]
        // an epoch that leaves its last batch out has other examples than the next
        let pairs = [| for i in 0 .. first.Examples.Length - 1 do
                           match other.TryGetValue first.Examples[i] with
                           | true, j -> i, j
                           | _ -> () |]
        let count predicate = pairs |> Array.filter predicate |> Array.length |> float
        let both = count (fun (i, j) -> first.Selected[i] && second.Selected[j])
        let one, two = count (fun (i, _) -> first.Selected[i]), count (fun (_, j) -> second.Selected[j])
        let n = float pairs.Length
        let chance = one * two / n
        let a, b = first.Values, second.Values
        let stability = Statistics.spearman (pairs |> Array.map (fun (i, _) -> a[i])) (pairs |> Array.map (fun (_, j) -> b[j]))
        both / one, both / (one + two - both), chance / one, chance / (one + two - chance), stability

    let private sensitivity (inspection: Inspection) (images: int) (tell: string -> Action<string>) : SensitivityFindings =
        use measure = inspection.Sensitivity images
        let epoch = max 0 (inspection.Config.Epochs - 2)
        let first = measure.Measure(epoch, tell "sensitivity")
        let second = measure.Measure(epoch + 1, tell "sensitivity")
        let mixes = second.First <> second.Second
        let values = second.Values
        let ranked =
            [| 0 .. values.Length - 1 |]
            // a mixture of one class with itself cannot intrude anywhere
            |> Array.filter (fun i -> not mixes || second.First[i] <> second.Second[i])
            |> Array.sortBy (fun i -> values[i])
        let train = inspection.Data.Train
        let examples (positions: int[]) =
            let pictures = measure.Pictures(second.Epoch, positions, inspection.Data.Normalization)
            [ for n in 0 .. positions.Length - 1 do
                  let i = positions[n]
                  { Example = second.Examples[i]
                    First = train.ClassNames[int second.First[i]]
                    Second = train.ClassNames[int second.Second[i]]
                    Lambda = second.Lambda[i]
                    Sensitivity = values[i]
                    Loss = second.LossAtW[i]
                    Pixels = pictures[n] } ]
        let overlap, jaccard, overlapByChance, jaccardByChance, stability = agreement first second
        let take = min shown (ranked.Length / 2)
        { Of = train.Count
          Mix = string inspection.Method.Mix
          Mixes = mixes
          Perturb = string measure.Perturb
          OwnPerturb = measure.OwnPerturb
          Gamma = measure.Selection.Gamma
          Score = string measure.Selection.Score
          First = first
          Second = second
          Overlap = overlap
          Jaccard = jaccard
          OverlapByChance = overlapByChance
          JaccardByChance = jaccardByChance
          Stability = stability
          Least = examples ranked[.. take - 1]
          Most = examples (Array.rev ranked[ranked.Length - take ..])
          Channels = train.Channels
          Height = train.Height
          Width = train.Width }

    /// Measures what the options ask for; all three, small, where they name none.
    let measure (run: Run) (options: InspectOptions) : InspectFindings =
        let clock = Stopwatch.StartNew()
        let named = options.Sensitivity || options.Landscape || options.Sharpness
        let size full small = if named then full else small
        let wants chosen = chosen || not named
        options.Images |> Option.iter (fun n -> if n < 1 then input $"--images {n}: must be at least 1")
        let sharpness =
            SharpnessOptions(
                Rho = (options.Rho |> Option.defaultValue 0.05),
                AdaptiveRho = (options.AdaptiveRho |> Option.defaultValue 0.5),
                Sigma = Option.toNullable options.Sigma,
                Draws = (options.Draws |> Option.defaultValue (size 50 10)),
                PowerIterations = size 30 10,
                TraceProbes = size 20 5,
                Seed = int64 options.Seed
            )
        sharpness.Check()
        let job = Runner.jobOf run
        let config = Inspection.Elsewhere(job.Config, Option.toObj options.Data, Option.toObj options.Device, Option.toNullable options.Threads)
        let data = Trainer.Open config
        if data.Train.Count <> run.File.Data.Train || data.Train.ClassCount <> run.File.Data.Classes then
            input $"the {config.Dataset} data found has {data.Train.Count} training images of {data.Train.ClassCount} classes, the run had {run.File.Data.Train} of {run.File.Data.Classes}; name the folder it was trained on with --data"
        use _ = new TensorScope()
        use inspection = new Inspection(config, job.Method, data, RunStore.weightsPath run.Folder)
        let tell, finish = teller ()
        let seed = int64 options.Seed
        let images full small = options.Images |> Option.defaultValue (size full small)
        try
            let landscape =
                if not (wants options.Landscape) then None
                else
                    use _ = new TensorScope()
                    Some(Landscape.Measure(inspection.Clean(images 512 128, seed), (options.Grid |> Option.defaultValue (size 15 7)), (options.Range |> Option.defaultValue 1.0), seed, tell "landscape"))
            let sharpness =
                if not (wants options.Sharpness) then None
                else
                    use _ = new TensorScope()
                    let n = images 2048 128
                    let clean = Sharpness.Measure(inspection.Clean(n, seed), sharpness, tell "sharpness, clean")
                    Some(clean, Sharpness.Measure(inspection.Vicinal(n, seed), sharpness, tell "sharpness, vicinal"))
            let sensitivity =
                if not (wants options.Sensitivity) then None
                else
                    use _ = new TensorScope()
                    Some(sensitivity inspection (images 0 512) tell)
            { Run = run
              Sensitivity = sensitivity
              Landscape = landscape
              Sharpness = sharpness
              VicinalMix = string inspection.VicinalMix
              Seed = options.Seed
              Precision = Resolve.precisionName inspection.Network.Precision
              Device = config.Device
              Seconds = clock.Elapsed.TotalSeconds }
        finally
            finish ()

    let private writeBytes (path: string) (bytes: byte[]) =
        let temporary = $"{path}.{Environment.ProcessId}.tmp"
        File.WriteAllBytes(temporary, bytes)
        File.Move(temporary, path, true)

    let private text (findings: InspectFindings) =
        (InspectPage.json findings).ToJsonString(JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping))

    /// Writes inspect.json, inspect.html and, where sensitivity was measured, sensitivity.png (first row: least sensitive, second row: most) into the
    /// run's folder, in place of earlier ones.
    let save (findings: InspectFindings) (command: string option) : unit =
        let path name = Path.Combine(findings.Run.Folder, name)
        RunStore.writeAtomically (path "inspect.json") (text findings + "\n")
        match findings.Sensitivity with
        | Some s when not s.Least.IsEmpty ->
            let examples = s.Least @ s.Most
            let sheet = ImageSheet.Png(examples |> List.map (fun e -> e.Pixels) |> Array.ofList, s.Channels, s.Height, s.Width, examples |> List.map (fun e -> e.Lambda) |> Array.ofList, s.Least.Length)
            writeBytes (path "sensitivity.png") sheet
        | _ -> ()
        InspectPage.page command findings |> Report.save (path "inspect.html") |> ignore

    /// The verb: measures, writes, prints tables or the JSON.
    let run (path: string) (options: InspectOptions) (json: bool) (command: string option) : unit =
        let run = runAt path
        let findings = measure run options
        save findings command
        if json then Console.Out.WriteLine(text findings)
        else
            for remark in InspectPage.remarks findings do
                printfn "%s" remark
            for table in InspectPage.tables findings do
                ConsoleTables.print { table with Legend = [] }
            findings.Landscape
            |> Option.iter (fun l ->
                let all = l.Loss |> Seq.concat |> Seq.filter Double.IsFinite
                let middle = l.Steps.Count / 2
                printfn "Loss on the plane: %.4g at the solution, %.4g at least, %.4g at most within %.4g" (l.Loss[middle].[middle]) (Seq.min all) (Seq.max all) (Seq.last l.Steps))
            printfn "report   %s" (Path.Combine(run.Folder, "inspect.html"))
