/// Event files, read by a reader that shares nothing with the writer: frames and sums by the TFRecord description, messages by the wire format.
module GMix.Experiments.Tests.TensorBoardTests

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.RegularExpressions
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open Xunit

/// CRC-32C bit by bit: the polynomial 0x1EDC6F41, reflected.
let private crc32c (bytes: byte seq) =
    let mutable crc = 0xFFFFFFFFu
    for b in bytes do
        crc <- crc ^^^ uint32 b
        for _ in 1..8 do
            crc <- if crc &&& 1u = 1u then (crc >>> 1) ^^^ 0x82F63B78u else crc >>> 1
    ~~~crc

let private unmask (masked: uint32) =
    let rotated = masked - 0xa282ead8u
    (rotated >>> 17) ||| (rotated <<< 15)

type private Field =
    | Varint of uint64
    | Fixed64 of byte array
    | Fixed32 of byte array
    | Bytes of byte array

/// The fields of a message by number, in order.
let private parse (bytes: byte array) : (int * Field) list =
    let mutable at = 0
    let varint () =
        let mutable value, shift, more = 0UL, 0, true
        while more do
            let b = bytes[at]
            at <- at + 1
            value <- value ||| (uint64 (b &&& 0x7Fuy) <<< shift)
            shift <- shift + 7
            more <- b &&& 0x80uy <> 0uy
        value
    let take count =
        at <- at + count
        bytes[at - count .. at - 1]
    [ while at < bytes.Length do
          let key = varint ()
          let field =
              match int (key &&& 7UL) with
              | 0 -> Varint(varint ())
              | 1 -> Fixed64(take 8)
              | 2 -> Bytes(take (int (varint ())))
              | 5 -> Fixed32(take 4)
              | other -> failwith $"wire type {other}"
          int (key >>> 3), field ]

let private all number (fields: (int * Field) list) = fields |> List.filter (fun (n, _) -> n = number) |> List.map snd
let private bytesAt number fields = all number fields |> List.choose (fun f -> match f with Bytes b -> Some b | _ -> None)
let private textAt number fields = bytesAt number fields |> List.tryHead |> Option.map Encoding.UTF8.GetString
let private intAt number fields = all number fields |> List.tryPick (fun f -> match f with Varint v -> Some(int v) | _ -> None) |> Option.defaultValue 0

type private Value = { Tag: string; Scalar: float32 option; Plugin: string; Content: byte array; Strings: string list }
type private Event = { Time: float; Step: int; Version: string option; Start: bool; Values: Value list }

let private valueOf (bytes: byte array) =
    let fields = parse bytes
    let plugin = bytesAt 9 fields |> List.collect (parse >> bytesAt 1) |> List.tryHead |> Option.map parse |> Option.defaultValue []
    { Tag = (textAt 1 fields).Value
      Scalar = all 2 fields |> List.tryPick (fun f -> match f with Fixed32 b -> Some(BitConverter.ToSingle b) | _ -> None)
      Plugin = textAt 1 plugin |> Option.defaultValue ""
      Content = bytesAt 2 plugin |> List.tryHead |> Option.defaultValue [||]
      Strings = bytesAt 8 fields |> List.collect (parse >> bytesAt 8) |> List.map Encoding.UTF8.GetString }

/// The events of a file; every frame's length and data must bear their sums, and the last frame must end the file.
let private read (path: string) : Event list =
    let bytes = File.ReadAllBytes path
    let mutable at = 0
    [ while at < bytes.Length do
          let length = int (BitConverter.ToUInt64(bytes, at))
          Assert.Equal(crc32c bytes[at .. at + 7], unmask (BitConverter.ToUInt32(bytes, at + 8)))
          let data = bytes[at + 12 .. at + 11 + length]
          Assert.Equal(length, data.Length)
          Assert.Equal(crc32c data, unmask (BitConverter.ToUInt32(bytes, at + 12 + length)))
          at <- at + 16 + length
          let fields = parse data
          { Time = all 1 fields |> List.pick (fun f -> match f with Fixed64 b -> Some(BitConverter.ToDouble b) | _ -> None)
            Step = intAt 2 fields
            Version = textAt 3 fields
            Start = bytesAt 7 fields |> List.exists (fun log -> intAt 1 (parse log) = 1)
            Values = bytesAt 5 fields |> List.collect (parse >> bytesAt 1) |> List.map valueOf } ]

