// Sets up, builds, tests and runs GMix.
//
//   dotnet fsi build.fsx                      set up everything and run the main job, `gmix compare`
//   dotnet fsi build.fsx -t Test              set up everything and run all tests
//   dotnet fsi build.fsx -t NAME WORDS...     another target; the words go to its job
//   dotnet fsi build.fsx -- --help            the targets
//
// Each step is skipped when its inputs have not changed since it last succeeded (.cache/stamps). Logs are in .cache/logs.

#r "nuget: Fake.Core.Target, 5.20.3"
#r "nuget: System.Reactive, 5.0.0"
// one directive: a file loaded by two directives is two modules, with two exception types
#load "build/Steps.fsx" "build/Setup.fsx" "build/Tests.fsx"

open System
open System.IO
open Fake.Core
open Fake.Core.TargetOperators
open Steps

let gmix = inRoot "GMix.Experiments/bin/Release/net10.0/gmix"

let targets =
    [ "Quickstart", "build, then train and compare the methods: gmix compare (the default)"
      "Setup", "libtorch, Debian's packages, the C++ shim, NuGet's packages"
      "Build", "Setup, then compile everything"
      "Test", "Build, then run every test"
      "Tables", "Build, then reproduce every table and figure (--scale smoke, cpu or paper)"
      "Bench", "Build, then measure: gmix bench all"
      "Publish", "Build, then a folder that runs without .NET: gmix, and the C++ sources for another machine's libtorch"
      "Lock", "resolve paket.dependencies into paket.lock"
      "Clean", "remove what was built" ]

let usage () =
    printfn "dotnet fsi build.fsx [-t TARGET] [WORDS FOR THE JOB...]"
    for name, what in targets do
        printfn "  %-11s %s" name what

/// The target's name and the words for its job.
let target, words =
    let words = fsi.CommandLineArgs |> List.ofArray |> List.tail
    let job words = match words with "--" :: rest -> rest | _ -> words
    match words with
    | [ "-h" ] | [ "--help" ] ->
        usage ()
        exit 0
    | ("-t" | "--target") :: name :: rest ->
        match targets |> List.tryFind (fun (known, _) -> known.Equals(name, StringComparison.OrdinalIgnoreCase)) with
        | Some(known, _) -> known, job rest
        | None ->
            eprintfn "build.fsx: no target '%s'; there are %s" name (targets |> List.map fst |> String.concat ", ")
            exit 2
    | [ "-t" ] | [ "--target" ] ->
        eprintfn "build.fsx: -t needs a target's name: %s" (targets |> List.map fst |> String.concat ", ")
        exit 2
    | words -> "Quickstart", job words

/// What the last job returned; FAKE itself knows only done and failed.
let mutable exitCode = 0
let mutable failure: exn option = None

Context.setExecutionContext (Context.RuntimeContext.Fake(Context.FakeExecutionContext.Create false "build.fsx" []))
// FAKE's own commentary stays out: the steps speak for themselves. Its opening line goes straight to the console.
CoreTracing.setTraceListeners []
let console = Console.Out

let create name (work: unit -> unit) =
    Target.create name (fun _ ->
        Console.SetOut console
        try
            work ()
        with error ->
            failure <- Some error
            reraise ())

let job program arguments = exitCode <- hand program arguments

create "Setup" (fun () ->
    Setup.systemPackages ()
    Setup.nativeShim ()
    Setup.javaScript ()
    Setup.packages ())

create "Build" (fun () ->
    let sources =
        files [ ".cs"; ".fs"; ".csproj"; ".fsproj"; ".props"; ".targets"; ".slnx"; ".json"; "paket.lock"; "paket.references"; ".editorconfig" ] root
    let assets = [ Setup.shim ] |> List.filter File.Exists
    let beside = Path.GetDirectoryName gmix
    let outputs =
        [ gmix; Path.Combine(beside, "gmix.dll"); Path.Combine(beside, "GMix.Core.dll")
          for project in files [ ".Tests.csproj"; ".Tests.fsproj" ] (inRoot "tests") do
              let name = Path.GetFileNameWithoutExtension project
              inRoot $"tests/{name}/bin/Release/net10.0/{name}.dll" ]
    once "build" (fingerprint [] (sources @ assets)) outputs "unchanged" "compiling" (fun () ->
        run "build" "GMix does not compile" [ "dotnet"; "build"; "GMix.slnx"; "-c"; "Release"; "-v"; "q"; "--nologo" ]
        Setup.nativeImages beside
        "compiled " + relative gmix))

