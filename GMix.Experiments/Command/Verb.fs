namespace GMix.Experiments

open System
open System.Collections.Generic
open System.CommandLine

/// How the command's verbs are made.
[<RequireQualifiedAccess>]
module Verb =
    let private examples = Dictionary<Command, string list>(HashIdentity.Reference)

    /// The examples that a verb's help ends with; None for one that only has verbs of its own.
    let examplesOf (command: Command) =
        match examples.TryGetValue command with
        | true, found -> Some found
        | _ -> None

    /// The rows of the paper's tables, from top to bottom.
    let paperMethods = [ "vanilla"; "sam"; "mixup"; "gmix"; "bgmix"; "dgmix" ]

    /// A verb; the lines of its description after the first are examples.
    let make (name: string) (description: string) (options: System.CommandLine.Option list) (arguments: Argument list) (action: ParseResult -> int) =
        let lines = description.Split '\n' |> List.ofArray
        let verb = Command(name, lines.Head)
        examples[verb] <- lines.Tail |> List.map (fun l -> l.Trim())
        for o in options do
            verb.Options.Add o
        for a in arguments do
            verb.Arguments.Add a
        verb.SetAction(Func<ParseResult, int> action)
        verb
