using System.Buffers.Binary;
using System.Text.Json;

namespace GMix.Torch;

/// <summary>
/// Files of named tensors in the safetensors format: 8 bytes little-endian header length, a JSON header with element type, shape and byte range of
/// each tensor, then the bytes. PyTorch reads and writes the same files.
/// </summary>
public static class SafeTensors
{
    private const int MaxHeader = 100 << 20;

    private static readonly Dictionary<string, DType> TypesByName = new()
    {
        ["U8"] = DType.UInt8, ["I8"] = DType.Int8, ["I16"] = DType.Int16, ["I32"] = DType.Int32, ["I64"] = DType.Int64,
        ["F16"] = DType.Float16, ["BF16"] = DType.BFloat16, ["F32"] = DType.Float32, ["F64"] = DType.Float64, ["BOOL"] = DType.Bool,
    };

    /// <summary>The contents of a file.</summary>
    /// <param name="Tensors">On the host, by name, in file order.</param>
    /// <param name="Metadata">Free text by name.</param>
    public sealed record Contents(IReadOnlyDictionary<string, Tensor> Tensors, IReadOnlyDictionary<string, string> Metadata)
    {
        /// <summary>The tensor of that name.</summary>
        public Tensor this[string name] => Tensors[name];
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="GMixInputException">It is missing, unreadable or not such a file.</exception>
    public static Contents Read(string path)
    {
        byte[] bytes;
        try { bytes = File.ReadAllBytes(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { throw new GMixInputException($"{path}: cannot be read ({e.Message.Split('\n')[0]})", e); }
        if (bytes.Length < 8) throw new GMixInputException($"{path}: {bytes.Length} bytes are too few for a safetensors file");
        var length = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        if (length > MaxHeader || (long)length > bytes.Length - 8) throw new GMixInputException($"{path}: at byte 0, a header of {length} bytes does not fit a file of {bytes.Length}; this is not a safetensors file, or it is cut off");
        var start = 8 + (int)length;
        var tensors = new Dictionary<string, Tensor>();
        var metadata = new Dictionary<string, string>();
        try
        {
            using var header = JsonDocument.Parse(bytes.AsMemory(8, (int)length));
            foreach (var entry in header.RootElement.EnumerateObject())
            {
                if (entry.Name == "__metadata__")
                {
                    foreach (var item in entry.Value.EnumerateObject()) metadata[item.Name] = item.Value.GetString() ?? "";
                    continue;
                }
                var typeName = entry.Value.GetProperty("dtype").GetString() ?? "";
                if (!TypesByName.TryGetValue(typeName, out var type)) throw new GMixInputException($"{path}: tensor {entry.Name} has element type {typeName}, which is not known here");
                long[] shape = [.. entry.Value.GetProperty("shape").EnumerateArray().Select(x => x.GetInt64())];
                var range = entry.Value.GetProperty("data_offsets");
                var (from, to) = (range[0].GetInt64(), range[1].GetInt64());
                if (from < 0 || to < from || to > bytes.Length - start) throw new GMixInputException($"{path}: tensor {entry.Name} lies at bytes {from} to {to}, beyond the {bytes.Length - start} there are; the file is cut off");
                if (shape.Any(d => d < 0) || shape.Aggregate((UInt128)type.Size(), (a, b) => a * (ulong)b) != (ulong)(to - from))
                    throw new GMixInputException($"{path}: tensor {entry.Name} of {typeName} [{string.Join(", ", shape)}] does not fill bytes {from} to {to}");
                tensors[entry.Name] = Tensor.FromBytes(bytes.AsSpan(start + (int)from, (int)(to - from)), type, shape);
            }
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new GMixInputException($"{path}: the header is not that of a safetensors file ({e.Message.Split('\n')[0]})", e);
        }
        return new Contents(tensors, metadata);
    }

    /// <summary>Writes a file: first beside its place under another name, then renamed, so that a crash leaves the old file whole.</summary>
    public static void Write(string path, IEnumerable<(string Name, Tensor Value)> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var items = tensors.Select(t => (t.Name, t.Value, Type: t.Value.DType, t.Value.Shape, Bytes: t.Value.Count * t.Value.DType.Size())).ToArray();
        using var header = new MemoryStream();
        using (var json = new Utf8JsonWriter(header))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach (var (key, value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            var offset = 0L;
            foreach (var item in items)
            {
                json.WriteStartObject(item.Name);
                json.WriteString("dtype", TypesByName.First(t => t.Value == item.Type).Key);
                json.WriteStartArray("shape");
                foreach (var size in item.Shape) json.WriteNumberValue(size);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += item.Bytes);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        // the data starts at a multiple of 8 bytes, as the format asks
        while (header.Length % 8 != 0) header.WriteByte((byte)' ');

        var temporary = $"{path}.{Environment.ProcessId}.tmp";
        try
        {
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write))
            {
                Span<byte> length = stackalloc byte[8];
                BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
                file.Write(length);
                header.WriteTo(file);
                foreach (var item in items)
                {
                    var bytes = new byte[item.Bytes];
                    item.Value.CopyTo(bytes);
                    file.Write(bytes);
                }
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            try { File.Delete(temporary); } catch (IOException) { /* the first failure is the one to report */ }
            throw;
        }
    }
}
