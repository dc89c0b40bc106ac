namespace GMix;

/// <summary>
/// The user's input is wrong: a flag, a file, a configuration. The message is one line that says what is wrong, where, and what to do.
/// The <c>gmix</c> command prints it and exits with code 2.
/// </summary>
public class GMixInputException : Exception
{
    /// <param name="message">One line: what is wrong, where, and what to do.</param>
    public GMixInputException(string message) : base(message) { }

    /// <param name="message">One line: what is wrong, where, and what to do.</param>
    /// <param name="inner">The failure underneath.</param>
    public GMixInputException(string message, Exception inner) : base(message, inner) { }
}
