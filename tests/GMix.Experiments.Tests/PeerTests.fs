/// `gmix bench all` beside a peer that only says what it was asked.
module GMix.Experiments.Tests.PeerTests

open System.IO
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Experiments.Tests.Processes
open GMix.Torch
open Xunit

/// A python whose torch is 9.9 and whose peer.py notes its flags and trains 50 examples a second, twice as many tuned.
let private peerIn (folder: string) =
    let path = Path.Combine(folder, "python")
    File.WriteAllText(
        path,
        $"""#!/bin/sh
if [ "$1" = "-c" ]; then echo 9.9; exit; fi
shift; echo "$@" >> '{folder}/asked'
case "$*" in *--tuned*) echo '{{"img_per_s":{{"vanilla":100}},"peak_mib":20}}';; *) echo '{{"img_per_s":{{"vanilla":50}},"peak_mib":10}}';; esac
"""
    )
    File.SetUnixFileMode(path, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
    path

/// What the command printed, what the peer was asked, and the file's lines as name and value.
let private benchAll (name: string) (earlier: string list) (words: string list) =
    let folder = freshFolder name
    if not earlier.IsEmpty then File.WriteAllLines(Path.Combine(folder, "results.csv"), earlier)
    let code, output, error =
        runWith [ "GMIX_PEER_PYTHON", peerIn folder ] gmixPath ([ "bench"; "all"; "--models"; "mlp"; "--methods"; "vanilla"; "--rounds"; "1"; "--steps"; "1"; "--threads"; "1"; "--csv"; "results.csv" ] @ words) folder
    Assert.True((code = 0), error)
    let lines = File.ReadAllLines(Path.Combine(folder, "results.csv")) |> List.ofArray
    let names = lines.Head.Split ','
    let cells = [ for line in lines.Tail -> Map(Array.zip names (line.Split ',')) ]
    output, List.ofArray (File.ReadAllLines(Path.Combine(folder, "asked"))), lines, cells

[<Fact>]
let ``bench all --precision float32 asks both for float32 and records it`` () =
    let output, asked, _, cells = benchAll "bench float32" [] [ "--precision"; "float32" ]
    Assert.Contains("tuned (channels-last, float32)", output)
    Assert.Equal(2, asked.Length)
    Assert.DoesNotContain("--tuned", asked[0])
    Assert.Contains("--tuned --precision float32", asked[1])
    let line = Assert.Single cells
    Assert.Equal<string list>([ "float32"; "float32"; "9.9"; "50.0"; "100.0"; "20.000" ], [ for name in [ "precision"; "tuned_precision"; "peer"; "stock"; "tuned"; "tuned_mib" ] -> line[name] ])
    Assert.Equal(float line["gmix"] / 100.0, float line["ratio_tuned"], 3)

[<Fact>]
let ``bench all tunes the peer to bf16 where the processor has it, also for a perceptron that trains in float32`` () =
    let _, asked, _, cells = benchAll "bench as it comes" [] []
    let expected = if TorchRuntime.CpuHasBFloat16 then "bf16" else "float32"
    Assert.Contains($"--tuned --precision {expected}", asked[1])
    Assert.Equal(("float32", expected), (cells.Head["precision"], cells.Head["tuned_precision"]))

[<Fact>]
let ``results of an earlier version stay, with the new columns empty`` () =
    let old = [ "date,commit,cpu,threads,libtorch,peer,model,batch,method,gmix,gmix_min,stock,stock_min,tuned,tuned_min,ratio_stock,ratio_tuned,over_vanilla,stock_over_vanilla,tuned_over_vanilla,gmix_mib,stock_mib,tuned_mib"
                "then,abc,EPYC,2,1.13,1.13,mlp,32,sam,3,3,2,2,1,1,1.5,3,2,2,2,20,30,40" ]
    let _, _, lines, cells = benchAll "bench again" old []
    Assert.Equal(3, lines.Length)
    Assert.StartsWith(old[1] + ",", lines[1])
    Assert.Equal(("sam", "", ""), (cells[0]["method"], cells[0]["precision"], cells[0]["device"]))
    Assert.Equal(("vanilla", "float32", "cpu"), (cells[1]["method"], cells[1]["precision"], cells[1]["device"]))

[<Fact>]
let ``bench all in float64 has no peer`` () =
    let folder = freshFolder "bench float64"
    let code, _, error = runWith [ "GMIX_PEER_PYTHON", peerIn folder ] gmixPath [ "bench"; "all"; "--models"; "mlp"; "--precision"; "float64" ] folder
    Assert.Equal(2, code)
    Assert.Contains("--precision float64", error)
