/// docs/theory.md names the test behind every claim: the names have to exist, and every statement has to be there.
module GMix.Theory.Tests.Documentation

open System
open System.IO
open System.Reflection
open System.Text.RegularExpressions
open GMix.Theory.Tests.Checking
open Xunit

/// docs/theory.md, found by walking up from the assembly.
let private document () =
    let rec find (folder: DirectoryInfo) =
        if isNull folder then broken "docs/theory.md was not found above the test assembly"
        else
            let path = Path.Combine(folder.FullName, "docs", "theory.md")
            if File.Exists path then File.ReadAllText path else find folder.Parent
    find (DirectoryInfo AppContext.BaseDirectory)

let private tests =
    Assembly.GetExecutingAssembly().GetTypes()
    |> Seq.collect (fun t -> t.GetMethods(BindingFlags.Public ||| BindingFlags.Static))
    |> Seq.filter (fun m -> not (isNull (m.GetCustomAttribute<FactAttribute>())))
    |> Array.ofSeq

let private kinds = [ Exact; Asymptotic; Counterexample; Statistical ]
let private kindIn (name: string) = kinds |> List.tryFind (fun kind -> name.Contains(kind + ":"))

[<Fact>]
let ``Every statement says which kind it is, in its name and in its trait`` () =
    let wrong =
        [ for test in tests do
            if test.DeclaringType <> MethodBase.GetCurrentMethod().DeclaringType && test.DeclaringType.Name <> "AssemblyTests" then
                let traits = test.GetCustomAttributes<TraitAttribute>() |> Seq.filter (fun t -> t.Name = "kind") |> Seq.map (fun t -> t.Value) |> List.ofSeq
                if traits <> Option.toList (kindIn test.Name) || traits.IsEmpty then test.Name ]
    Assert.Empty wrong

[<Fact>]
let ``docs/theory.md names tests that exist, and all of them`` () =
    // a test is named in backticks by its full name; a quoted name has a kind and a colon
    let named =
        Regex.Matches(document (), "`([^`\n]+)`") |> Seq.map (fun m -> m.Groups[1].Value) |> Seq.filter (fun name -> (kindIn name).IsSome) |> Set.ofSeq
    let existing = tests |> Seq.map (fun t -> t.Name) |> Seq.filter (fun name -> (kindIn name).IsSome) |> Set.ofSeq
    let show names = names |> Seq.map (sprintf "\n  %s") |> String.concat ""
    if not (Set.isSubset named existing) then broken $"docs/theory.md names tests that do not exist:{show (named - existing)}"
    if not (Set.isSubset existing named) then broken $"docs/theory.md does not mention:{show (existing - named)}"
    for statement in [ "L1a"; "L1b"; "L1c"; "L1d"; "T1a"; "T1b"; "T1c"; "T1d"; "A1"; "A2"; "A3"; "T2a"; "T2b"; "T2c"; "T2d"; "T2e"; "T2f"; "Golden"; "Oracle"; "Beta" ] do
        Assert.Contains(named, fun name -> name.StartsWith(statement + " ", StringComparison.Ordinal))
