/// What must be there before GMix can be built: libtorch, Debian's packages, the C++ shim, plotly.js, NuGet's packages.
module Setup

#load "Steps.fsx"

open System
open System.IO
open System.Runtime.InteropServices
open System.Security.Cryptography
open System.Text.RegularExpressions
open Steps

// --- libtorch -----------------------------------------------------------------------------------------------------------

/// `Folder` is "" for the system's libtorch (Debian's libtorch-dev).
type Libtorch = { Folder: string; Origin: string; Version: string; Cuda: bool }

let private systemLibraries =
    let machine = match RuntimeInformation.ProcessArchitecture with Architecture.Arm64 -> "aarch64" | _ -> "x86_64"
    [ $"/usr/lib/{machine}-linux-gnu"; "/usr/lib64"; "/usr/lib"; "/usr/local/lib" ]

let private systemHas (file: string) = systemLibraries |> List.exists (fun folder -> File.Exists(Path.Combine(folder, file)))
let private header (file: string) = File.Exists("/usr/include/" + file) || File.Exists("/usr/local/include/" + file)

let private version (includes: string) =
    // 2.9 moved the numbers to a file of their own
    let text =
        [ "torch/headeronly/version.h"; "torch/csrc/api/include/torch/version.h"; "torch/version.h" ]
        |> List.map (fun file -> Path.Combine(includes, file))
        |> List.tryFind File.Exists
        |> Option.map File.ReadAllText
        |> Option.defaultValue ""
    let part name =
        let found = Regex.Match(text, $@"#define TORCH_VERSION_{name}\s+(\d+)")
        if found.Success then found.Groups[1].Value else "?"
    String.Join(".", [ part "MAJOR"; part "MINOR"; part "PATCH" ])

let private isLibtorch folder =
    File.Exists(Path.Combine(folder, "lib/libtorch_cpu.so")) && File.Exists(Path.Combine(folder, "include/ATen/ATen.h"))

let private inFolder origin folder =
    { Folder = folder
      Origin = origin
      Version = version (Path.Combine(folder, "include"))
      Cuda = File.Exists(Path.Combine(folder, "lib/libtorch_cuda.so")) }

let private systemLibtorch () =
    { Folder = ""; Origin = "the system's"; Version = version "/usr/include"; Cuda = systemHas "libtorch_cuda.so" }

/// The folder of the PyTorch that python3 would import, without importing it.
let private pythonTorch () =
    if not (isOnPath "python3") then None
    else
        let question = "import importlib.util as u; s = u.find_spec('torch'); print((s.submodule_search_locations or [''])[0] if s else '')"
        match ask "python3" [ "-c"; question ] with
        | "" -> None
        | folder when isLibtorch folder -> Some folder
        | _ -> None

/// The first of LIBTORCH, python3's PyTorch, the system's.
let chooseLibtorch () =
    match Environment.GetEnvironmentVariable "LIBTORCH" |> Option.ofObj |> Option.defaultValue "" with
    | "" ->
        match pythonTorch () with
        | Some folder -> inFolder "the PyTorch of python3" folder
        | None -> systemLibtorch ()
    | folder when isLibtorch folder -> inFolder "LIBTORCH" (Path.GetFullPath folder)
    | folder -> stop 2 $"LIBTORCH={folder} is no libtorch: expected lib/libtorch_cpu.so and include/ATen/ATen.h in it"

// --- Debian's packages ----------------------------------------------------------------------------------------------------

let private blas () =
    systemLibraries
    |> List.map (fun folder -> Path.Combine(folder, "libblas.so.3"))
    |> List.tryFind File.Exists
    |> Option.map (fun file -> ask "readlink" [ "-f"; file ])

let private isRealBlas (path: string) =
    [ "openblas"; "blis"; "atlas"; "mkl" ] |> List.exists (fun name -> path.Contains(name, StringComparison.OrdinalIgnoreCase))

let private missingPackages (libtorch: Libtorch) =
    [ if not (isOnPath "cmake") then "cmake"
      if not (isOnPath "g++" || isOnPath "c++") then "g++"
      if not (isOnPath "make") then "make"
      if not (header "turbojpeg.h") then "libturbojpeg0-dev"
      if not (header "png.h") then "libpng-dev"
      if libtorch.Folder = "" then
          if not (header "ATen/ATen.h" && systemHas "libtorch_cpu.so") then "libtorch-dev"
          if not (blas () |> Option.exists isRealBlas) then "libopenblas0-pthread" ]