/// What TensorBoard shows of a folder: (step, value) per tag. A SessionLog START drops what came before of its step and later ones.
let private shown (folder: string) : Map<string, (int * float32) list> =
    let points = Dictionary<string, List<int * float32>>()
    for file in Directory.GetFiles(folder, "*tfevents*") |> Array.sort do
        for event in read file do
            if event.Start then
                for list in points.Values do
                    list.RemoveAll(fun (step, _) -> step >= event.Step) |> ignore
            for value in event.Values do
                match value.Scalar with
                | Some scalar ->
                    if not (points.ContainsKey value.Tag) then points[value.Tag] <- List()
                    points[value.Tag].Add((event.Step, scalar))
                | None -> ()
    Map.ofSeq (points |> Seq.map (fun pair -> pair.Key, List.ofSeq pair.Value))

[<Fact>]
let ``the test's own sum is CRC-32C`` () =
    // the check value of the catalogue of CRCs, and iSCSI's 32 bytes of zeros (RFC 3720, B.4)
    Assert.Equal(0xE3069283u, crc32c (Encoding.ASCII.GetBytes "123456789"))
    Assert.Equal(0x8A9136AAu, crc32c (Array.zeroCreate 32))

let private folderOf name count (settings: RunSettings) = write (freshFolder name) "t" { settings with Epochs = 5 } count

[<Fact>]
let ``a run's epochs come out with their tags, steps and times`` () =
    let settings = settings "cifar10" "mlp" (dgmix 0.5) 5 3
    let folder = folderOf "tb-epochs" 0 settings
    let file = RunStore.readConfig folder
    let epochs = epochsOf { settings with Epochs = 5 } 5
    let before = float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0
    do
        use log = new TensorBoard.Log(folder, file, 0)
        for e in epochs do
            RunStore.appendEpoch folder e
            log.Epoch e
        log.Complete()
    let after = float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0
    let path = Directory.GetFiles folder |> Array.filter (fun f -> f.Contains "tfevents") |> Array.exactlyOne
    Assert.Matches(@"^events\.out\.tfevents\.\d{10}\.", Path.GetFileName path)
    let events = read path
    Assert.Equal(Some "brain.Event:2", events.Head.Version)
    Assert.All(events, fun e -> Assert.InRange(e.Time, before, after))
    let scalars = shown folder
    let expected (pick: EpochRecord -> float option) = epochs |> List.map (fun e -> e.Epoch, float32 (pick e).Value)
    for tag, pick in
        [ "accuracy/test", (fun (e: EpochRecord) -> Some e.TestAcc)
          "accuracy/vicinal", _.VicinalAcc
          "gap", _.Gap
          "loss/train", _.TrainLoss
          "loss/test", _.TestLoss
          "lr", _.Lr
          "time/images_per_second", _.ImagesPerSecond ] do
        Assert.Equal<(int * float32) list>(expected pick, scalars[tag])
    Assert.False(scalars.ContainsKey "diagnostics/sensitivity_mean")

[<Fact>]
let ``the configuration is there as text and as hparams`` () =
    let folder = folderOf "tb-config" 2 (settings "cifar10" "wrn-10-1" (dgmix 0.5) 5 3)
    (new TensorBoard.Log(folder, RunStore.readConfig folder, 2) :> IDisposable).Dispose()
    let values = Directory.GetFiles(folder, "*tfevents*") |> Array.exactlyOne |> read |> List.collect _.Values
    let words = values |> List.find (fun v -> v.Plugin = "text")
    for word in [ "| dataset | cifar10 |"; "| model | wrn-10-1 |"; "| gamma | 0.5 |"; "| training images | 2000 |"; "| libtorch | 1.13.1 |" ] do
        Assert.Contains(word, List.exactlyOne words.Strings)
    let start = values |> List.find (fun v -> v.Tag = "_hparams_/session_start_info")
    Assert.Equal("hparams", start.Plugin)
    // HParamsPluginData.session_start_info.hparams: a map of names to google.protobuf.Value, whose 2 is a number and 3 a text
    let entries =
        [ for info in parse start.Content |> bytesAt 3 do
              for entry in parse info |> bytesAt 1 do
                  let fields = parse entry
                  (textAt 1 fields).Value, parse (bytesAt 2 fields).Head ]
        |> Map.ofList
    let number key = all 2 entries[key] |> List.pick (fun f -> match f with Fixed64 b -> Some(BitConverter.ToDouble b) | _ -> None)
    Assert.Equal(0.5, number "gamma")
    Assert.Equal(3.0, number "seed")
    Assert.Equal(Some "cifar10", textAt 3 entries["dataset"])
    Assert.Equal(Some "dgmix", textAt 3 entries["method"])

