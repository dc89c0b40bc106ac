namespace GMix.Torch;

public sealed partial class Tensor
{
    private static readonly Operator OpAdd = Operator.Find("aten::add", "Tensor"), OpAddScalar = Operator.Find("aten::add", "Scalar"), OpAddIn = Operator.Find("aten::add_", "Tensor"), OpAddScalarIn = Operator.Find("aten::add_", "Scalar"),
        OpSub = Operator.Find("aten::sub", "Tensor"), OpMul = Operator.Find("aten::mul", "Tensor"), OpMulScalar = Operator.Find("aten::mul", "Scalar"), OpMulIn = Operator.Find("aten::mul_", "Tensor"), OpMulScalarIn = Operator.Find("aten::mul_", "Scalar"),
        OpDiv = Operator.Find("aten::div", "Tensor"), OpDivScalar = Operator.Find("aten::div", "Scalar"), OpNeg = Operator.Find("aten::neg"), OpAbs = Operator.Find("aten::abs"), OpSqrt = Operator.Find("aten::sqrt"),
        OpExp = Operator.Find("aten::exp"), OpLog = Operator.Find("aten::log"), OpPow = Operator.Find("aten::pow", "Tensor_Scalar"), OpClamp = Operator.Find("aten::clamp"), OpRsub = Operator.Find("aten::rsub", "Scalar"),
        OpSum = Operator.Find("aten::sum"), OpSumDims = Operator.Find("aten::sum", "dim_IntList"), OpMean = Operator.Find("aten::mean"), OpMeanDims = Operator.Find("aten::mean", "dim"), OpMax = Operator.Find("aten::max"), OpMin = Operator.Find("aten::min"),
        OpMaxDim = Operator.Find("aten::max", "dim"), OpArgMax = Operator.Find("aten::argmax"), OpNorm = Operator.Find("aten::linalg_vector_norm"), OpMatMul = Operator.Find("aten::matmul"), OpMaximum = Operator.Find("aten::maximum"),
        OpEq = Operator.Find("aten::eq", "Tensor"), OpEqScalar = Operator.Find("aten::eq", "Scalar"), OpGtScalar = Operator.Find("aten::gt", "Scalar"), OpLtScalar = Operator.Find("aten::lt", "Scalar"), OpGt = Operator.Find("aten::gt", "Tensor"), OpOr = Operator.Find("aten::logical_or"), OpNot = Operator.Find("aten::logical_not"),
        OpAnd = Operator.Find("aten::logical_and"), OpWhere = Operator.Find("aten::where", "self"), OpIsFinite = Operator.Find("aten::isfinite"), OpAll = Operator.Find("aten::all"), OpMaskedFill = Operator.Find("aten::masked_fill", "Scalar"),
        OpLerp = Operator.Find("aten::lerp", "Scalar"), OpSign = Operator.Find("aten::sign"), OpReciprocal = Operator.Find("aten::reciprocal");

    public static Tensor operator +(Tensor a, Tensor b) => OpAdd.Call(a, b);
    public static Tensor operator +(Tensor a, double b) => OpAddScalar.Call(a, b);
    public static Tensor operator -(Tensor a, Tensor b) => OpSub.Call(a, b);
    public static Tensor operator -(Tensor a, double b) => OpAddScalar.Call(a, -b);
    public static Tensor operator -(double a, Tensor b) => OpRsub.Call(b, a);
    public static Tensor operator -(Tensor a) => OpNeg.Call(a);
    public static Tensor operator *(Tensor a, Tensor b) => OpMul.Call(a, b);
    public static Tensor operator *(Tensor a, double b) => OpMulScalar.Call(a, b);
    public static Tensor operator *(double a, Tensor b) => OpMulScalar.Call(b, a);
    public static Tensor operator /(Tensor a, Tensor b) => OpDiv.Call(a, b);
    public static Tensor operator /(double a, Tensor b) => OpMulScalar.Call(OpReciprocal.Call(b), a);
    public static Tensor operator /(Tensor a, double b) => OpDivScalar.Call(a, b);

    /// <summary>this + alpha · other.</summary>
    public Tensor Add(Tensor other, double alpha) => OpAdd.Call(this, other, alpha);

    /// <summary>this += alpha · other, in place.</summary>
    public Tensor AddInPlace(Tensor other, double alpha = 1)
    {
        OpAddIn.Run(this, other, alpha);
        return this;
    }

    /// <summary>this += value, in place.</summary>
    public Tensor AddInPlace(long value)
    {
        OpAddScalarIn.Run(this, value);
        return this;
    }

    /// <summary>this ·= factor, in place.</summary>
    public Tensor MultiplyInPlace(double factor)
    {
        OpMulScalarIn.Run(this, factor);
        return this;
    }

    /// <summary>this ·= factor, in place; the factor broadcasts.</summary>
    public Tensor MultiplyInPlace(Tensor factor)
    {
        OpMulIn.Run(this, factor);
        return this;
    }

