module GMix.Experiments.Tests.GpuTests

open GMix.Experiments
open GMix.Methods
open GMix.Torch
open Xunit

let private configOf (train: Train) = Resolve.config { Setup.defaults with Train = { train with Epochs = Some 1; Precision = Some GMix.Nn.Precision.Float32 } } (MethodCatalog.Get "dgmix") 0

let private cuda = { Train.defaults with Device = "cuda:1" }

let private extraNames (train: Train) =
    match (Resolve.settings (configOf train) Preset.Fair (MethodCatalog.Get "dgmix")).Extra with
    | null -> []
    | extra -> extra.Keys |> Seq.sort |> List.ofSeq

[<Fact>]
let ``What a GPU's arithmetic depends on is said for a GPU only`` () =
    Assert.Empty(Machine.gpuWords (configOf { Train.defaults with Tf32 = Tf32.On; CudnnBenchmark = true }))
    Assert.Equal<string list>([ "TF32 for convolutions"; "deterministic algorithms"; "whole steps as CUDA graphs" ], Machine.gpuWords (configOf cuda))
    Assert.Equal<string list>(
        [ "TF32 for matrix products and convolutions"; "cuDNN's fastest algorithms"; "no CUDA graphs" ],
        Machine.gpuWords (configOf { cuda with Tf32 = Tf32.On; CudnnBenchmark = true; Graph = false })
    )
    Assert.Equal("no TF32", List.head (Machine.gpuWords (configOf { cuda with Tf32 = Tf32.Off })))
    Assert.Equal("cpu", Machine.device (configOf Train.defaults))

[<Fact>]
let ``What changes a run's bits is part of its identity and what does not is not`` () =
    let usual = extraNames cuda
    Assert.Equal<string list>(usual, extraNames { cuda with Graph = false })
    Assert.Equal<string list>(List.sort ("tf32" :: usual), extraNames { cuda with Tf32 = Tf32.On })
    Assert.Equal<string list>(List.sort ("cudnnBenchmark" :: usual), extraNames { cuda with CudnnBenchmark = true })
    // on the host neither does anything, but the algorithm of its convolutions does
    let host = { Train.defaults with Winograd = Some Winograd.On }
    Assert.Equal<string list>(extraNames host, extraNames { host with Tf32 = Tf32.On; CudnnBenchmark = true })
    Assert.Equal<string list>(List.sort ("winograd" :: extraNames host), extraNames { host with Winograd = Some Winograd.Off })
    Assert.Equal<string list>(usual, extraNames { cuda with Winograd = Some Winograd.Off })

[<Fact>]
let ``The facts of a run on the host have no GPU in them`` () =
    let facts = Machine.environment None
    Assert.Equal(facts, Machine.forRun (configOf Train.defaults) facts)