[<Fact>]
let ``what a crash left beyond the checkpoint is dropped, and no step is there twice`` () =
    let settings = settings "cifar10" "mlp" vanilla 5 0
    let folder = folderOf "tb-crash" 0 settings
    let file = RunStore.readConfig folder
    let epochs = epochsOf { settings with Epochs = 5 } 5
    let start epochsDone (upTo: int) =
        RunStore.truncateAfter folder epochsDone
        use log = new TensorBoard.Log(folder, file, epochsDone)
        for e in epochs |> List.filter (fun e -> e.Epoch > epochsDone && e.Epoch <= upTo) do
            RunStore.appendEpoch folder e
            log.Epoch e
    // epoch 3 was written, its checkpoint was not; the third start follows within the second
    start 0 3
    start 2 4
    start 4 5
    let files = Directory.GetFiles(folder, "*tfevents*") |> Array.sort
    Assert.Equal(3, files.Length)
    for file, purge in Array.zip files [| 1; 3; 5 |] do
        let events = read file
        Assert.Equal(purge, events.Head.Step)
        Assert.Equal(file <> files[0], events |> List.exists (fun e -> e.Start && e.Step = purge))
    Assert.Equal<(int * float32) list>(epochs |> List.map (fun e -> e.Epoch, float32 e.TestAcc), (shown folder)["accuracy/test"])

[<Fact>]
let ``a run that had no events gets those of its earlier epochs, at the times they ended`` () =
    let folder = folderOf "tb-late" 3 (settings "cifar10" "mlp" vanilla 5 0)
    let epochs = RunStore.readEpochs folder |> fst
    let ended = DateTimeOffset(File.GetLastWriteTimeUtc(RunStore.epochsPath folder)).ToUnixTimeMilliseconds()
    (new TensorBoard.Log(folder, RunStore.readConfig folder, 3) :> IDisposable).Dispose()
    let events = Directory.GetFiles(folder, "*tfevents*") |> Array.exactlyOne |> read |> List.filter (fun e -> e.Values |> List.exists _.Scalar.IsSome)
    Assert.Equal<int list>([ 1; 2; 3 ], events |> List.map _.Step)
    Assert.Equal(float ended / 1000.0, (List.last events).Time, 2e-3)
    for (a, b), e in List.zip (List.pairwise events) epochs.Tail do
        Assert.Equal(e.Seconds, b.Time - a.Time, 2e-3)
    // complete runs are left alone when they have events
    let run = RunStore.read folder
    TensorBoard.ofComplete run
    Assert.Equal(1, (Directory.GetFiles(folder, "*tfevents*")).Length)

[<Fact>]
let ``the command writes events with --tensorboard, in workers too, and not without`` () =
    let folder = freshFolder "tb-command"
    let small = [ "--limit"; "100"; "--model"; "mlp"; "--batch"; "50"; "--threads"; "1"; "--epochs"; "2" ]
    let events name = RunStore.list (Path.Combine(folder, "runs", name)) |> List.map (fun run -> run, Directory.GetFiles(run.Folder, "*tfevents*").Length)
    let gmix words = Processes.gmix (words @ small) folder
    for name, words, runs in
        [ "one", [ "train"; "--method"; "mixup"; "--tensorboard" ], 1
          "two", [ "compare"; "--methods"; "vanilla,sam"; "--workers"; "2"; "--tensorboard" ], 2 ] do
        let code, _, error = gmix (words @ [ "--name"; name ])
        Assert.True((code = 0), error)
        Assert.Equal(runs, (events name).Length)
        for run, files in events name do
            Assert.Equal(1, files)
            Assert.Equal<(int * float32) list>(run.Epochs |> List.map (fun e -> e.Epoch, float32 e.TestAcc), (shown run.Folder)["accuracy/test"])
    let code, _, error = gmix [ "train"; "--name"; "none" ]
    Assert.True((code = 0), error)
    Assert.Equal(0, events "none" |> List.exactlyOne |> snd)
    // a complete run gets its events afterwards
    let code, _, error = Processes.gmix [ "resume"; Path.Combine("runs", "none"); "--tensorboard" ] folder
    Assert.True((code = 0), error)
    Assert.Equal(1, events "none" |> List.exactlyOne |> snd)