create "Quickstart" (fun () -> job gmix ("compare" :: words))
create "Test" (fun () -> exitCode <- Tests.runAll words)
create "Tables" (fun () -> job "dotnet" ([ "fsi"; "--quiet"; inRoot "GMix.Scripts/tables.fsx" ] @ words))
create "Bench" (fun () -> job gmix ([ "bench"; "all" ] @ words))
create "Lock" Setup.lockPackages

create "Publish" (fun () ->
    let folder =
        match words with
        | [] -> inRoot "publish/gmix-linux-x64"
        | [ folder ] -> Path.GetFullPath folder
        | _ -> stop 2 "Publish takes one word: the folder to write"
    // only a folder that this step wrote may be written over
    if Directory.Exists folder && not (Seq.isEmpty (Directory.EnumerateFileSystemEntries folder)) && not (File.Exists(Path.Combine(folder, "gmix.dll"))) then
        stop 2 $"{folder} is there already and is no published gmix; name another folder"
    step "publish" "publishing" (fun () ->
        if Directory.Exists folder then Directory.Delete(folder, true)
        run "publish" "gmix cannot be published"
            [ "dotnet"; "publish"; inRoot "GMix.Experiments"; "-c"; "Release"; "-r"; "linux-x64"; "--self-contained"; "true"
              "-p:PublishReadyToRun=true"; "-p:DebugType=none"; "-v"; "q"; "--nologo"; "-o"; folder ]
        // the shim of this machine's libtorch is of no use beside another
        File.Delete(Path.Combine(folder, "libgmix_native.so"))
        let native = Directory.CreateDirectory(Path.Combine(folder, "native")).FullName
        for file in files [ ".cpp"; ".h"; ".inl"; "CMakeLists.txt" ] (inRoot "GMix.Core/native") do
            let copy = Path.Combine(native, Path.GetRelativePath(inRoot "GMix.Core/native", file))
            Directory.CreateDirectory(Path.GetDirectoryName copy) |> ignore
            File.Copy(file, copy)
        File.Copy(inRoot "docs/gpu.md", Path.Combine(folder, "gpu.md"))
        for peer in files [ ".py" ] (inRoot "bench") do
            File.Copy(peer, Path.Combine(folder, Path.GetFileName peer))
        let bytes = files [ "" ] folder |> List.sumBy (fun file -> FileInfo(file).Length)
        $"{folder} ({bytes >>> 20} MiB)"))

create "Clean" (fun () ->
    step "clean" "removing" (fun () ->
        let built =
            [ inRoot "GMix.Core/native/build"; cache; inRoot ".paket"; inRoot "paket-files"
              for project in files [ ".csproj"; ".fsproj" ] root do
                  for folder in [ "bin"; "obj" ] do
                      Path.Combine(Path.GetDirectoryName project, folder) ]
            |> List.filter Directory.Exists
        for folder in built do
            Directory.Delete(folder, true)
        $"{built.Length} folders removed"))

"Setup" ==> "Build" |> ignore
for name in [ "Quickstart"; "Test"; "Tables"; "Bench"; "Publish" ] do
    "Build" ==> name |> ignore

try
    Console.SetOut TextWriter.Null
    Target.run 1 target []
with error ->
    match failure with
    | Some(Stop(line, detail, code)) ->
        for text in detail do
            eprintfn "    %s" text
        eprintfn "build.fsx: %s" line
        exitCode <- code
    | other ->
        let error = defaultArg other error
        eprintfn "build.fsx: %s" (error.GetBaseException().Message.Split('\n')[0])
        exitCode <- 1

exit exitCode
