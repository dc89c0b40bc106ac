namespace GMix.Data;

/// <summary>
/// A data file is not what its format says: truncated, of the wrong size, damaged, or hostile.
/// The message is one line that names the file and, where there is one, the byte at which reading stopped making sense.
/// </summary>
public sealed class DataFormatException : GMixInputException
{
    /// <param name="file">The file, or <c>archive!member</c>.</param>
    /// <param name="offset">Byte offset in that file, from 0; negative where no single byte is to blame.</param>
    /// <param name="problem">What is wrong and what to do, without the file's name.</param>
    /// <param name="inner">The failure underneath, if any.</param>
    public DataFormatException(string file, long offset, string problem, Exception? inner = null)
        : base(Compose(file, offset, problem), inner!)
    {
        File = Printable(file);
        Offset = offset;
    }

    /// <summary>The file that is wrong, or <c>archive!member</c>.</summary>
    public string File { get; }

    /// <summary>Byte offset of the problem in <see cref="File"/>; -1 where no single byte is to blame.</summary>
    public long Offset { get; }

    private static string Compose(string file, long offset, string problem)
    {
        // Control characters come from hostile names and texts; the contract is one line.
        string where = offset >= 0 ? FormattableString.Invariant($"{file}, byte {offset}") : file;
        return Printable($"{where}: {problem}");
    }

    /// <summary>The text on one line: control characters become <c>?</c>.</summary>
    internal static string Printable(string text) =>
        string.Create(text.Length, text, static (span, source) =>
        {
            for (int i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(source[i]) ? '?' : source[i];
            }
        });
}