let private isRoot () = ask "id" [ "-u" ] = "0"
let private mayInstall () = isOnPath "apt-get" && (isRoot () || (isOnPath "sudo" && fst (tryRun "sudo" [ "sudo"; "-n"; "true" ]) = 0))
let private asRoot command = if isRoot () then command else [ "sudo"; "-n"; "env"; "DEBIAN_FRONTEND=noninteractive" ] @ command

let private install packages =
    run "apt-update" "apt-get update failed" (asRoot [ "apt-get"; "update" ])
    run "apt-install" "apt-get install failed" (asRoot ([ "apt-get"; "install"; "-y"; "--no-install-recommends" ] @ packages))

/// Installs what is missing where this user may; else says what to run.
let systemPackages () =
    let libtorch = chooseLibtorch ()
    match missingPackages libtorch with
    | [] -> ()
    // nothing but the fast BLAS is missing, and it cannot be installed: slow, yet it works
    | [ "libopenblas0-pthread" ] when not (mayInstall ()) ->
        warn "only the reference BLAS is here: matrix products are about 30 times slower than with"
        warn "OpenBLAS. To get it: sudo apt-get install -y libopenblas0-pthread"
    | missing when mayInstall () ->
        let names = String.Join(" ", missing)
        step "system" ("installing " + names) (fun () ->
            install missing
            match missingPackages libtorch with
            | [] -> $"{missing.Length} of Debian's packages installed: " + names
            | left -> stop 2 ("still missing after the installation: " + String.Join(" ", left)))
    | missing ->
        let names = String.Join(" ", missing)
        stop 2 $"missing: {names}\n  run:  sudo apt-get update && sudo apt-get install -y --no-install-recommends {names}"

let describe (libtorch: Libtorch) =
    let kind = if libtorch.Cuda then "CUDA" else "CPU"
    let blas = if libtorch.Folder = "" then (match blas () with Some path when isRealBlas path -> "" | _ -> ", reference BLAS") else ""
    $"{libtorch.Version} {kind}, {libtorch.Origin}{blas}"

// --- the C++ shim -----------------------------------------------------------------------------------------------------------

let shim = inRoot "GMix.Core/native/build/libgmix_native.so"

let nativeShim () =
    let libtorch = chooseLibtorch ()
    step "libtorch" "looking" (fun () -> describe libtorch)
    let folder = inRoot "GMix.Core/native"
    let sources = files [ ".cpp"; ".h"; ".hpp"; ".inl"; "CMakeLists.txt" ] folder
    if sources |> List.exists (fun file -> file.EndsWith ".cpp") then
        let choice = [ libtorch.Folder; libtorch.Version; string libtorch.Cuda ]
        let made = inRoot "GMix.Core/native/build"
        once "native" (fingerprint choice sources) [ shim ] "unchanged" "compiling the C++ shim" (fun () ->
            // a build folder of another libtorch (or of another checkout) is no use
            let chosen = Path.Combine(made, "libtorch.txt")
            let about = String.Join("\n", folder :: choice)
            if Directory.Exists made && not (File.Exists chosen && File.ReadAllText chosen = about) then Directory.Delete(made, true)
            Directory.CreateDirectory made |> ignore
            File.WriteAllText(chosen, about)
            run "native-configure" "CMake found no way to build the C++ shim"
                [ "cmake"; "-S"; folder; "-B"; made; "-DCMAKE_BUILD_TYPE=Release"; "-DGMIX_LIBTORCH=" + libtorch.Folder ]
            // about 2 GiB for one compiler on libtorch's headers
            let memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (2L <<< 30)
            let jobs = max 1 (min Environment.ProcessorCount (int memory))
            run "native-build" "the C++ shim does not compile" [ "cmake"; "--build"; made; "--parallel"; string jobs ]
            "compiled " + relative shim)

// --- plotly.js ----------------------------------------------------------------------------------------------------------------

let private plotlyPackage = "plotly.js-cartesian-dist-min"
let private plotlyVersion = "2.35.3"
let private plotlySha512 = "Bs3rf3VJrDgGBE5qBDpXtfBANzLeHLMOm4WGBaa++MRwQS+xuGKGv+IQYndBAOn1ZDFKabJfMz5UVVpjHX87pw=="
let plotly = inCache "js/plotly.min.js"

