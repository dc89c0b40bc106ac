namespace GMix.Experiments

open System
open System.CommandLine
open System.CommandLine.Completions
open System.IO
open System.Text.RegularExpressions

/// What a shell offers at the Tab key: `gmix completion bash` prints a script that asks the command itself, in the words of System.CommandLine's
/// directive `[suggest:POSITION] LINE`. So every shell offers the same, and what there is stands in one place.
[<RequireQualifiedAccess>]
module Completion =
    let private subfolders (path: string) =
        try Directory.GetDirectories path |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) |> List.ofArray
        with :? IOException | :? UnauthorizedAccessException -> []

    let private isRun folder = File.Exists(RunStore.configPath folder)

    /// Folders of runs and experiments that begin with what is typed. An experiment's runs come once its name is whole.
    let runFolders (typed: string) : string list =
        let at = typed.LastIndexOf '/'
        let parent, start = typed.Substring(0, at + 1), typed.Substring(at + 1)
        let parent = if parent = "" && Directory.Exists "runs" then "runs/" else parent
        let start = if parent = "runs/" && at < 0 && "runs".StartsWith(start, StringComparison.Ordinal) then "" else start
        if parent <> "" && not (Directory.Exists parent) then []
        else
            [ for folder in subfolders (if parent = "" then "." else parent) do
                  let name = Path.GetFileName folder
                  // at most two levels above a run, as RunStore.list looks
                  if name.StartsWith(start, StringComparison.Ordinal)
                     && (isRun folder || subfolders folder |> List.exists (fun f -> isRun f || (parent = "" && subfolders f |> List.exists isRun))) then
                      parent + name ]

    let private source (find: string -> string list) =
        Func<CompletionContext, CompletionItem seq>(fun context -> find context.WordToComplete |> Seq.map CompletionItem)

    /// For arguments that are folders of runs.
    let ofRuns = source runFolders

    /// For arguments that are one of some words.
    let ofWords (words: unit -> string list) = source (fun _ -> words ())

    /// The line and the cursor's place in it, where the command is asked for candidates.
    let asked (args: string array) : (string * int) option =
        match args with
        | [| directive; line |] ->
            let found = Regex.Match(directive, @"^\[suggest(?::(\d+))?\]$")
            if not found.Success then None
            elif found.Groups[1].Success then Some(line, min line.Length (int found.Groups[1].Value))
            else Some(line, line.Length)
        | _ -> None

    let private assigned = Regex(@"(?:^|\s)(--[\w-]+)=(\S*)$")

    /// What may stand at the cursor. Flags are offered where one has begun or nothing else can stand.
    let candidates (root: RootCommand) (line: string) (position: int) : string list =
        let line = line.Substring(0, position)
        let offered (line: string) = root.Parse(line).GetCompletions line.Length |> Seq.map (fun c -> c.Label) |> List.ofSeq
        let found = assigned.Match line
        if found.Success then
            // bash completes the word behind the sign, others the whole: both are offered, the shell takes what fits
            let flag, value = found.Groups[1].Value, found.Groups[2].Value
            offered $"{line.Substring(0, found.Groups[1].Index)}{flag} {value}" |> List.collect (fun c -> [ c; $"{flag}={c}" ])
        else
            let flags, words = offered line |> List.filter (fun c -> not (List.contains c [ "-?"; "-h"; "/?"; "/h" ])) |> List.partition (fun c -> c.StartsWith '-')
            let begun = line.Length > 0 && not (Char.IsWhiteSpace line[line.Length - 1])
            if words.IsEmpty || begun then flags @ words else words

    let private bash =
        """# bash completion of gmix. For this shell: source <(gmix completion bash)
# for every shell: gmix completion bash > ~/.local/share/bash-completion/completions/gmix
_gmix() {
    local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} candidate
    COMPREPLY=()
    line=${line#"${COMP_WORDS[0]}"}
    line=${line# }
    while IFS= read -r candidate; do
        [[ $candidate == "$word"* ]] || continue
        [[ $candidate == *[[:space:]]* ]] && candidate=$(printf %q "$candidate")
        COMPREPLY+=("$candidate")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" "[suggest:${#line}]" "$line" 2>/dev/null)
    # below an experiment's folder there is more to choose
    if [[ ${#COMPREPLY[@]} -eq 1 && -d ${COMPREPLY[0]} ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _gmix gmix
"""

    let private zsh =
        """#compdef gmix
# zsh completion of gmix. For this shell: source <(gmix completion zsh)
# for every shell: gmix completion zsh > a folder of $fpath, as _gmix
_gmix() {
    local line="${(j: :)words[2,CURRENT]}"
    local -a candidates
    candidates=("${(@f)$(${~words[1]} "[suggest:${#line}]" "$line" 2>/dev/null)}")
    candidates=("${(@)candidates:#}")
    compadd -- "${candidates[@]}" || _files
}
if [[ ${funcstack[1]} == _gmix ]]; then _gmix "$@"; else compdef _gmix gmix; fi
"""

    let private fish =
        """# fish completion of gmix. For this shell: gmix completion fish | source
# for every shell: gmix completion fish > ~/.config/fish/completions/gmix.fish
function __gmix_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l line (string join ' ' -- $words[2..-1] $current)
    set -l found (eval $words[1] (string escape -- "[suggest:"(string length -- "$line")"]" "$line") 2>/dev/null | string match -- "$current*")
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path $current
    end
end
complete -c gmix -f -a '(__gmix_complete)'
"""

    /// The scripts by their shells' names.
    let scripts = [ "bash", bash; "zsh", zsh; "fish", fish ]
