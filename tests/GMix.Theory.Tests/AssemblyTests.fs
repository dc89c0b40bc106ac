module GMix.Theory.Tests.AssemblyTests

open Xunit

[<Fact>]
let ``the engine stands alone: GMix.Core references nothing but the base library`` () =
    let foreign =
        typeof<GMix.GMixInputException>.Assembly.GetReferencedAssemblies()
        |> Array.map (fun name -> name.Name)
        |> Array.filter (fun name -> not (name.StartsWith "System." || name = "netstandard" || name = "mscorlib"))
    Assert.Empty foreign
