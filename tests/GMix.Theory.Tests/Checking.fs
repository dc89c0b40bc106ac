/// How a statement of the theory is checked: over generated cases, with a seed that is printed and can be replayed.
module GMix.Theory.Tests.Checking

open System
open System.Globalization
open System.Runtime.CompilerServices
open FsCheck
open FsCheck.FSharp
open Xunit

/// GMIX_TEST_LONG=1: twenty times as many cases.
let longMode = Environment.GetEnvironmentVariable "GMIX_TEST_LONG" = "1"

/// A line in the test's own output.
let say (line: string) =
    match TestContext.Current.TestOutputHelper with
    | null -> Console.WriteLine line
    | output -> output.WriteLine line

/// The replay that GMIX_REPLAY=seed,gamma[,size] asks for.
let private asked () =
    match Environment.GetEnvironmentVariable "GMIX_REPLAY" with
    | null | "" -> None
    | text ->
        let parts = text.Split ','
        let seed i = UInt64.Parse(parts[i], CultureInfo.InvariantCulture)
        if parts.Length < 2 then invalidOp $"GMIX_REPLAY={text}: expected seed,gamma or seed,gamma,size"
        let size = if parts.Length > 2 then Some(int parts[2]) else None
        Some { Rnd = Rnd(seed 0, seed 1); Size = size }

/// The four kinds of statements.
[<Literal>]
let Exact = "EXACT"
[<Literal>]
let Asymptotic = "ASYMPTOTIC"
[<Literal>]
let Counterexample = "COUNTEREXAMPLE"
[<Literal>]
let Statistical = "STATISTICAL"

/// What FsCheck found, with the case as it was generated and as it was shrunk.
exception Refuted of line: string * found: obj list

let private runner (test: string) =
    { new IRunner with
        member _.OnStartFixture _ = ()
        member _.OnArguments(_, _, _) = ()
        member _.OnShrink(_, _) = ()
        member _.OnFinished(_, result) =
            match result with
            | FsCheck.TestResult.Passed(data, _) -> say $"{data.NumberOfTests} cases hold"
            | FsCheck.TestResult.Exhausted data -> failwith $"{test}: only {data.NumberOfTests} cases met the condition"
            | FsCheck.TestResult.Failed(data, original, shrunk, outcome, _, last, size) ->
                let why =
                    match outcome with
                    | Outcome.Failed error -> error.Message
                    | other -> $"%A{other}"
                let show (arguments: obj list) = arguments |> List.map (sprintf "%A") |> String.concat "\n"
                let lines =
                    [ $"{test} is false after {data.NumberOfTests} cases: {why}"
                      $"case: {show original}"
                      $"shrunk {data.NumberOfShrinks} times: {show shrunk}"
                      $"replay: GMIX_REPLAY={last.Seed},{last.Gamma},{size} dotnet run -c Release --project tests/GMix.Theory.Tests -- -method '*{test}'" ]
                raise (Refuted(String.concat "\n" lines, shrunk)) }

let private configured test cases replay =
    Config.Quick.WithMaxTest(cases).WithRunner(runner test).WithReplay(replay).WithQuietOnSuccess true

type Property =
    /// Holds `statement` to every generated case; it throws where it is broken. The kind is part of the calling test's name.
    static member Check(cases: Arbitrary<'case>, statement: 'case -> unit, ?count: int, [<CallerMemberName>] ?test: string) =
        let test = defaultArg test ""
        let replay = asked () |> Option.defaultWith (fun () -> { Rnd = Rnd(uint64 (Random.Shared.NextInt64())); Size = None })
        say $"seed {replay.Rnd.Seed},{replay.Rnd.Gamma}"
        let count = defaultArg count 60 * (if longMode then 20 else 1)
        try
            Check.One(configured test count (Some replay), Prop.forAll cases statement)
        with Refuted(line, _) ->
            say line
            Assert.Fail line

    /// Looks for a case that breaks a statement which is not a theorem, always from the same seed, and returns it shrunk.
    static member Search(cases: Arbitrary<'case>, statement: 'case -> unit, ?count: int, [<CallerMemberName>] ?test: string) : 'case option =
        let test = defaultArg test ""
        let replay = asked () |> Option.defaultValue { Rnd = Rnd(2308UL, 3237UL); Size = None }
        try
            Check.One(configured test (defaultArg count 2000) (Some replay), Prop.forAll cases statement)
            None
        with Refuted(line, found) ->
            say line
            Some(unbox<'case> found.Head)

/// Fails with the numbers.
let broken text = raise (Xunit.Sdk.XunitException text)

let private tiny = 1e-300

/// |a − b| at most `tolerance` relative to the larger magnitude, or to `scale` where the values are differences of larger ones.
let near (tolerance: float) (scale: float) (what: string) (a: float) (b: float) =
    let size = max scale (max (abs a) (abs b)) + tiny
    if not (abs (a - b) <= tolerance * size) then broken $"{what}: {a:R} and {b:R} differ by {abs (a - b) / size:G3} relative, allowed {tolerance:G3}"

/// The same for vectors, relative to their Euclidean norm.
let nearVector (tolerance: float) (scale: float) (what: string) (a: float[]) (b: float[]) =
    if a.Length <> b.Length then broken $"{what}: lengths {a.Length} and {b.Length}"
    let norm (v: float[]) = sqrt (Array.sumBy (fun x -> x * x) v)
    let size = max scale (max (norm a) (norm b)) + tiny
    let error = norm (Array.map2 (-) a b)
    if not (error <= tolerance * size) then broken $"{what}: differ by {error / size:G3} relative, allowed {tolerance:G3}"

/// Watches a bound left ≤ right: every case must keep it, and the largest left / right says how tight it is.
type Bound(name: string) =
    let mutable largest = 0.0
    /// The largest ratio so far.
    member _.Ratio = largest
    /// `noise` is the rounding error of the left side, in its own units.
    member _.Hold(left: float, right: float, noise: float) =
        if not (left <= right * (1.0 + 1e-10) + noise) then broken $"{name}: {left:R} is above the bound {right:R}"
        if right > 1e6 * noise && right > 1e-9 then largest <- max largest (left / right)
    /// Asserts that the bound is not vacuous: some case came within 50 % of the constant.
    member bound.IsTight(?atLeast: float) =
        let atLeast = defaultArg atLeast 0.5
        say $"{name}: largest ratio {bound.Ratio:F6}"
        if bound.Ratio < atLeast then broken $"{name} is loose: no case comes above {bound.Ratio:F3} of the bound"
