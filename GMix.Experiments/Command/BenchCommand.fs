namespace GMix.Experiments

open System
open System.CommandLine
open System.IO
open GMix

/// `gmix bench`: golden traces, speed, cost over size, selections under bf16.
[<RequireQualifiedAccess>]
module BenchCommand =
    /// The verb with its own verbs.
    let verb () =
        let bench = Command("bench", "Check golden traces and measure speed.")
        let files = Argument<string array>("FILE", Description = "traces", Arity = ArgumentArity.OneOrMore)
        let tolerance = Flags.number "--tolerance" "largest relative error that agrees (default 1e-9)"
        bench.Subcommands.Add(
            Verb.make "trace" "Replay golden traces of an independent implementation through the public calls.\n  gmix bench trace tests/GMix.Core.Tests/Traces/*.safetensors --tolerance 1e-9" [ tolerance ] [ files ] (fun result ->
                let limit = Flags.get result tolerance |> Option.defaultValue 1e-9
                if Bench.traces (result.GetValue files |> List.ofArray) limit then 0 else 1))
        let modelFiles = Argument<string array>("FILE", Description = "model checks", Arity = ArgumentArity.OneOrMore)
        let modelTolerance = Flags.number "--tolerance" "largest relative error that agrees (default 1e-9)"
        bench.Subcommands.Add(
            Verb.make "model" "Hold models with formula-filled weights against an independent implementation's logits.\n  gmix bench model models.json --tolerance 1e-9" [ modelTolerance ] [ modelFiles ] (fun result ->
                let limit = Flags.get result modelTolerance |> Option.defaultValue 1e-9
                if Bench.models (result.GetValue modelFiles |> List.ofArray) limit then 0 else 1))
        let steps = Flags.integer "--steps" "steps that count, after a warm-up of two steps or half a second; on a GPU stretches of a tenth of a second (default 5)"
        let size = Flags.integer "--size" "side of the images in pixels (default 32)"
        let json = Flags.switch "--json" "one line for programs"
        bench.Subcommands.Add(
            Verb.make "train" "Images per second of training steps on random images.\n  gmix bench train --model wrn-16-4 --methods vanilla,sam --batch 128 --steps 5 --json"
                ([ Flags.model; Flags.methods; Flags.batch; steps; size; json; Flags.profile; Flags.precision; Flags.winograd; Flags.threads; Flags.device; Flags.noGraph; Flags.tf32; Flags.cudnnBenchmark ] @ Flags.methodParameters) [] (fun result ->
                    let setup = Flags.setup result
                    let methods = Flags.get result Flags.methods |> Option.defaultValue Verb.paperMethods
                    let measured = Bench.train setup methods (Flags.get result size |> Option.defaultValue 32) (Flags.get result steps |> Option.defaultValue 5) (Flags.profileFolder result ".")
                    Bench.printTrain setup measured (result.GetValue json)
                    0))
        let batches = Flags.integer "--steps" "batches that count, after five of warm-up (default 200)"
        let line = Flags.switch "--json" "one line for programs"
        bench.Subcommands.Add(
            Verb.make "pipeline" "Images per second that the data pipeline makes by itself: crop, flip, normalise, mix.\n  gmix bench pipeline --dataset synthetic --batch 128 --steps 200 --json"
                [ Flags.dataset; Flags.data; Flags.limit; Flags.size; Flags.batch; batches; line; Flags.reflect; Flags.cutout; Flags.erasing; Flags.threads; Flags.device ] [] (fun result ->
                    let setup = Flags.setup result
                    // the same batch whether or not the data set is named
                    let setup = { setup with Train = { setup.Train with Batch = Flags.get result Flags.batch |> Option.defaultValue Train.defaults.Batch } }
                    let set, speeds = BenchPipeline.run setup (Flags.get result batches |> Option.defaultValue 200)
                    BenchPipeline.print setup set speeds (result.GetValue line)
                    0))
        bench.Subcommands.Add(
            Verb.make "selection" "How far selections under bf16 are those of float32, along real training.\n  gmix bench selection --dataset cifar10 --data DIR --limit 1000 --model wrn-10-1 --batch 64 --epochs 20 --methods bgmix,dgmix"
                ([ Flags.dataset; Flags.data; Flags.limit; Flags.model; Flags.methods; Flags.epochs; Flags.batch; Flags.lr; Flags.augment; Flags.stemStride; Flags.threads ] @ Flags.methodParameters) [] (fun result ->
                    let methods = Flags.get result Flags.methods |> Option.defaultValue [ "bgmix"; "dgmix" ]
                    BenchSelection.run (Flags.setup result) methods
                    0))
        let what = Argument<string>("WHAT", Description = "batch, images or workers")
        let scaledModels = Flags.texts "--models" "A,B" "models (default wrn-10-1; workers also wrn-16-1, mobilenet-0.25, wrn-16-4)"
        let scaledRounds = Flags.integer "--rounds" "rounds of side by side and one by one in turn (default 3)"
        bench.Subcommands.Add(
            Verb.make "scaling" "How cost grows with the batch (32 to 1,024), with the images (1,000 to 50,000), or with runs side by side.\n  gmix bench scaling batch --models wrn-10-1"
                [ scaledModels; Flags.batch; size; steps; scaledRounds; Flags.threads ] [ what ] (fun result ->
                    let threads = Flags.get result Flags.threads |> Option.defaultWith (fun () -> Environment.ProcessorCount)
                    let count = Flags.get result steps |> Option.defaultValue 5
                    match result.GetValue what with
                    | "batch" ->
                        for model in Flags.get result scaledModels |> Option.defaultValue [ "wrn-10-1" ] do
                            BenchScaling.batches model threads [ 32; 64; 128; 256; 512; 1024 ] count
                    | "images" ->
                        for model in Flags.get result scaledModels |> Option.defaultValue [ "wrn-10-1" ] do
                            BenchScaling.images model threads [ 1000; 2000; 5000; 10000; 20000; 50000 ]
                    | "workers" ->
                        BenchScaling.workers
                            (Flags.get result scaledModels |> Option.defaultValue [ "mlp"; "wrn-10-1"; "wrn-16-1"; "mobilenet-0.25"; "wrn-16-4" ])
                            (Flags.get result Flags.batch |> Option.defaultValue 64)
                            (Flags.get result size |> Option.defaultValue 16)
                            (Flags.get result steps |> Option.defaultValue 30)
                            (Flags.get result scaledRounds |> Option.defaultValue 3)
                    | other -> raise (GMixInputException $"gmix bench scaling {other}: use batch, images or workers")
                    0))
        let rounds = Flags.integer "--rounds" "rounds of GMix and peer in turn (default 3)"
        let csv = Flags.text "--csv" "FILE" "where results are appended (default bench/results.csv)"
        let compile = Flags.switch "--compile" "also the peer's Vanilla and SAM by torch.compile; on a GPU always"
        bench.Subcommands.Add(
            Verb.make "all" "GMix beside PyTorch, in turn, with ratios.\n  gmix bench all --models wrn-16-4 --methods vanilla,gmix --rounds 3\n  gmix bench all --precision float32\n  gmix bench all --device cuda" [ Flags.models; Flags.methods; rounds; steps; csv; Flags.precision; Flags.threads; Flags.device; compile ] [] (fun result ->
                BenchPeer.all
                    { Setup.defaults with Train = { Train.defaults with Precision = Flags.get result Flags.precision; Threads = Flags.get result Flags.threads; Device = Flags.get result Flags.device |> Option.defaultValue Train.defaults.Device } }
                    (Flags.get result Flags.models |> Option.defaultValue [ "wrn-16-4"; "resnet18"; "mobilenet"; "mlp" ])
                    (Flags.get result Flags.methods |> Option.defaultValue Verb.paperMethods)
                    (Flags.get result rounds |> Option.defaultValue 3)
                    (Flags.get result steps |> Option.defaultValue 5)
                    (result.GetValue compile)
                    (Flags.get result csv |> Option.defaultValue (Path.Combine("bench", "results.csv")))
                0))
        bench
