module GMix.Theory.Tests.AssemblyTests

open FsCheck.FSharp
open GMix.Theory.Tests.Checking
open Xunit

[<Fact>]
let ``the engine stands alone: GMix.Core references nothing but the base library`` () =
    let foreign =
        typeof<GMix.GMixInputException>.Assembly.GetReferencedAssemblies()
        |> Array.map (fun name -> name.Name)
        |> Array.filter (fun name -> not (name.StartsWith "System." || name = "netstandard" || name = "mscorlib"))
    Assert.Empty foreign

let private numbers = Arb.fromGenShrink (Gen.choose (0, 1000), fun n -> Seq.init (min n 5) (fun k -> n - k - 1))

[<Fact>]
let ``a statement that is false fails with the shrunk case and how to replay it`` () =
    let failure = Assert.Throws<Xunit.Sdk.FailException>(fun () -> Property.Check(numbers, fun n -> if n > 17 then broken $"{n} is above 17"))
    Assert.Contains("18 is above 17", failure.Message)
    Assert.Contains("replay: GMIX_REPLAY=", failure.Message)
    Assert.Equal(Some 18, Property.Search(numbers, fun n -> if n > 17 then broken "above"))
    Assert.Equal(None, Property.Search(numbers, ignore))

[<Fact>]
let ``a bound that is broken or loose fails`` () =
    Assert.Throws<Xunit.Sdk.XunitException>(fun () -> Bound("broken").Hold(1.001, 1.0, 0.0)) |> ignore
    let loose = Bound "loose"
    loose.Hold(0.4, 1.0, 0.0)
    Assert.Throws<Xunit.Sdk.XunitException>(fun () -> loose.IsTight()) |> ignore
