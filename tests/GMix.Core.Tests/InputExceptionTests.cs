using Xunit;

namespace GMix.Core.Tests;

public class InputExceptionTests
{
    [Fact]
    public void Message_is_the_line_the_user_reads()
    {
        const string line = "--rho must be at least 0, got -0.1";
        var inner = new FormatException("inner");
        Assert.Equal(line, new GMixInputException(line).Message);
        var wrapped = new GMixInputException(line, inner);
        Assert.Equal(line, wrapped.Message);
        Assert.Same(inner, wrapped.InnerException);
    }
}
