module GMix.Experiments.Tests.AssemblyTests

open System.IO
open System.Reflection
open Xunit

[<Fact>]
let ``the command is an assembly named gmix that references GMix.Core`` () =
    let here = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location)
    let gmix = Assembly.LoadFrom(Path.Combine(here, "gmix.dll"))
    Assert.Equal("gmix", gmix.GetName().Name)
    Assert.NotNull gmix.EntryPoint
    Assert.Contains(gmix.GetReferencedAssemblies(), fun name -> name.Name = "GMix.Core")
