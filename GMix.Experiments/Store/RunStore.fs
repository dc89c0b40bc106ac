namespace GMix.Experiments

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Serialization
open GMix

/// Numbers that JSON cannot write, as the strings "NaN", "Infinity" and "-Infinity": a loss or norm can be infinite in a run that diverges, and
/// that is a finding, not a broken file. (The serializer's own setting for this does not reach into options.)
type private FloatConverter() =
    inherit JsonConverter<float>()

    override _.Read(reader, _, _) =
        match reader.TokenType with
        | JsonTokenType.String ->
            match reader.GetString() with
            | "NaN" -> nan
            | "Infinity" -> infinity
            | "-Infinity" -> -infinity
            | other -> raise (JsonException $"'{other}' is not a number")
        | _ -> reader.GetDouble()

    override _.Write(writer, value, _) =
        if Double.IsFinite value then writer.WriteNumberValue value
        elif Double.IsNaN value then writer.WriteStringValue "NaN"
        else writer.WriteStringValue(if value > 0.0 then "Infinity" else "-Infinity")

/// Runs as plain files: runs/NAME/ID/{config.json, epochs.jsonl, checkpoint.safetensors, weights.safetensors, failure.txt}.
[<RequireQualifiedAccess>]
module RunStore =
    [<Literal>]
    let Format = "gmix-run-1"

    let configPath folder = Path.Combine(folder, "config.json")
    let epochsPath folder = Path.Combine(folder, "epochs.jsonl")
    let checkpointPath folder = Path.Combine(folder, "checkpoint.safetensors")
    let weightsPath folder = Path.Combine(folder, "weights.safetensors")
    let failurePath folder = Path.Combine(folder, "failure.txt")

    /// The folder of a run: ROOT/NAME/ID.
    let folder (root: string) (file: RunFile) = Path.Combine(root, file.Name, file.Id)

    let private options indented =
        JsonSerializerOptions(
            PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
            WriteIndented = indented,
            // the files are read by people: leave "+" and "·" as they are
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping
        )
        |> fun options ->
            options.Converters.Add(FloatConverter())
            options

    let private pretty = options true
    let private compact = options false
    let private compactWithoutNulls =
        JsonSerializerOptions(compact, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)

    let private inputError text = raise (GMixInputException text)

    /// Writes a file so that a reader, or a crash, never sees half of it: a temporary file beside it, flushed, then renamed.
    let writeAtomically (path: string) (text: string) =
        try
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath path)) |> ignore
            // two threads of one process may write the same file at once
            let temporary = $"{path}.{Environment.ProcessId}-{Environment.CurrentManagedThreadId}.tmp"
            do
                use stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None)
                stream.Write(ReadOnlySpan(UTF8Encoding(false).GetBytes text))
                stream.Flush true
            File.Move(temporary, path, true)
        with
        | :? UnauthorizedAccessException
        | :? IOException as e ->
            raise (GMixInputException($"cannot write {path}: {e.Message.TrimEnd('.')}; choose a writable folder with --out", e))

    let rec private writeCanonical (writer: Utf8JsonWriter) (value: JsonElement) =
        match value.ValueKind with
        | JsonValueKind.Object ->
            writer.WriteStartObject()
            for property in value.EnumerateObject() |> Seq.sortWith (fun a b -> String.CompareOrdinal(a.Name, b.Name)) do
                if property.Value.ValueKind <> JsonValueKind.Null then
                    writer.WritePropertyName property.Name
                    writeCanonical writer property.Value
            writer.WriteEndObject()
        | JsonValueKind.Array ->
            writer.WriteStartArray()
            for item in value.EnumerateArray() do
                writeCanonical writer item
            writer.WriteEndArray()
        | _ -> value.WriteTo writer

    /// JSON with sorted keys and without nulls: equal values give equal text.
    let private canonical (value: 'T) =
        let element = JsonSerializer.SerializeToElement(value, compact)
        use stream = new MemoryStream()
        do
            use writer = new Utf8JsonWriter(stream)
            writeCanonical writer element
        stream.ToArray()

    let private shortHash (bytes: byte[]) = (SHA256.HashData bytes |> Convert.ToHexStringLower).Substring(0, 12)

    /// The id of a run: 12 hex digits of the SHA-256 of its resolved configuration and the data's size and kind.
    /// The folder the data lies in is left out: moving data does not make a new run.
    let idOf (settings: RunSettings) (data: DataInfo) =
        Array.append (canonical { settings with Data = None }) (canonical data) |> shortHash

    /// What runs that differ only in their seed have in common.
    let groupKeyOf (settings: RunSettings) (data: DataInfo) = idOf { settings with Seed = 0 } data

    /// The content of config.json for a new run, with its id.
    let describe name (settings: RunSettings) (data: DataInfo) (environment: EnvironmentInfo) : RunFile =
        { Format = Format; Id = idOf settings data; Name = name; Config = settings; Data = data; Environment = environment; Extra = null }

    let toJson (file: RunFile) = JsonSerializer.Serialize(file, pretty) + "\n"

    let epochToJson (epoch: EpochRecord) = JsonSerializer.Serialize(epoch, compactWithoutNulls)

    /// Reads what `epochToJson` wrote.
    let epochOfJson (line: string) : EpochRecord = JsonSerializer.Deserialize<EpochRecord>(line, compact)

    /// Makes ROOT/NAME/ID with its config.json and returns the folder. A folder that already holds a run of this id keeps its epochs.
    let create (root: string) (file: RunFile) =
        let path = folder root file
        writeAtomically (configPath path) (toJson file)
        path

    let private missingField (file: RunFile) =
        let texts =
            if isNull (box file.Config) then [ "config", null ]
            elif isNull (box file.Config.Method) then [ "config.method", null ]
            elif isNull (box file.Data) then [ "data", null ]
            elif isNull (box file.Environment) then [ "environment", null ]
            else
                [ "id", file.Id
                  "name", file.Name
                  "config.dataset", file.Config.Dataset
                  "config.model", file.Config.Model
                  "config.method.name", file.Config.Method.Name ]
        texts |> List.tryPick (fun (field, value) -> if String.IsNullOrEmpty value then Some field else None)

    /// Text fields that are not in the file come out as "", never null.
    let private withoutNulls (file: RunFile) =
        let text (value: string) = if isNull value then "" else value
        let c, m, d, e = file.Config, file.Config.Method, file.Data, file.Environment
        { file with
            Config =
                { c with
                    Method =
                        { m with
                            Title = (if String.IsNullOrEmpty m.Title then m.Name else m.Title)
                            Mix = text m.Mix
                            Perturb = text m.Perturb
                            Combine = text m.Combine }
                    Preset = text c.Preset
                    Augment = text c.Augment
                    Schedule = text c.Schedule
                    Precision = text c.Precision
                    Device = text c.Device }
            Data = { d with Kind = text d.Kind }
            Environment =
                { e with
                    Commit = text e.Commit
                    Libtorch = text e.Libtorch
                    Blas = text e.Blas
                    Cpu = text e.Cpu
                    Os = text e.Os
                    Gmix = text e.Gmix
                    Started = text e.Started } }

    /// Reads config.json of a run's folder. Missing or damaged: GMixInputException with one line that names the file.
    let readConfig (folder: string) : RunFile =
        let path = configPath folder
        let remedy = "remove the run's folder or write the file again"
        let text =
            try File.ReadAllText path
            with
            | :? FileNotFoundException
            | :? DirectoryNotFoundException -> inputError $"{folder} is not a run: it has no config.json"
            | :? IOException
            | :? UnauthorizedAccessException as e -> inputError $"cannot read {path}: {e.Message}"
        let file =
            try JsonSerializer.Deserialize<RunFile>(text, pretty)
            with :? JsonException as e ->
                let where = if String.IsNullOrEmpty e.Path || e.Path = "$" then "" else $" at {e.Path.TrimStart('$').TrimStart('.')}"
                let line = if e.LineNumber.HasValue then $" (line {e.LineNumber.Value + 1L})" else ""
                inputError $"{path} is damaged{where}{line}; {remedy}"
        if isNull (box file) then inputError $"{path} is damaged: it holds no object; {remedy}"
        if file.Format <> Format then
            inputError $"{path} has the format '{file.Format}', this version reads '{Format}'"
        match missingField file with
        | Some field -> inputError $"{path} is damaged: {field} is missing; {remedy}"
        | None -> withoutNulls file

    let private parseEpoch (line: string) =
        try
            match JsonSerializer.Deserialize<EpochRecord>(line, compact) with
            | epoch when isNull (box epoch) || epoch.Epoch < 1 -> Error "it has no epoch number"
            | epoch -> Ok epoch
        with :? JsonException as e -> Error e.Message

    /// Reads epochs.jsonl: the epochs in order, and warnings. A torn last line, as a crash leaves it, is ignored with a warning;
    /// a damaged line before the last is a GMixInputException. An epoch written twice counts as its later line.
    let readEpochs (folder: string) : EpochRecord list * string list =
        let path = epochsPath folder
        if not (File.Exists path) then
            [], []
        else
            // a writer may hold the file open
            use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite ||| FileShare.Delete)
            use reader = new StreamReader(stream)
            let lines = reader.ReadToEnd().Split '\n' |> Array.indexed |> Array.filter (fun (_, line) -> not (String.IsNullOrWhiteSpace line))
            let byNumber = SortedDictionary<int, EpochRecord>()
            let warnings = List<string>()
            for position in 0 .. lines.Length - 1 do
                let index, line = lines[position]
                match parseEpoch line with
                | Ok epoch -> byNumber[epoch.Epoch] <- epoch
                | Error _ when position = lines.Length - 1 ->
                    warnings.Add $"{path}: the last line is torn and was ignored (line {index + 1})"
                | Error what -> inputError $"{path} is damaged at line {index + 1}: {what}"
            List.ofSeq byNumber.Values, List.ofSeq warnings

    /// Appends one finished epoch and flushes it to the disk. A torn last line is closed first, so it cannot swallow the new one.
    let appendEpoch (folder: string) (epoch: EpochRecord) =
        let path = epochsPath folder
        let torn =
            File.Exists path
            && (use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
                stream.Length > 0L
                && (stream.Seek(-1L, SeekOrigin.End) |> ignore
                    stream.ReadByte() <> int '\n'))
        if torn then
            let whole, _ = readEpochs folder
            writeAtomically path (whole |> List.map (fun e -> epochToJson e + "\n") |> String.concat "")
        use stream = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read)
        stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes(epochToJson epoch + "\n")))
        stream.Flush true

    /// Drops every epoch after `lastEpoch` (and a torn line): what a resume from a checkpoint of that epoch needs.
    let truncateAfter (folder: string) (lastEpoch: int) =
        let epochs, warnings = readEpochs folder
        let kept = epochs |> List.filter (fun e -> e.Epoch <= lastEpoch)
        if kept.Length < epochs.Length || not warnings.IsEmpty then
            writeAtomically (epochsPath folder) (kept |> List.map (fun e -> epochToJson e + "\n") |> String.concat "")

    /// Records why a run stopped; it is listed as failed until `clearFailure`.
    let markFailed (folder: string) (reason: string) =
        writeAtomically (failurePath folder) (reason.ReplaceLineEndings(" ").Trim() + "\n")

    let clearFailure (folder: string) = File.Delete(failurePath folder)

    let private stateOf (folder: string) (file: RunFile) (epochs: EpochRecord list) =
        let whole =
            file.Config.Epochs = epochs.Length
            && (List.isEmpty epochs || (List.last epochs).Epoch = file.Config.Epochs)
            && File.Exists(weightsPath folder)
        if whole then RunState.Complete
        elif File.Exists(failurePath folder) then RunState.Failed((File.ReadAllText(failurePath folder)).Trim())
        else RunState.Partial epochs.Length

    /// Reads one run.
    let read (folder: string) : Run =
        let file = readConfig folder
        let epochs, warnings = readEpochs folder
        { Folder = folder; File = file; Epochs = epochs; State = stateOf folder file epochs; Warnings = warnings }

    /// The folders of runs at or below `root` (at most two levels down: runs/NAME/ID), sorted by path.
    let folders (root: string) : string list =
        if not (Directory.Exists root) then inputError $"there is no folder {root}"
        let rec search depth (path: string) =
            if File.Exists(configPath path) then [ path ]
            elif depth = 0 then []
            else
                Directory.GetDirectories path
                |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
                |> List.ofArray
                |> List.collect (search (depth - 1))
        search 2 root

    /// Every run at or below `root`. A damaged config.json stops with a line that names it.
    let list (root: string) : Run list = folders root |> List.map read
