/// The experiment language: what a script says and the plain values below it.
module GMix.Experiments.Tests.LanguageTests

open System
open System.Diagnostics
open System.IO
open GMix
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Experiments
open type GMix.Experiments.MethodWords
open GMix.Methods
open GMix.Models
open GMix.Nn
open Xunit

let private plain =
    experiment "plain" {
        dataset "synthetic"
        model "mlp"
        methods [ Method.vanilla; Method.gmix ]
    }

let private words (experiment: Experiment) = Experiment.jobs 1 experiment |> List.map (fun j -> string j.Method)

let private rejects (part: string) (work: unit -> unit) =
    let error = Assert.Throws<GMixInputException>(Action work)
    Assert.Contains(part, error.Message)

/// The id that a job's run would have, on data of a given size.
let private idOf (job: Job) =
    let data: DataInfo = { Train = 200; Test = 100; Classes = 10; Kind = "synthetic"; Extra = null }
    RunStore.idOf (Resolve.settings job.Config job.Preset job.Method) data

let private idsOf change = Experiment.jobs 1 { plain with Train = change Train.defaults } |> List.map idOf

[<Fact>]
let ``an experiment is a plain record with the defaults of what is not said`` () =
    Assert.Equal<string list>([ "synthetic" ], plain.Datasets)
    Assert.Equal("mlp", plain.Models.Head.Name)
    Assert.Equal<int list>([ 0 ], plain.Seeds)
    Assert.Equal(0, plain.Limit)
    Assert.Equal((None, 128, None), (plain.Train.Epochs, plain.Train.Batch, plain.Train.Threads))

[<Fact>]
let ``lists, for and if make sweeps, and every combination is one run`` () =
    let withSam = false
    let sweep =
        experiment "sweep" {
            datasets [ "synthetic"; "cifar10" ]
            models [ "mlp"; "wrn-10-1" ]
            methods [
                Method.gmix
                if withSam then Method.sam
                for gamma in [ 0.25; 0.5; 0.75 ] do
                    dgmix (gamma = gamma)
            ]
            train { Train.defaults with Epochs = Some 3; Batch = 32 }
            seeds [ 0..4 ]
        }
    let jobs = Experiment.jobs 1 sweep
    Assert.Equal(2 * 2 * 4 * 5, jobs.Length)
    Assert.All(jobs, fun j -> Assert.Equal((3, 32), (j.Config.Epochs, j.Config.Batch)))
    let gammas = jobs |> List.filter (fun j -> j.Method.Name = "dgmix") |> List.map (fun j -> j.Config.MethodOptions.Gamma.Value) |> List.distinct
    Assert.Equal<float list>([ 0.25; 0.5; 0.75 ], gammas)

[<Fact>]
let ``named settings reach the method's words, over those of the experiment`` () =
    let several =
        { plain with
            Methods = [ dgmix (gamma = 0.7, rho = 0.2); Method.dgmix; Method.sam |> Method.fromEpoch 5; Method.sam |> Method.every 2 ]
            Train = { Train.defaults with Methods = HyperParameters.Rho.Read(MethodOptions(), "0.1") } }
    match Experiment.jobs 1 several |> List.map (fun j -> j.Method) with
    | [ named; usual; late; seldom ] ->
        Assert.Equal(Sam 0.2 :> Perturb, named.Perturb)
        Assert.Contains("gamma=0.7", string named.Combine)
        Assert.Equal(Sam 0.1 :> Perturb, usual.Perturb)
        Assert.Equal(When(1, 5), late.Perturb.When)
        Assert.Equal(When(2, 0), seldom.Perturb.When)
    | other -> failwith $"{other.Length} runs"

[<Fact>]
let ``a setting that a method does not have, or allow, is refused by name`` () =
    rejects "gamma" (fun () -> Method.vanilla |> Method.set "gamma" "0.5" |> ignore)
    rejects "gamma" (fun () -> dgmix (gamma = 1.5) |> ignore)
    rejects "nope" (fun () -> Method.ofName "nope" |> ignore)
    rejects "methods" (fun () -> Experiment.jobs 1 { plain with Methods = [] } |> ignore)

[<Fact>]
let ``three words make a method`` () =
    let mine =
        method "mine" {
            title "Mine"
            mix (Mixup 0.4)
            perturb (Sam 0.1 |> fromEpoch 150)
            combine (Decomposed 0.25)
        }
    match mine with
    | MethodSpec.Own m ->
        Assert.Equal(("mine", "Mine"), (m.Name, m.Title))
        Assert.Equal(Mixup 0.4 :> Mix, m.Mix)
        Assert.Equal(When(1, 150), m.Perturb.When)
        Assert.Equal(0.1, m.Perturb.Radius)
        Assert.Equal(Decomposed 0.25 :> Combine, m.Combine)
    | MethodSpec.Catalog _ -> failwith "a method of the catalog"