let private fromNpm (folder: string) =
    let code, _ =
        tryRun "plotly-npm" [ "npm"; "pack"; $"{plotlyPackage}@{plotlyVersion}"; "--pack-destination"; folder; "--silent" ]
    let archive = Path.Combine(folder, $"{plotlyPackage}-{plotlyVersion}.tgz")
    if code <> 0 || not (File.Exists archive) then None
    else
        let sha = Convert.ToBase64String(SHA512.HashData(File.ReadAllBytes archive))
        if sha <> plotlySha512 then stop 1 $"{plotlyPackage} {plotlyVersion} from npm is not the file that build/Setup.fsx expects: its SHA-512 is {sha}"
        run "plotly-tar" "the npm package of plotly.js does not unpack" [ "tar"; "-xzf"; archive; "-C"; folder ]
        Some(Path.Combine(folder, "package/plotly-cartesian.min.js"), $"{plotlyVersion} from npm")

let private fromDebian (folder: string) =
    let package = "python3-plotly"
    let download () = fst (tryRun "plotly-apt" [ "sh"; "-c"; $"cd '{folder}' && apt-get download {package}" ]) = 0
    let got = isOnPath "apt-get" && (download () || (mayInstall () && fst (tryRun "apt-update" (asRoot [ "apt-get"; "update" ])) = 0 && download ()))
    match (if got then Directory.GetFiles(folder, "*.deb") else [||]) with
    | [||] -> None
    | debs ->
        run "plotly-dpkg" $"Debian's {package} does not unpack" [ "dpkg-deb"; "-x"; debs[0]; folder ]
        Directory.GetFiles(folder, "plotly.js", SearchOption.AllDirectories)
        |> Array.tryHead
        |> Option.map (fun file -> file, $"from Debian's {package}")

/// plotly.js for the reports, kept in .cache so that reports need no network; without it the build goes on.
let javaScript () =
    if not (File.Exists plotly) then
        step "plotly.js" "fetching" (fun () ->
            let folder = inCache "js/download"
            if Directory.Exists folder then Directory.Delete(folder, true)
            Directory.CreateDirectory folder |> ignore
            let found = (if isOnPath "npm" then fromNpm folder else None) |> Option.orElseWith (fun () -> fromDebian folder)
            match found with
            | Some(file, origin) ->
                File.Copy(file, plotly, true)
                Directory.Delete(folder, true)
                origin
            | None -> $"neither npm nor Debian has it; put plotly.min.js at {relative plotly}")
        if not (File.Exists plotly) then warn "without plotly.js the reports have tables but no curves; the next build tries again"

// --- packages -------------------------------------------------------------------------------------------------------------------

/// Has NuGet fetch packages into its folder, through a project that is only that: `references` are the items of it.
let private tryPrime name (references: string list) =
    let folder = inCache name
    Directory.CreateDirectory folder |> ignore
    // cut off from the repository's own build settings and from Paket's targets
    for name in [ "Directory.Build.props"; "Directory.Build.targets"; "Directory.Packages.props" ] do
        File.WriteAllText(Path.Combine(folder, name), "<Project />\n")
    let project = Path.Combine(folder, name + ".csproj")
    File.WriteAllLines(
        project,
        [ "<Project Sdk=\"Microsoft.NET.Sdk\">"
          "  <PropertyGroup>"
          "    <TargetFramework>net10.0</TargetFramework>"
          "    <RestoreEnablePackagePruning>false</RestoreEnablePackagePruning>"
          "    <NuGetAudit>false</NuGetAudit>"
          "  </PropertyGroup>"
          "  <ItemGroup>"
          yield! references
          "  </ItemGroup>"
          "</Project>" ])
    tryRun name [ "dotnet"; "restore"; project; "-v"; "q"; "--nologo" ]

let private prime name references =
    match tryPrime name references with
    | 0, _ -> ()
    | _, file -> raise (Stop($"NuGet cannot get the packages (whole log: {relative file})", tail file, 1))

let private download (name: string, version: string) = $"    <PackageDownload Include=\"{name}\" Version=\"[{version}]\" />"
let private packageFolder (name: string, version: string) = Path.Combine(packagesFolder, name.ToLowerInvariant(), version)
let private isThere package = File.Exists(Path.Combine(packageFolder package, ".nupkg.metadata"))

