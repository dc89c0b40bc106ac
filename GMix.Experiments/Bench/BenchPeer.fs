namespace GMix.Experiments

open System
open System.Globalization
open System.IO
open System.Text.Json
open GMix
open GMix.Nn
open GMix.Torch

/// GMix beside PyTorch, in turn within one call (A B C A B C …), so that a change of the machine's speed meets all of them. Ratios are what counts:
/// absolute times mean little on a shared machine.
[<RequireQualifiedAccess>]
module BenchPeer =
    /// What one round of one program measured: images/s by method; the most memory held, in MiB, on a GPU the device's; and, of the peer, the
    /// multiply-adds of an image's forward pass and the rate of bf16 matrix products in TFLOP/s, where it was asked for.
    type private Measured = { Speeds: Map<string, float>; Memory: float; Multiplications: float option; Peak: float option }

    let private line (text: string) = Console.Out.WriteLine text

    /// A Python that imports torch: GMIX_PEER_PYTHON, else python3 on the path, else the system's own.
    let private python () =
        let named = Environment.GetEnvironmentVariable "GMIX_PEER_PYTHON"
        [ if not (String.IsNullOrEmpty named) then named
          "python3"
          "/usr/bin/python3" ]
        |> List.tryPick (fun program ->
            match ChildProcess.run program [ "-c"; "import torch; print(torch.__version__)" ] [] with
            | Some ended when ended.Code = 0 -> Some(program, ended.LastLine)
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
            if isNull folder then raise (GMixInputException "peer.py is neither beside the command nor in a folder bench above it; run the command from a checkout of the project or a published folder")
            // a published command has it at its side
            match [ Path.Combine(folder.FullName, "peer.py"); Path.Combine(folder.FullName, "bench", "peer.py") ] |> List.tryFind File.Exists with
            | Some path -> path
            | None -> above folder.Parent
        above (DirectoryInfo AppContext.BaseDirectory)

    let private measured (what: string) (result: ChildProcess.Ended option) : Measured =
        match result with
        | None -> raise (InvalidOperationException $"{what} does not start")
        | Some ended ->
            use json = JsonDocument.Parse((ended.OrFail what).LastLine)
            let found (name: string) = match json.RootElement.TryGetProperty name with | true, value -> Some(value.GetDouble()) | _ -> None
            { Speeds = Map [ for p in json.RootElement.GetProperty("img_per_s").EnumerateObject() -> p.Name, p.Value.GetDouble() ]
              Memory = found "device_mib" |> Option.orElse (found "peak_mib") |> Option.defaultValue nan
              Multiplications = found "multiplications"
              Peak = found "peak_tflops" }

    let internal median (values: float list) =
        let sorted = List.sort values
        (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2.0

    let private number (value: float) = value.ToString("F1", CultureInfo.InvariantCulture)

    let private header =
        "date,commit,cpu,threads,libtorch,peer,model,batch,method,gmix,gmix_min,stock,stock_min,tuned,tuned_min,ratio_stock,ratio_tuned,over_vanilla,stock_over_vanilla,tuned_over_vanilla,gmix_mib,stock_mib,tuned_mib,"
        + "device,compiled,compiled_min,ratio_compiled,compiled_mib,peak_tflops,over_peak,precision,tuned_precision"

    /// A file with fewer columns gets the new ones, empty in its lines; a file whose columns are others is kept beside.
    let internal bringUpToDate (header: string) (csv: string) =
        if File.Exists csv then
            match File.ReadAllLines csv |> List.ofArray with
            | first :: lines when first <> header && header.StartsWith(first + ",", StringComparison.Ordinal) ->
                let missing = String(',', header.Split(',').Length - first.Split(',').Length)
                File.WriteAllLines(csv, header :: [ for text in lines -> text + missing ])
            | first :: _ when first <> header -> File.Move(csv, csv + ".old", true)
            | _ -> ()

    /// How long one epoch of `images` takes over what its multiplications need at `peak` TFLOP/s: backward twice the forward pass, two operations each.
    let internal overPeak (images: float) (speed: float) (multiplications: float) (peak: float) =
        let seconds, needed = images / speed, images * 3.0 * 2.0 * multiplications / (peak * 1e12)
        seconds, needed, seconds / needed

    /// Runs GMix and, where a Python has torch, the peer as it comes, as an expert tunes it and, on a GPU or with `compile`, compiled; prints medians,
    /// minima and ratios; appends to `csv`.
    let all (setup: Setup) (models: string list) (methods: string list) (rounds: int) (steps: int) (compile: bool) (csv: string) =
        if rounds < 1 then raise (GMixInputException $"--rounds {rounds}: must be at least 1")
        if steps < 1 then raise (GMixInputException $"--steps {steps}: must be at least 1")
        let device = Device.Parse setup.Train.Device
        let onGpu = device.IsCuda
        if onGpu && device.Index <> 0 then raise (GMixInputException $"--device {setup.Train.Device}: the peer takes the first GPU only; choose another by CUDA_VISIBLE_DEVICES")
        let threads = setup.Train.Threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)
        let peer = python ()
        let script = peerScript ()
        let malloc = fasterMalloc ()
        // an expert turns bf16 on where it pays; asked for float32, the comparison is of float32 on both sides
        let tunedPrecision =
            match setup.Train.Precision with
            | Some Precision.Float64 -> raise (GMixInputException "--precision float64: the peer trains in float32 and bf16 only")
            | Some given -> given
            | None -> if onGpu || TorchRuntime.CpuHasBFloat16 then Precision.BFloat16 else Precision.Float32
        let tunedName = Resolve.precisionName tunedPrecision
        let tuning = if tunedPrecision = Precision.BFloat16 then "channels-last, bf16 autocast" else "channels-last, float32"
        // what is compiled: the two methods whose steps are the same work every time
        let compilable = if compile || onGpu then methods |> List.filter (fun m -> m = "vanilla" || m = "sam") else []
        match peer with
        | Some(program, version) ->
            line $"peer     PyTorch {version} ({program}), as it comes (NCHW, float32) and tuned ({tuning})"
            match malloc with
            | Some path -> line $"         the tuned one with {path}"
            | None -> line "         the tuned one with the system's malloc: tcmalloc is not installed (Debian: apt-get install libgoogle-perftools4)"
            if not compilable.IsEmpty then line $"""         the tuned one also by torch.compile(mode="reduce-overhead"): {String.Join(", ", compilable)}"""
        | None -> line "peer     none: no python3 here imports torch (Debian: apt-get install python3-torch); GMix alone is measured"
        let environment = Machine.environment None
        let deviceName = if onGpu then Cuda.Name device else "cpu"
        line $"machine  {environment.Cpu}, {threads} threads, {deviceName}, libtorch {environment.Libtorch}, commit {environment.Commit}"
        if onGpu then line "GPU      float32 with TF32 for convolutions only, on both sides; GMix with deterministic algorithms and CUDA graphs"
        for model in models do
            let batch = if model.StartsWith("mlp", StringComparison.Ordinal) then 32 else setup.Train.Batch
            // a perceptron's step takes a fraction of a millisecond: a few of them would measure the clock
            let counted = if model.StartsWith("mlp", StringComparison.Ordinal) && not onGpu then 100 * steps else steps
            let common (methods: string list) =
                [ "--model"; model; "--methods"; String.Join(',', methods); "--batch"; string batch; "--steps"; string counted; "--threads"; string threads; "--device"; device.Kind ]
            let precision = Resolve.precisionName (Runner.job { setup with Model = model } methods.Head 0).Config.Precision
            let tunedFlags = [ "--tuned"; "--precision"; tunedName ]
            let mutable whyNotCompiled = None
            let results =
                [ for round in 1..rounds ->
                      let ours = ChildProcess.run Environment.ProcessPath ([ "bench"; "train"; "--json"; "--gamma"; "0.5"; "--precision"; precision ] @ common methods) [] |> measured "gmix bench train"
                      let theirs flags methods environment = peer |> Option.map (fun (program, _) -> ChildProcess.run program (script :: flags @ common methods) environment |> measured "bench/peer.py")
                      let faster = [ for path in Option.toList malloc -> "LD_PRELOAD", path ]
                      let stock = theirs [] methods []
                      let tuned = theirs (tunedFlags @ (if onGpu && round = 1 then [ "--peak" ] else [])) methods faster
                      let compiled =
                          // a machine that cannot compile is no reason to measure nothing
                          if compilable.IsEmpty || whyNotCompiled.IsSome then None
                          else
                              try theirs (tunedFlags @ [ "--compile" ]) compilable faster
                              with :? InvalidOperationException as e ->
                                  whyNotCompiled <- Some e.Message
                                  None
                      ours, stock, tuned, compiled ]
            let oursAll = results |> List.map (fun (o, _, _, _) -> o)
            let stockAll, tunedAll, compiledAll = results |> List.choose (fun (_, s, _, _) -> s), results |> List.choose (fun (_, _, t, _) -> t), results |> List.choose (fun (_, _, _, c) -> c)
            // a round without a compiled program has no ratio to it
            let oursBesideCompiled = results |> List.choose (fun (o, _, _, c) -> Option.map (fun _ -> o) c)
            let peak = tunedAll |> List.tryPick _.Peak
            let memory (all: Measured list) = if all.IsEmpty then None else Some(all |> List.map _.Memory |> median)
            line ""
            line $"{model}, batch {batch}, 32x32, {precision}: images/s, median of {rounds} rounds (least)"
            whyNotCompiled |> Option.iter (fun why -> line $"  torch.compile was not measured: {why}")
            for method in methods do
                let of' (all: Measured list) = all |> List.choose (fun m -> Map.tryFind method m.Speeds)
                let ours, stock, tuned, compiled = of' oursAll, of' stockAll, of' tunedAll, of' compiledAll
                // time over Vanilla's within each round and program, then the median
                let overVanilla (all: Measured list) =
                    if all.IsEmpty || not (List.contains "vanilla" methods) then None else Some(all |> List.map (fun m -> m.Speeds["vanilla"] / m.Speeds[method]) |> median)
                let times r = match r with Some(x: float) -> $"{x:F2}" | None -> "–"
                let show (values: float list) = if values.IsEmpty then "–" else $"{number (median values)} ({number (List.min values)})"
                // a ratio within each round, then the median: what slowed one slowed the other
                let ratio (ours: float list) (theirs: float list) = if theirs.IsEmpty then None else Some(median (List.map2 (/) ours theirs))
                let ratioText r = match r with Some(x: float) -> $"{x:F2} x" | None -> "–"
                let ratioStock, ratioTuned = ratio ours stock, ratio ours tuned
                let ratioCompiled = if compiled.IsEmpty then None else ratio (of' oursBesideCompiled) compiled
                let beside = if compilable.IsEmpty then "" else $"   compiled {show compiled, -18} {ratioText ratioCompiled, 7}"
                line $"  {method, -9} GMix {show ours, -18} stock {show stock, -18} {ratioText ratioStock, 7}   tuned {show tuned, -18} {ratioText ratioTuned, 7}{beside}   time over Vanilla {times (overVanilla oursAll), 4} stock {times (overVanilla stockAll), 4} tuned {times (overVanilla tunedAll), 4}"
                let multiplications = tunedAll |> List.tryPick _.Multiplications
                // only Vanilla's step is one forward and one backward pass
                let toPeak = match peak, multiplications with Some p, Some m when method = "vanilla" -> Some(overPeak 50_000.0 (median ours) m p) | _ -> None
                toPeak |> Option.iter (fun (seconds, needed, times) ->
                    line $"            an epoch of 50,000 images takes {seconds:F2} s, {times:F2} times the {needed:F2} s that its multiplications need at the {peak.Value:F0} TFLOP/s of bf16 matrix products here")
                let cell values pick = if List.isEmpty values then "" else number (pick values)
                bringUpToDate header csv
                let fresh = not (File.Exists csv)
                Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath csv)) |> ignore
                use file = new StreamWriter(csv, append = true)
                if fresh then file.WriteLine header
                let ratioCell r = match r with Some(x: float) -> x.ToString("F3", CultureInfo.InvariantCulture) | None -> ""
                let peerVersion = match peer with Some(_, v) -> v | None -> ""
                String.Join(
                    ',',
                    [ DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"; environment.Commit; environment.Cpu.Replace(',', ' '); string threads; environment.Libtorch; peerVersion; model; string batch; method
                      cell ours median; cell ours List.min; cell stock median; cell stock List.min; cell tuned median; cell tuned List.min; ratioCell ratioStock; ratioCell ratioTuned
                      ratioCell (overVanilla oursAll); ratioCell (overVanilla stockAll); ratioCell (overVanilla tunedAll)
                      ratioCell (memory oursAll); ratioCell (memory stockAll); ratioCell (memory tunedAll)
                      deviceName.Replace(',', ' '); cell compiled median; cell compiled List.min; ratioCell ratioCompiled; ratioCell (memory compiledAll)
                      ratioCell peak; ratioCell (toPeak |> Option.map (fun (_, _, times) -> times)); precision; tunedName ]
                )
                |> file.WriteLine
            let memoryText (all: Measured list) = match memory all with Some m -> $"{m:F0} MiB" | None -> "–"
            let over (all: Measured list) = match memory oursAll, memory all with Some ours, Some theirs -> $" ({ours / theirs:F2} x)" | _ -> ""
            let beside = if compiledAll.IsEmpty then "" else $", compiled {memoryText compiledAll}{over compiledAll}"
            line $"  peak memory: GMix {memoryText oursAll}, stock {memoryText stockAll}{over stockAll}, tuned {memoryText tunedAll}{over tunedAll}{beside}"
        line ""
        line $"appended to {csv}"
