/// GMIX_INSTRUCTIONS: one processor works as another one would.
module GMix.Experiments.Tests.InstructionsTests

open System.IO
open System.Text.Json
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Experiments.Tests.Processes
open Xunit

/// One step: convolutions by Winograd's algorithm and depthwise ones, BatchNorm. Its losses are of the weights as they began, before rounding grows.
let private train (instructions: string) (model: string) (name: string) =
    let folder = freshFolder name
    let code, _, error =
        runWith
            [ "GMIX_INSTRUCTIONS", instructions ]
            gmixPath
            [ "train"; "--dataset"; "synthetic"; "--limit"; "64"; "--model"; model; "--method"; "bgmix"; "--batch"; "64"; "--epochs"; "1"; "--threads"; "1"; "--out"; "."; "--name"; "one" ]
            folder
    Assert.True((code = 0), error)
    let run = Directory.GetDirectories(Path.Combine(folder, "one")) |> Array.exactlyOne
    use config = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "config.json")))
    config.RootElement.GetProperty("config").GetProperty("precision").GetString(), (Array.ofList (RunStore.read run).Epochs |> Array.last).TrainLoss.Value

[<Theory>]
[<InlineData "wrn-10-1">]
[<InlineData "mobilenet-0.25">]
let ``without bfloat16 networks train in float32, with any instructions to the same losses up to rounding`` (model: string) =
    let trained instructions = train instructions model $"instructions {instructions} {model}"
    let _, basis = trained "avx2"
    Assert.Equal(("float32", basis), trained "avx2")
    for instructions in [ "generic"; "avx512" ] do
        let precision, loss = trained instructions
        Assert.Equal("float32", precision)
        Assert.InRange(abs (loss - basis), 0.0, 1e-4 * basis)

[<Fact>]
let ``other words are refused`` () =
    let code, _, error = runWith [ "GMIX_INSTRUCTIONS", "sse9" ] gmixPath [ "bench"; "train"; "--model"; "mlp"; "--steps"; "1" ] (freshFolder "instructions refused")
    Assert.Equal(2, code)
    Assert.Contains("GMIX_INSTRUCTIONS=sse9: use generic, avx2, avx512 or avx512bf16", error)
