namespace GMix.Experiments

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open GMix
open GMix.Torch

/// GMix beside PyTorch, in turn within one call (A B C A B C …), so that a change of the machine's speed meets all of them. Ratios are what counts:
/// absolute times mean little on a shared machine.
[<RequireQualifiedAccess>]
module BenchPeer =
    /// What one round measured: images/s by method, and the most memory held, in MiB.
    type private Measured = { Speeds: Map<string, float>; Memory: float }

    let private line (text: string) = Console.Out.WriteLine text

    let private run (program: string) (arguments: string list) (environment: (string * string) list) : (int * string * string) option =
        try
            let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false)
            for name, value in environment do
                start.Environment[name] <- value
            use child = Process.Start start
            let error = child.StandardError.ReadToEndAsync()
            let output = child.StandardOutput.ReadToEnd()
            child.WaitForExit()
            Some(child.ExitCode, output, error.Result)
        with :? ComponentModel.Win32Exception -> None

    /// A Python that imports torch: GMIX_PEER_PYTHON, else python3 on the path, else the system's own.
    let private python () =
        let named = Environment.GetEnvironmentVariable "GMIX_PEER_PYTHON"
        [ if not (String.IsNullOrEmpty named) then named
          "python3"
          "/usr/bin/python3" ]
        |> List.tryPick (fun program ->
            match run program [ "-c"; "import torch; print(torch.__version__)" ] [] with
            | Some(0, version, _) -> Some(program, version.Trim())
            | _ -> None)

    /// The allocator that an expert preloads for the tuned peer, where it is installed (Debian: libgoogle-perftools4).
    let private fasterMalloc () =
        [ "/usr/lib"; "/usr/lib64"; "/usr/local/lib" ]
        |> List.filter Directory.Exists
        |> List.collect (fun root -> root :: List.ofArray (Directory.GetDirectories(root, "*-linux-gnu")))
        |> List.collect (fun folder -> [ "libtcmalloc.so.4"; "libtcmalloc_minimal.so.4" ] |> List.map (fun file -> Path.Combine(folder, file)))
        |> List.tryFind File.Exists

    let private peerScript () =
        let rec above (folder: DirectoryInfo) =
            if isNull folder then raise (GMixInputException "bench/peer.py is not above the command's folder; run the command from a checkout of the project")
            let path = Path.Combine(folder.FullName, "bench", "peer.py")
            if File.Exists path then path else above folder.Parent
        above (DirectoryInfo AppContext.BaseDirectory)

    let private measured (what: string) (result: (int * string * string) option) : Measured =
        match result with
        | Some(0, output, _) ->
            use json = JsonDocument.Parse(output.Trim().Split('\n') |> Array.last)
            let memory = match json.RootElement.TryGetProperty "peak_mib" with | true, value -> value.GetDouble() | _ -> nan
            { Speeds = Map [ for p in json.RootElement.GetProperty("img_per_s").EnumerateObject() -> p.Name, p.Value.GetDouble() ]; Memory = memory }
        | Some(code, _, error) ->
            let last = error.Trim().Split('\n') |> Array.last
            raise (InvalidOperationException $"{what} ended with code {code}: {last}")
        | None -> raise (InvalidOperationException $"{what} does not start")

    let internal median (values: float list) =
        let sorted = List.sort values
        sorted[sorted.Length / 2]

    let private number (value: float) = value.ToString("F1", CultureInfo.InvariantCulture)

    let private header = "date,commit,cpu,threads,libtorch,peer,model,batch,method,gmix,gmix_min,stock,stock_min,tuned,tuned_min,ratio_stock,ratio_tuned,over_vanilla,stock_over_vanilla,tuned_over_vanilla,gmix_mib,stock_mib,tuned_mib"

    /// Runs GMix and, where a Python has torch, the peer as it comes and as an expert tunes it; prints medians, minima and ratios; appends to `csv`.
    let all (setup: Setup) (models: string list) (methods: string list) (rounds: int) (steps: int) (csv: string) =
        if rounds < 1 then raise (GMixInputException $"--rounds {rounds}: must be at least 1")
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let threads = setup.Train.Threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)
        let peer = python ()
        let script = peerScript ()
        let malloc = fasterMalloc ()
        match peer with
        | Some(program, version) ->
            line $"peer     PyTorch {version} ({program}), as it comes (NCHW, float32) and tuned (channels-last, bf16 autocast)"
            match malloc with
            | Some path -> line $"         the tuned one with {path}"
            | None -> line "         the tuned one with the system's malloc: tcmalloc is not installed (Debian: apt-get install libgoogle-perftools4)"
        | None -> line "peer     none: no python3 here imports torch (Debian: apt-get install python3-torch); GMix alone is measured"
        let environment = Machine.environment None
        line $"machine  {environment.Cpu}, {threads} threads, libtorch {environment.Libtorch}, commit {environment.Commit}"
        for model in models do
            let batch = if model.StartsWith("mlp", StringComparison.Ordinal) then 32 else setup.Train.Batch
            // a perceptron's step takes a fraction of a millisecond: a few of them would measure the clock
            let counted = if model.StartsWith("mlp", StringComparison.Ordinal) then 100 * steps else steps
            let common = [ "--model"; model; "--methods"; String.Join(',', methods); "--batch"; string batch; "--steps"; string counted; "--threads"; string threads ]
            let results =
                [ for _ in 1..rounds ->
                      let ours = run Environment.ProcessPath ([ "bench"; "train"; "--json"; "--gamma"; "0.5" ] @ common) [] |> measured "gmix bench train"
                      let theirs flags environment = peer |> Option.map (fun (program, _) -> run program (script :: flags @ common) environment |> measured "bench/peer.py")
                      ours, theirs [] [], theirs [ "--tuned" ] [ for path in Option.toList malloc -> "LD_PRELOAD", path ] ]
            let oursAll, stockAll, tunedAll = results |> List.map (fun (o, _, _) -> o), results |> List.choose (fun (_, s, _) -> s), results |> List.choose (fun (_, _, t) -> t)
            let memory (all: Measured list) = if all.IsEmpty then None else Some(all |> List.map _.Memory |> median)
            line ""
            line $"{model}, batch {batch}, 32x32: images/s, median of {rounds} rounds (least)"
            for method in methods do
                let of' (all: Measured list) = all |> List.map (fun m -> Map.find method m.Speeds)
                let ours, stock, tuned = of' oursAll, of' stockAll, of' tunedAll
                // time over Vanilla's within each round and program, then the median
                let overVanilla (all: Measured list) =
                    if all.IsEmpty || not (List.contains "vanilla" methods) then None else Some(all |> List.map (fun m -> m.Speeds["vanilla"] / m.Speeds[method]) |> median)
                let times r = match r with Some(x: float) -> $"{x:F2}" | None -> "–"
                let show (values: float list) = if values.IsEmpty then "–" else $"{number (median values)} ({number (List.min values)})"
                // a ratio within each round, then the median: what slowed one slowed the other
                let ratio (theirs: float list) = if theirs.IsEmpty then None else Some(median (List.map2 (/) ours theirs))
                let ratioText r = match r with Some(x: float) -> $"{x:F2} x" | None -> "–"
                line $"  {method, -9} GMix {show ours, -18} stock {show stock, -18} {ratioText (ratio stock), 7}   tuned {show tuned, -18} {ratioText (ratio tuned), 7}   time over Vanilla {times (overVanilla oursAll), 4} stock {times (overVanilla stockAll), 4} tuned {times (overVanilla tunedAll), 4}"
                let cell values pick = if List.isEmpty values then "" else number (pick values)
                // a file of an earlier version has other columns: it is kept beside
                if File.Exists csv && (File.ReadLines csv |> Seq.tryHead) <> Some header then File.Move(csv, csv + ".old", true)
                let fresh = not (File.Exists csv)
                Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath csv)) |> ignore
                use file = new StreamWriter(csv, append = true)
                if fresh then file.WriteLine header
                let ratioCell r = match r with Some(x: float) -> x.ToString("F3", CultureInfo.InvariantCulture) | None -> ""
                let peerVersion = match peer with Some(_, v) -> v | None -> ""
                String.Join(
                    ',',
                    [ DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"; environment.Commit; environment.Cpu.Replace(',', ' '); string threads; environment.Libtorch; peerVersion; model; string batch; method
                      cell ours median; cell ours List.min; cell stock median; cell stock List.min; cell tuned median; cell tuned List.min; ratioCell (ratio stock); ratioCell (ratio tuned)
                      ratioCell (overVanilla oursAll); ratioCell (overVanilla stockAll); ratioCell (overVanilla tunedAll)
                      ratioCell (memory oursAll); ratioCell (memory stockAll); ratioCell (memory tunedAll) ]
                )
                |> file.WriteLine
            let memoryText (all: Measured list) = match memory all with Some m -> $"{m:F0} MiB" | None -> "–"
            let over (all: Measured list) = match memory oursAll, memory all with Some ours, Some theirs -> $" ({ours / theirs:F2} x)" | _ -> ""
            line $"  peak memory: GMix {memoryText oursAll}, stock {memoryText stockAll}{over stockAll}, tuned {memoryText tunedAll}{over tunedAll}"
        line ""
        line $"appended to {csv}"
