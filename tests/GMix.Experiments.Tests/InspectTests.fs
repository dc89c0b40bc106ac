/// `gmix inspect`: the command on real runs of one epoch, and the drawings by themselves.
module GMix.Experiments.Tests.InspectTests

open System
open System.IO
open System.Text.Json
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open Xunit

let private gmixPath =
    Path.Combine(projectRoot, "GMix.Experiments", "bin", "Release", "net10.0", "gmix")

let private gmix (arguments: string list) (folder: string) =
    let info = Diagnostics.ProcessStartInfo(gmixPath, arguments, WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true)
    use child = Diagnostics.Process.Start info
    let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
    child.WaitForExit()
    child.ExitCode, output.Result, error.Result

/// Trains one epoch and returns the run's folder.
let private trained model method folder =
    let code, _, error =
        gmix [ "train"; "--method"; method; "--model"; model; "--limit"; "60"; "--batch"; "20"; "--epochs"; "1"; "--threads"; "1"; "--precision"; "float32"; "--name"; "r" ] folder
    Assert.True((code = 0), error)
    RunStore.folders (Path.Combine(folder, "runs")) |> List.exactlyOne

/// One run for all tests that need nothing special of it.
let private shared = lazy (trained "mlp" "gmix" (freshFolder "inspect-shared"))

let private number (element: JsonElement) (path: string) =
    (element, path.Split '.') ||> Array.fold (fun e name -> e.GetProperty name) |> _.GetDouble()

let private checkSharpness (part: JsonElement) =
    Assert.True(number part "ascent" >= number part "oneStep")
    Assert.True(number part "adaptiveAscent" >= number part "adaptiveOneStep")
    Assert.True(number part "gradientNorm" > 0.0)
    Assert.Equal(20, part.GetProperty("ascentPath").GetArrayLength())
    for name in [ "average"; "averageError"; "topEigenvalue"; "topEigenvalueResidual"; "trace"; "traceError"; "group" ] do
        Assert.True(Double.IsFinite(number part name), name)

[<Theory>]
[<InlineData("mlp", "dgmix", true)>]
[<InlineData("wrn-10-1", "vanilla", false)>]
let ``without a flag all three are measured, written and printed`` (model: string) (method: string) (mixes: bool) =
    let folder = freshFolder $"inspect-{method}"
    let run = trained model method folder
    let weights = File.ReadAllBytes(RunStore.weightsPath run)
    let images = if mixes then [] else [ "--images"; "24"; "--draws"; "2"; "--grid"; "3" ]
    // an experiment's folder with a single run names it too
    let code, output, error = gmix ([ "inspect"; "runs/r"; "--json" ] @ images) folder
    Assert.True((code = 0), error)
    Assert.Equal<byte[]>(weights, File.ReadAllBytes(RunStore.weightsPath run))
    let written = File.ReadAllText(Path.Combine(run, "inspect.json"))
    Assert.Equal(written.Trim(), output.Trim())
    use json = JsonDocument.Parse written
    let root = json.RootElement
    Assert.Equal("gmix-inspect-1", root.GetProperty("format").GetString())
    Assert.Equal(method, root.GetProperty("run").GetProperty("method").GetString())

    let sharpness = root.GetProperty "sharpness"
    checkSharpness (sharpness.GetProperty "clean")
    checkSharpness (sharpness.GetProperty "vicinal")
    Assert.NotEqual(number sharpness "clean.loss", number sharpness "vicinal.loss")
    for name in [ "oneStep"; "ascent"; "group"; "topEigenvalue"; "trace" ] do
        Assert.True(sharpness.GetProperty("definitions").GetProperty(name).GetString().Length > 20)

    // all clean losses of one run are about the same images
    let plane = root.GetProperty "landscape"
    let n = plane.GetProperty("steps").GetArrayLength()
    Assert.Equal((if mixes then 7 else 3), n)
    Assert.Equal(number sharpness "clean.loss", (plane.GetProperty("loss").Item(n / 2).Item(n / 2).GetDouble()), 6)

    let s = root.GetProperty "sensitivity"
    Assert.Equal(mixes, s.GetProperty("mixes").GetBoolean())
    Assert.Equal((if mixes then 1 else 0), s.GetProperty("training").GetArrayLength())
    Assert.Equal(2, s.GetProperty("draws").GetArrayLength())
    Assert.Equal((if mixes then 60 else 24), s.GetProperty("examples").GetInt32())
    Assert.InRange(number s "agreement.overlap", 0.0, 1.0)
    Assert.InRange(number s "agreement.jaccard", 0.0, 1.0)
    let least, most = s.GetProperty "least", s.GetProperty "most"
    Assert.Equal(12, least.GetArrayLength())
    for i in 0..11 do
        let low, high = least[i], most[i]
        Assert.True(number low "sensitivity" <= number high "sensitivity")
        Assert.Equal(mixes, (low.GetProperty("first").GetString() <> low.GetProperty("second").GetString()))
        Assert.InRange(number low "lambda", 0.0, 1.0)

    let png = File.ReadAllBytes(Path.Combine(run, "sensitivity.png"))
    let struct (width, height) = GMix.Data.ImageCodec.Size(ReadOnlySpan png, "sensitivity.png")
    Assert.True(width > 12 * 32 && height > 2 * 32)
    let html = File.ReadAllText(Path.Combine(run, "inspect.html"))
    for word in [ "Sharpness at the final weights"; "Loss around the solution"; "Least sensitive"; "Most sensitive"; "data:image/png;base64,"; "Evidence" ] do
        Assert.Contains(word, html)
    Assert.Equal(mixes, html.Contains("λ 0.", StringComparison.Ordinal))
    // what was not the method's own is said
    Assert.Equal(not mixes, html.Contains("perturbs nothing", StringComparison.Ordinal))
    Assert.Equal(not mixes, html.Contains("that of the batch itself", StringComparison.Ordinal))