[<Fact>]
let ``words that do not go together, and names of the catalog, are refused`` () =
    rejects "needs a Perturb" (fun () -> method "odd" { combine (Binary 0.5) } |> ignore)
    rejects "another" (fun () -> Experiment.jobs 1 { plain with Methods = [ method "gmix" { mix (Mixup 1.0) } ] } |> ignore)
    let clash = { plain with Models = [ ModelSpec.Own("wrn-10-1", fun shape -> Mlp(shape.Channels * shape.Height * shape.Width, [| 8 |], shape.Classes) :> Model) ] }
    rejects "another" (fun () -> Experiment.jobs 1 clash |> ignore)

[<Fact>]
let ``whatever changes the training changes the run's id`` () =
    let basis = idsOf id
    Assert.Equal(basis.Length, (List.distinct basis).Length)
    let changes: (Train -> Train) list =
        [ fun t -> { t with Epochs = Some 7 }
          fun t -> { t with Batch = 64 }
          fun t -> { t with LearningRate = 0.2 }
          fun t -> { t with ClipNorm = 1.0 }
          fun t -> { t with Schedule = Some GMix.Training.ScheduleKind.Step }
          fun t -> { t with Schedule = Some GMix.Training.ScheduleKind.Step; Milestones = [ 0.4 ] }
          fun t -> { t with Schedule = Some GMix.Training.ScheduleKind.Step; Factor = 0.2 }
          fun t -> { t with DropLast = true }
          fun t -> { t with Cutout = 8 }
          fun t -> { t with Erasing = 0.5 }
          fun t -> { t with Reflect = true }
          fun t -> { t with Threads = Some 3 }
          fun t -> { t with Precision = Some Precision.Float64 }
          fun t -> { t with Models = ModelOptions(Hidden = [| 5 |]) }
          fun t -> { t with Methods = HyperParameters.LabelSmoothing.Read(MethodOptions(), "0.1") }
          fun t -> { t with Warmup = 1.0 } ]
    let all = idsOf id :: (changes |> List.map idsOf)
    // the first run, Vanilla, has no words that could tell
    let ofVanilla = all |> List.map List.head
    Assert.Equal(ofVanilla.Length, (List.distinct ofVanilla).Length)
    let late = Experiment.jobs 1 { plain with Methods = [ Method.sam; Method.sam |> Method.fromEpoch 3; Method.sam |> Method.every 2 ] } |> List.map idOf
    Assert.Equal(3, (List.distinct late).Length)

[<Fact>]
let ``threads of small models do not depend on the workers, those of others divide the cores`` () =
    let threads workers model = (Experiment.jobs workers { plain with Models = [ ModelSpec.Catalog model ] }).Head.Config.Threads
    Assert.Equal(1, threads 1 "mlp")
    Assert.Equal(1, threads 4 "mlp")
    Assert.Equal(Environment.ProcessorCount, threads 1 "wrn-16-4")
    Assert.Equal(1, threads Environment.ProcessorCount "wrn-16-4")

/// What fsi says of a script that holds this experiment, and its exit code.
let private compiled (name: string) (experiment: string) =
    let path = Path.Combine(freshFolder $"words-{name}", "script.fsx")
    let here = Path.GetDirectoryName(typeof<Experiment>.Assembly.Location)
    File.WriteAllText(path, $"#r @\"{here}/GMix.Core.dll\"\n#r @\"{here}/gmix.dll\"\nopen GMix.Experiments\nlet it = {experiment}\n")
    let start = ProcessStartInfo("dotnet", [ "fsi"; "--quiet"; path ], RedirectStandardOutput = true, RedirectStandardError = true)
    use child = Process.Start start
    let output = child.StandardOutput.ReadToEndAsync()
    let said = child.StandardError.ReadToEnd() + output.Result
    child.WaitForExit()
    child.ExitCode, said

/// A missing word is a type error that names what is missing, and nothing else: real scripts, compiled by a real fsi.
[<Theory>]
[<InlineData("dataset", """experiment "a" { model "mlp"; methods [ Method.vanilla ] }""", "DatasetIsMissing")>]
[<InlineData("model", """experiment "a" { dataset "synthetic"; methods [ Method.vanilla ] }""", "ModelIsMissing")>]
[<InlineData("methods", """experiment "a" { dataset "synthetic"; model "mlp" }""", "MethodsAreMissing")>]
[<InlineData("nothing", """experiment "a" { dataset "synthetic"; model "mlp"; methods [ dgmix (gamma = 0.5) ] }""", "")>]
let ``a missing word is a type error with a telling name`` (word: string, text: string, name: string) =
    let code, said = compiled word text
    if name = "" then
        Assert.True((code = 0), said)
    else
        Assert.NotEqual(0, code)
        Assert.Contains($"'{name}'", said)
        for other in [ "DatasetIsMissing"; "ModelIsMissing"; "MethodsAreMissing" ] |> List.filter ((<>) name) do
            Assert.DoesNotContain($"'{other}'", said)