/// The name-and-version lines of paket.lock.
let private locked () =
    [ for text in File.ReadAllLines(inRoot "paket.lock") do
          let found = Regex.Match(text, @"^ {4}(\S+) \(([^)]+)\)")
          if found.Success then found.Groups[1].Value, found.Groups[2].Value ]

/// Fills NuGet's folder with what paket.lock names, then lets Paket restore from that folder.
let packages () =
    let packages = locked ()
    let inputs =
        List.map inRoot [ "paket.lock"; "paket.dependencies"; ".config/dotnet-tools.json" ]
        @ files [ "paket.references" ] root
    let outputs = inRoot ".paket/Paket.Restore.targets" :: List.map packageFolder packages
    once "packages" (fingerprint [ packagesFolder ] inputs) outputs "unchanged" "restoring" (fun () ->
        if not (List.forall isThere packages) then prime "packages" (List.map download packages)
        run "tools" "the tools of .config/dotnet-tools.json cannot be restored" [ "dotnet"; "tool"; "restore" ]
        run "paket" "Paket cannot restore the packages" [ "dotnet"; "paket"; "restore" ]
        $"{packages.Length} packages restored")

/// Resolves paket.dependencies anew. Paket looks only into NuGet's folder, so NuGet fetches the versions first.
let lockPackages () =
    step "lock" "resolving paket.dependencies" (fun () ->
        prime "lock"
            [ for text in File.ReadAllLines(inRoot "paket.dependencies") do
                  let found = Regex.Match(text, @"^nuget (\S+) (\S+)")
                  if found.Success then $"    <PackageReference Include=\"{found.Groups[1].Value}\" Version=\"[{found.Groups[2].Value}]\" />" ]
        run "tools" "the tools of .config/dotnet-tools.json cannot be restored" [ "dotnet"; "tool"; "restore" ]
        run "paket" "Paket cannot resolve paket.dependencies" [ "dotnet"; "paket"; "install" ]
        "paket.lock written")

// --- native images ----------------------------------------------------------------------------------------------------------

/// The SDK's compiler from assemblies to native code: `gmix` starts in a third of the time, F#'s own library most of all.
let private imageCompiler =
    let machine = match RuntimeInformation.ProcessArchitecture with Architecture.Arm64 -> "arm64" | _ -> "x64"
    $"Microsoft.NETCore.App.Crossgen2.linux-{machine}", "10.0.12"

/// Replaces the assemblies in `folder` by ReadyToRun images of themselves. Images are kept by the hash of the assembly.
/// Where the compiler cannot be had the assemblies stay as they are and are compiled as they run.
let nativeImages (folder: string) =
    let kept = inCache "images"
    Directory.CreateDirectory kept |> ignore
    let compiler = Path.Combine(packageFolder imageCompiler, "tools/crossgen2")
    if not (isThere imageCompiler) then tryPrime "crossgen" [ download imageCompiler ] |> ignore
    if File.Exists compiler then
        File.SetUnixFileMode(compiler, File.GetUnixFileMode compiler ||| UnixFileMode.UserExecute)
        let framework = Path.GetDirectoryName typeof<obj>.Assembly.Location
        let hash (file: string) = Convert.ToHexString(SHA256.HashData(File.ReadAllBytes file)).ToLowerInvariant()
        for assembly in Directory.GetFiles(folder, "*.dll") do
            let name = Path.GetFileNameWithoutExtension assembly
            let source = hash assembly
            // an image's own hash is remembered, so that an image is not compiled again
            if not (File.Exists(Path.Combine(kept, $"{name} {source}.made"))) then
                let image = Path.Combine(kept, $"{name} {source}.dll")
                if not (File.Exists image) then
                    for old in Directory.GetFiles(kept, name + " *") do
                        File.Delete old
                    let part = image + ".part"
                    let references = [ "-r"; Path.Combine(folder, "*.dll"); "-r"; Path.Combine(framework, "*.dll") ]
                    let code, _ = tryRun ("image-" + name) ([ compiler; assembly; "-o"; part; "--targetos"; "linux"; "-O" ] @ references)
                    if code = 0 && File.Exists part then File.Move(part, image, true)
                if File.Exists image then
                    File.WriteAllText(Path.Combine(kept, $"{name} {hash image}.made"), "")
                    File.Copy(image, assembly, true)