[<Fact>]
let ``a flag measures only what it names, twice the same, and a table is printed`` () =
    let run = shared.Value
    let folder = Path.GetDirectoryName run
    let arguments = [ "inspect"; run; "--sharpness"; "--images"; "30"; "--draws"; "3"; "--rho"; "0.1"; "--seed"; "7" ]
    let code, output, error = gmix arguments folder
    Assert.True((code = 0), error)
    Assert.Contains("S_N", output)
    Assert.Contains("inspect.html", output)
    let read () =
        use json = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "inspect.json")))
        Assert.False(json.RootElement.TryGetProperty("landscape") |> fst)
        Assert.False(json.RootElement.TryGetProperty("sensitivity") |> fst)
        Assert.Equal(0.1, number (json.RootElement.GetProperty "sharpness") "clean.rho")
        json.RootElement.GetProperty("sharpness").GetRawText()
    let first = read ()
    let code, _, error = gmix arguments folder
    Assert.True((code = 0), error)
    Assert.Equal(first, read ())

[<Fact>]
let ``what cannot be inspected ends with code 2 and one line`` () =
    let folder = freshFolder "inspect-bad"
    for arguments, named in [ [ Path.Combine(folder, "nowhere") ], "nowhere"; [ folder; "--grid"; "x" ], "--grid x" ] do
        let code, output, error = gmix ("inspect" :: arguments) folder
        let said = $"""gmix inspect {String.Join(' ', arguments)}: code {code}, said: {error}{output}"""
        Assert.True((code = 2), said)
        Assert.True(error.Contains(named, StringComparison.Ordinal), said)
        Assert.True((error.Trim().Split('\n').Length = 1), said)

    let refusal path options =
        let message = Assert.Throws<GMix.GMixInputException>(fun () -> Inspect.run path options false None).Message
        Assert.DoesNotContain("\n", message)
        message
    let unfinished = write folder "made-up" (settings "synthetic" "mlp" vanilla 5 0) 2
    Assert.Contains("gmix resume", refusal unfinished InspectOptions.defaults)
    write folder "made-up" (settings "synthetic" "mlp" sam 5 0) 2 |> ignore
    Assert.Contains("holds 2 runs", refusal (Path.GetDirectoryName unfinished) InspectOptions.defaults)
    Assert.Contains("not a run", refusal (Directory.CreateDirectory(Path.Combine(folder, "empty")).FullName) InspectOptions.defaults)

    let run = shared.Value
    let files = Directory.GetFiles run |> Array.map (fun f -> f, File.GetLastWriteTimeUtc f)
    let d = InspectOptions.defaults
    for options, named in
        [ { d with Grid = Some 4 }, "--grid 4"
          { d with Rho = Some 0.0 }, "--rho 0"
          { d with Images = Some 0 }, "--images 0"
          { d with Draws = Some 0 }, "--draws 0"
          { d with Range = Some -1.0 }, "--range -1"
          { d with Sigma = Some -0.5 }, "--sigma -0.5"
          { d with Device = Some "cuda:99" }, "--device cuda:99" ] do
        Assert.StartsWith(named, refusal run options)
    // nothing written
    Assert.Equal<(string * DateTime) array>(files, Directory.GetFiles run |> Array.map (fun f -> f, File.GetLastWriteTimeUtc f))

/// EXACT: on a linear function the contour is the straight line where it takes the level.
[<Fact>]
let ``contours of a plane are its level lines`` () =
    let values = [| for i in 0..4 -> [| for j in 0..5 -> float j + 2.0 * float i |] |]
    let segments = InspectPictures.contour values 4.5
    Assert.NotEmpty segments
    for (x0, y0), (x1, y1) in segments do
        Assert.Equal(4.5, x0 + 2.0 * y0, 12)
        Assert.Equal(4.5, x1 + 2.0 * y1, 12)
    // the line leaves the grid at (4.5, 0) and at (0, 2.25)
    let ends = segments |> List.collect (fun (a, b) -> [ a; b ])
    Assert.Contains((4.5, 0.0), ends)
    Assert.Contains((0.0, 2.25), ends)
    Assert.Empty(InspectPictures.contour values 100.0)

[<Fact>]
let ``a heat map is well-formed, says its values, and survives what is not a number`` () =
    let steps = [| -1.0; 0.0; 1.0 |]
    let values = [| [| 1.0; nan; 300.0 |]; [| 0.5; 0.1; 0.5 |]; [| 2.0; 3.0; infinity |] |]
    let svg = InspectPictures.heatMap "a <title> & more" "loss" steps values (fun i j -> $"field {i} {j}")
    let document = Xml.Linq.XDocument.Parse svg
    let named = document.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = "title" && e.Value.StartsWith "field") |> Seq.length
    Assert.Equal(9, named)
    Assert.Equal(2, (svg.Split "#888888").Length - 1)
    Assert.DoesNotContain("NaN", svg)
    Assert.DoesNotContain("∞", svg)

[<Fact>]
let ``quantiles interpolate between order statistics`` () =
    let sorted = [| 1.0; 2.0; 4.0; 8.0 |]
    Assert.Equal(1.0, InspectPage.quantile 0.0 sorted)
    Assert.Equal(3.0, InspectPage.quantile 0.5 sorted)
    Assert.Equal(8.0, InspectPage.quantile 1.0 sorted)
    Assert.Equal(5.0, InspectPage.quantile 0.5 [| 5.0 |])
