namespace GMix.Experiments

open System
open System.Buffers.Binary
open System.IO
open System.Numerics
open Google.Protobuf
open Google.Protobuf.WellKnownTypes

/// A run's epochs as TensorBoard reads them: RUN/events.out.tfevents.*, a TFRecord file of Event messages (tensorflow/core/util/event.proto,
/// framework/summary.proto; tensorboard/plugins/hparams/plugin_data.proto). The step of every scalar is the epoch, counted from 1.
[<RequireQualifiedAccess>]
module TensorBoard =
    /// A run's event files, oldest first.
    let files (folder: string) : string list =
        Directory.GetFiles(folder, "events.out.tfevents.*") |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) |> List.ofArray

    /// The scalars of an epoch with their tags; what was not measured is left out.
    let scalars (e: EpochRecord) : (string * float) list =
        [ "accuracy/test", Some e.TestAcc
          "accuracy/train", e.TrainAcc
          "accuracy/vicinal", e.VicinalAcc
          "accuracy/train_clean", e.CleanTrainAcc
          "gap", e.Gap
          "gap_clean", e.CleanGap
          "loss/train", e.TrainLoss
          "loss/test", e.TestLoss
          "lr", e.Lr
          "time/seconds", Some e.Seconds
          "time/images_per_second", e.ImagesPerSecond
          "cost/forwards", e.Forwards
          "cost/backwards", e.Backwards
          "diagnostics/gradient_norm", e.GradNorm
          "diagnostics/intrusion_miss", e.IntrusionMiss
          "diagnostics/sensitivity_mean", e.SensitivityMean
          "diagnostics/sensitivity_median", e.SensitivityMedian
          "diagnostics/sensitivity_p10", e.SensitivityP10
          "diagnostics/sensitivity_p90", e.SensitivityP90
          "diagnostics/ordering_rate", e.OrderingRate
          "diagnostics/projection", e.Projection
          "diagnostics/orthogonal_ratio", e.GPerpRatio ]
        |> List.choose (fun (tag, value) -> value |> Option.map (fun v -> tag, v))

    // A message is what writes its fields; a field inside one is written with its length in front.
    type private Message = CodedOutputStream -> unit

    let private bytesOf (message: Message) =
        use stream = new MemoryStream()
        do
            use output = new CodedOutputStream(stream, true)
            message output
        stream.ToArray()

    let private together (messages: Message list) : Message = fun o -> for m in messages do m o
    let private integer (field: int) (value: int64) : Message =
        fun o ->
            o.WriteTag(field, WireFormat.WireType.Varint)
            o.WriteInt64 value
    let private double (field: int) (value: float) : Message =
        fun o ->
            o.WriteTag(field, WireFormat.WireType.Fixed64)
            o.WriteDouble value
    let private single (field: int) (value: float32) : Message =
        fun o ->
            o.WriteTag(field, WireFormat.WireType.Fixed32)
            o.WriteFloat value
    let private text (field: int) (value: string) : Message =
        fun o ->
            o.WriteTag(field, WireFormat.WireType.LengthDelimited)
            o.WriteString value
    let private bytes (field: int) (value: byte array) : Message =
        fun o ->
            o.WriteTag(field, WireFormat.WireType.LengthDelimited)
            o.WriteBytes(ByteString.CopyFrom value)
    let private inner (field: int) (messages: Message list) : Message = bytes field (bytesOf (together messages))

    /// Event: when, at which step, and what.
    let private event (time: DateTimeOffset) (step: int) (what: Message) : byte array =
        [ double 1 (float (time.ToUnixTimeMilliseconds()) / 1000.0)
          if step <> 0 then integer 2 (int64 step)
          what ]
        |> together
        |> bytesOf

    let private summary (values: Message list) = inner 5 values

    /// Summary.Value of a scalar.
    let private scalar (tag: string, value: float) = inner 1 [ text 1 tag; single 2 (float32 value) ]

    /// SummaryMetadata: which plugin shows the value, with that plugin's own data. 2 is DATA_CLASS_TENSOR.
    let private metadata (plugin: string) (content: byte array) = inner 9 [ inner 1 [ text 1 plugin; bytes 2 content ]; integer 4 2L ]

    /// Summary.Value of a text, which TensorBoard shows as Markdown: a TensorProto of one DT_STRING.
    let private markdown (tag: string) (content: string) =
        inner 1 [ text 1 tag; metadata "text" [||]; inner 8 [ integer 1 7L; inner 2 [ inner 2 [ integer 1 1L ] ]; bytes 8 (Text.Encoding.UTF8.GetBytes content) ] ]

    /// Summary.Value of the hparams plugin: its data is in the metadata, the tensor (DT_FLOAT) is empty.
    let private hparams (tag: string) (data: Message) =
        inner 1 [ text 1 tag; metadata "hparams" (bytesOf data); inner 8 [ integer 1 1L; inner 2 [ inner 2 [ integer 1 0L ] ] ] ]

    let private hparamValue (word: string) =
        match Double.TryParse(word, Globalization.NumberStyles.Float, Globalization.CultureInfo.InvariantCulture), word with
        | (true, number), _ when Double.IsFinite number -> Value.ForNumber number
        | _, ("true" | "false") -> Value.ForBool((word = "true"))
        | _ -> Value.ForString word

    /// The configuration that tells runs apart: all but where things lie.
    let private configuration (file: RunFile) =
        Summary.flatten file.Config |> List.filter (fun (key, word) -> key <> "data" && word <> "")
        |> List.map (fun (key, word) -> (if key = "name" then "method" else key), word)

    let private sessionStart (file: RunFile) (started: DateTimeOffset) =
        let entries = configuration file |> List.map (fun (key, word) -> inner 1 [ text 1 key; bytes 2 ((hparamValue word).ToByteArray()) ])
        hparams "_hparams_/session_start_info" (inner 3 [ together entries; text 4 (RunStore.groupKeyOf file.Config file.Data); double 5 (float (started.ToUnixTimeMilliseconds()) / 1000.0) ])

    let private sessionEnd (ended: DateTimeOffset) =
        // STATUS_SUCCESS
        hparams "_hparams_/session_end_info" (inner 4 [ integer 1 1L; double 2 (float (ended.ToUnixTimeMilliseconds()) / 1000.0) ])

    let private configurationText (file: RunFile) =
        let escape (word: string) = word.Replace("|", "\\|")
        let e = file.Environment
        let machine = [ "commit", e.Commit; "libtorch", e.Libtorch; "blas", e.Blas; "cpu", e.Cpu; "os", e.Os; "gmix", e.Gmix; "run", file.Id ]
        let images = [ "training images", string file.Data.Train; "test images", string file.Data.Test; "data is", file.Data.Kind ]
        let rows = configuration file @ images @ (machine |> List.filter (fun (_, word) -> word <> "")) |> List.map (fun (key, word) -> $"| {escape key} | {escape word} |")
        String.Join("\n", "| | |" :: "| --- | --- |" :: rows)

    /// CRC-32C of the bytes, masked as TFRecord wants it: a sum over data that holds sums would be weak.
    let private maskedSum (data: ReadOnlySpan<byte>) =
        let mutable crc = UInt32.MaxValue
        for b in data do
            crc <- BitOperations.Crc32C(crc, b)
        BitOperations.RotateRight(~~~crc, 15) + 0xa282ead8u

    let private writeRecord (stream: Stream) (data: byte array) =
        let record = Array.zeroCreate<byte> (data.Length + 16)
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(), uint64 data.Length)
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan 8, maskedSum (ReadOnlySpan(record, 0, 8)))
        data.CopyTo(record, 12)
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12 + data.Length), maskedSum (ReadOnlySpan data))
        stream.Write(ReadOnlySpan record)

    /// The name of the next file: TensorBoard reads a folder's files in the order of their names, so that two starts within a second must not tie.
    let private nextName (folder: string) (now: DateTimeOffset) =
        let secondsOf (path: string) =
            match Int64.TryParse((Path.GetFileName path).Split('.')[3]) with
            | true, seconds -> seconds
            | _ -> 0L
        let latest = files folder |> List.map secondsOf |> List.fold max 0L
        let seconds = max (now.ToUnixTimeSeconds()) (latest + 1L)
        Path.Combine(folder, $"events.out.tfevents.{seconds:D10}.{Environment.MachineName}.{Environment.ProcessId}.0")

    /// The event file of one start of a run that has `epochsDone` epochs behind it. What earlier files hold of later epochs is void from here on: the
    /// process that wrote it died before its checkpoint. A run that had no events before gets those of its earlier epochs first.
    [<AllowNullLiteral>]
    type Log(folder: string, file: RunFile, epochsDone: int) =
        let now = DateTimeOffset.UtcNow
        let first = (files folder).IsEmpty
        let stream = new FileStream(nextName folder now, FileMode.CreateNew, FileAccess.Write, FileShare.Read)
        let write (time: DateTimeOffset) step what = writeRecord stream (event time step what)
        let epoch (time: DateTimeOffset) (e: EpochRecord) = write time e.Epoch (summary (scalars e |> List.map scalar))
        do
            write now (epochsDone + 1) (text 3 "brain.Event:2")
            if first then
                let earlier = RunStore.readEpochs folder |> fst |> List.filter (fun e -> e.Epoch <= epochsDone)
                // when they ended is not on record: the last with its file, the others by the seconds each took
                let last = DateTimeOffset(File.GetLastWriteTimeUtc(RunStore.epochsPath folder))
                let times = List.scanBack (fun (e: EpochRecord) (after: DateTimeOffset) -> after.AddSeconds(-e.Seconds)) earlier last
                let start = if earlier.IsEmpty then now else times.Head
                write start 0 (summary [ sessionStart file start; markdown "configuration" (configurationText file) ])
                List.iter2 epoch times.Tail earlier
            else
                // SessionLog with START: whatever has this step or a later one is dropped by the reader
                write now (epochsDone + 1) (inner 7 [ integer 1 1L ])
            stream.Flush true

        /// An epoch is over.
        member _.Epoch(e: EpochRecord) =
            epoch DateTimeOffset.UtcNow e
            stream.Flush true

        /// The run is complete.
        member _.Complete() =
            let now = DateTimeOffset.UtcNow
            write now 0 (summary [ sessionEnd now ])

        interface IDisposable with
            member _.Dispose() = stream.Dispose()

    /// Events of a complete run that has none.
    let ofComplete (run: Run) =
        if (files run.Folder).IsEmpty then
            use log = new Log(run.Folder, run.File, run.Epochs.Length)
            log.Complete()