    /// <summary>Absolute values.</summary>
    public Tensor Abs() => OpAbs.Call(this);
    /// <summary>Square roots.</summary>
    public Tensor Sqrt() => OpSqrt.Call(this);
    /// <summary>e to the power of each element.</summary>
    public Tensor Exp() => OpExp.Call(this);
    /// <summary>Natural logarithms.</summary>
    public Tensor Log() => OpLog.Call(this);
    /// <summary>−1, 0 or 1.</summary>
    public Tensor Sign() => OpSign.Call(this);
    /// <summary>Each element to a power.</summary>
    public Tensor Pow(double exponent) => OpPow.Call(this, exponent);
    /// <summary>Elements limited to [low, high].</summary>
    public Tensor Clamp(double low, double high) => OpClamp.Call(this, low, high);
    /// <summary>Elements of whole numbers limited to [low, high].</summary>
    public Tensor ClampWhole(long low, long high) => OpClamp.Call(this, low, high);
    /// <summary>The larger of two elements.</summary>
    public Tensor Maximum(Tensor other) => OpMaximum.Call(this, other);

    /// <summary>The sum of all elements, accumulated in <paramref name="type"/> where given.</summary>
    public Tensor Sum(DType? type = null) => OpSum.Call(this, type is { } t ? t : Arg.None);
    /// <summary>Sums over some dimensions.</summary>
    public Tensor Sum(long[] dimensions, bool keep = false, DType? type = null) => OpSumDims.Call(this, dimensions, keep, type is { } t ? t : Arg.None);
    /// <summary>The mean of all elements.</summary>
    public Tensor Mean(DType? type = null) => OpMean.Call(this, type is { } t ? t : Arg.None);
    /// <summary>Means over some dimensions.</summary>
    public Tensor Mean(long[] dimensions, bool keep = false) => OpMeanDims.Call(this, dimensions, keep);
    /// <summary>The largest element.</summary>
    public Tensor Max() => OpMax.Call(this);
    /// <summary>The smallest element.</summary>
    public Tensor Min() => OpMin.Call(this);

    /// <summary>The largest element along a dimension and its index (the first on ties).</summary>
    public (Tensor Values, Tensor Indices) Max(int dimension)
    {
        var r = OpMaxDim.CallMany(2, this, dimension);
        return (r[0]!, r[1]!);
    }

    /// <summary>The index of the largest element along a dimension.</summary>
    public Tensor ArgMax(int dimension) => OpArgMax.Call(this, dimension);

    /// <summary>The Euclidean norm of all elements, accumulated in float64, as a float64 scalar.</summary>
    public Tensor Norm() => OpNorm.Call(this, 2.0, Arg.None, false, DType.Float64);

    /// <summary>The inner product with a tensor of the same shape, accumulated in float64, as a float64 scalar.</summary>
    public Tensor Dot(Tensor other) => OpSum.Call(DType == DType.Float64 ? this * other : To(DType.Float64) * other, DType.Float64);

    /// <summary>Matrix product.</summary>
    public Tensor MatMul(Tensor other) => OpMatMul.Call(this, other);
    /// <summary>this + weight · (end − this).</summary>
    public Tensor Lerp(Tensor end, double weight) => OpLerp.Call(this, end, weight);

    /// <summary>Where elements are equal.</summary>
    public Tensor Eq(Tensor other) => OpEq.Call(this, other);
    /// <summary>Where elements equal a number.</summary>
    public Tensor Eq(double value) => OpEqScalar.Call(this, value);
    /// <summary>Where elements are larger.</summary>
    public Tensor Gt(Tensor other) => OpGt.Call(this, other);
    /// <summary>Where elements are above a number.</summary>
    public Tensor Gt(double value) => OpGtScalar.Call(this, value);
    /// <summary>Where elements are below a number.</summary>
    public Tensor Lt(double value) => OpLtScalar.Call(this, value);
    /// <summary>Logical or.</summary>
    public Tensor Or(Tensor other) => OpOr.Call(this, other);
    /// <summary>Logical and.</summary>
    public Tensor And(Tensor other) => OpAnd.Call(this, other);
    /// <summary>Logical not.</summary>
    public Tensor Not() => OpNot.Call(this);
    /// <summary>Elements of <paramref name="yes"/> where this is true, else of <paramref name="no"/>.</summary>
    public Tensor Where(Tensor yes, Tensor no) => OpWhere.Call(this, yes, no);
    /// <summary>A copy with <paramref name="value"/> where the mask is true.</summary>
    public Tensor MaskedFill(Tensor mask, double value) => OpMaskedFill.Call(this, mask, value);
    /// <summary>Whether every element is finite, as a boolean scalar.</summary>
    public Tensor AllFinite() => OpAll.Call(OpIsFinite.Call(this));
}
