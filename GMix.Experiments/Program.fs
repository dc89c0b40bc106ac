module GMix.Experiments.Program

[<EntryPoint>]
let main args =
    match args with
    | [| "--version" |] ->
        printfn "gmix %s" (typeof<GMix.GMixInputException>.Assembly.GetName().Version.ToString 3)
        0
    | _ ->
        eprintfn "gmix: only --version is known in this build"
        2
