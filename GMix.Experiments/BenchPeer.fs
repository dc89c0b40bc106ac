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
    /// What one round measured: images/s by method.
    type private Speeds = Map<string, float>

    let private line (text: string) = Console.Out.WriteLine text

    let private run (program: string) (arguments: string list) : (int * string * string) option =
        try
            let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false)
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
            match run program [ "-c"; "import torch; print(torch.__version__)" ] with
            | Some(0, version, _) -> Some(program, version.Trim())
            | _ -> None)

    let private peerScript () =
        let rec above (folder: DirectoryInfo) =
            if isNull folder then raise (GMixInputException "bench/peer.py is not above the command's folder; run the command from a checkout of the project")
            let path = Path.Combine(folder.FullName, "bench", "peer.py")
            if File.Exists path then path else above folder.Parent
        above (DirectoryInfo AppContext.BaseDirectory)

    let private speeds (what: string) (result: (int * string * string) option) : Speeds =
        match result with
        | Some(0, output, _) ->
            use json = JsonDocument.Parse(output.Trim().Split('\n') |> Array.last)
            Map [ for p in json.RootElement.GetProperty("img_per_s").EnumerateObject() -> p.Name, p.Value.GetDouble() ]
        | Some(code, _, error) ->
            let last = error.Trim().Split('\n') |> Array.last
            raise (InvalidOperationException $"{what} ended with code {code}: {last}")
        | None -> raise (InvalidOperationException $"{what} does not start")

    let private median (values: float list) =
        let sorted = List.sort values
        sorted[sorted.Length / 2]

    let private number (value: float) = value.ToString("F1", CultureInfo.InvariantCulture)

    let private header = "date,commit,cpu,threads,libtorch,peer,model,batch,method,gmix,gmix_min,stock,stock_min,tuned,tuned_min,ratio_stock,ratio_tuned"

    /// Runs GMix and, where a Python has torch, the peer as it comes and as an expert tunes it; prints medians, minima and ratios; appends to `csv`.
    let all (setup: Setup) (models: string list) (methods: string list) (rounds: int) (steps: int) (csv: string) =
        if rounds < 1 then raise (GMixInputException $"--rounds {rounds}: must be at least 1")
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let threads = setup.Train.Threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)
        let peer = python ()
        let script = peerScript ()
        match peer with
        | Some(program, version) -> line $"peer     PyTorch {version} ({program}), as it comes (NCHW, float32) and tuned (channels-last, bf16 autocast)"
        | None -> line "peer     none: no python3 here imports torch (Debian: apt-get install python3-torch); GMix alone is measured"
        let environment = Machine.environment None
        line $"machine  {environment.Cpu}, {threads} threads, libtorch {environment.Libtorch}, commit {environment.Commit}"
        for model in models do
            let batch = if model.StartsWith("mlp", StringComparison.Ordinal) then 32 else setup.Train.Batch
            let common = [ "--model"; model; "--methods"; String.Join(',', methods); "--batch"; string batch; "--steps"; string steps; "--threads"; string threads ]
            let results =
                [ for _ in 1..rounds ->
                      let ours = run Environment.ProcessPath ([ "bench"; "train"; "--json"; "--gamma"; "0.5" ] @ common) |> speeds "gmix bench train"
                      let theirs flags = peer |> Option.map (fun (program, _) -> run program (script :: flags @ common) |> speeds "bench/peer.py")
                      ours, theirs [], theirs [ "--tuned" ] ]
            line ""
            line $"{model}, batch {batch}, 32x32: images/s, median of {rounds} rounds (least)"
            for method in methods do
                let of' (speeds: Speeds list) = speeds |> List.map (Map.find method)
                let ours = results |> List.map (fun (o, _, _) -> o) |> of'
                let stock = results |> List.choose (fun (_, s, _) -> s) |> of'
                let tuned = results |> List.choose (fun (_, _, t) -> t) |> of'
                let show (values: float list) = if values.IsEmpty then "–" else $"{number (median values)} ({number (List.min values)})"
                // a ratio within each round, then the median: what slowed one slowed the other
                let ratio (theirs: float list) = if theirs.IsEmpty then None else Some(median (List.map2 (/) ours theirs))
                let ratioText r = match r with Some(x: float) -> $"{x:F2} x" | None -> "–"
                line $"  {method, -9} GMix {show ours, -18} stock {show stock, -18} {ratioText (ratio stock), 7}   tuned {show tuned, -18} {ratioText (ratio tuned), 7}"
                let cell values pick = if List.isEmpty values then "" else number (pick values)
                let fresh = not (File.Exists csv)
                Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath csv)) |> ignore
                use file = new StreamWriter(csv, append = true)
                if fresh then file.WriteLine header
                let ratioCell r = match r with Some(x: float) -> x.ToString("F3", CultureInfo.InvariantCulture) | None -> ""
                let peerVersion = match peer with Some(_, v) -> v | None -> ""
                String.Join(
                    ',',
                    [ DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"; environment.Commit; environment.Cpu.Replace(',', ' '); string threads; environment.Libtorch; peerVersion; model; string batch; method
                      cell ours median; cell ours List.min; cell stock median; cell stock List.min; cell tuned median; cell tuned List.min; ratioCell (ratio stock); ratioCell (ratio tuned) ]
                )
                |> file.WriteLine
        line ""
        line $"appended to {csv}"
