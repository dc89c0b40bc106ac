using GMix.Data;
using GMix.Training;
using Xunit;

namespace GMix.Core.Tests.Diagnostics;

public class ImageSheetTests
{
    [Fact]
    public void PicturesStandInRowsWithTheirShareBelow()
    {
        byte[] Plain(byte value) => [.. Enumerable.Repeat(value, 3 * 2 * 4)];
        var png = ImageSheet.Png([Plain(10), Plain(20), Plain(30)], 3, 2, 4, [1, 0.5, 0], 2, 2);
        var (width, height) = ImageCodec.Size(png, "sheet");
        // two columns of 8 + 4 and a rim of 4; two rows of 4 + 4 + 4 + 4 and a rim of 4
        Assert.Equal((28, 36), (width, height));
        var planes = new byte[3 * width * height];
        ImageCodec.Decode(png, planes, width, height, "sheet");
        byte At(int plane, int y, int x) => planes[(plane * height + y) * width + x];
        for (var plane = 0; plane < 3; plane++)
        {
            Assert.Equal((10, 20, 30, 255), (At(plane, 4, 4), At(plane, 7, 16), At(plane, 20, 4), At(plane, 20, 16)));
            // the bars: full, half, empty
            Assert.Equal((60, 60, 60, 210, 210), (At(plane, 11, 4), At(plane, 11, 11), At(plane, 11, 19), At(plane, 11, 20), At(plane, 27, 4)));
        }
    }

    [Fact]
    public void OneChannelIsGrey()
    {
        var png = ImageSheet.Png([[0, 50, 100, 150]], 1, 2, 2, [1], 3, 1);
        var (width, height) = ImageCodec.Size(png, "sheet");
        var planes = new byte[3 * width * height];
        ImageCodec.Decode(png, planes, width, height, "sheet");
        Assert.Equal((0, 150), (planes[4 * width + 4], planes[5 * width + 5]));
    }

    [Fact]
    public void WhatDoesNotFitIsRefused() => Assert.Throws<ArgumentException>(() => ImageSheet.Png([[1, 2, 3]], 1, 2, 2, [1], 1));
}
