namespace GMix.Experiments

open System
open System.Diagnostics
open System.Threading
open GMix.Data

/// `gmix data`: what is there, fetching it, checking it, making small sets in the official formats.
[<RequireQualifiedAccess>]
module DataCommand =
    let private line (text: string) = Console.Out.WriteLine text

    let private mib (bytes: int64) = $"{float bytes / 1048576.0:F1} MiB"

    /// Progress on one line that is written over; nothing where output goes to a file.
    let private progress () : Action<DataProgress> =
        if Console.IsErrorRedirected then null
        else
            let clock = Stopwatch.StartNew()
            let mutable shown = -1000L
            Action<DataProgress>(fun p ->
                if clock.ElapsedMilliseconds - shown > 200L || p.Done = p.Total then
                    shown <- clock.ElapsedMilliseconds
                    let share = if p.Total > 0L then $" of {mib p.Total} ({100.0 * float p.Done / float p.Total:F0} %%)" else ""
                    let ending = if p.Done = p.Total then "\n" else ""
                    eprintf "\r%s %s: %s%s   %s" p.Stage p.File (mib p.Done) share ending)

    /// Every set, and whether something is there.
    let list (dataDir: string option) =
        for status in DataStore.List(Option.toObj dataDir) do
            let info = Datasets.Get status.Name
            let place = if status.State = "missing" then $"missing: gmix data get {status.Name}" else status.Path
            line $"{status.Name, -14} {info.TrainCount, 7:N0} train {info.TestCount, 6:N0} test  {info.ClassCount, 3} classes  {info.Height}x{info.Width}  {place}"
        line "synthetic        2,000 train  1,000 test   10 classes  32x32  made when used"

    /// Downloads, checks and unpacks.
    let get (dataDir: string option) (name: string) (all: bool) (stop: CancellationToken) =
        let path = DataStore.GetAsync(name, Option.toObj dataDir, GetOptions(All = all, Progress = progress ()), stop).GetAwaiter().GetResult()
        line $"{name}: {path}"

    /// Reads everything and says what it is; false when it is missing or damaged.
    let verify (dataDir: string option) (name: string) (stop: CancellationToken) =
        let status = DataStore.Verify(name, Option.toObj dataDir, progress (), stop)
        line $"{status.Name}: {status.State} {status.Path}"
        for reason in status.Reasons do
            line $"  {reason}"
        status.State <> "missing" && status.State <> "damaged"

    /// Writes a small synthetic set in the official format.
    let make (dataDir: string option) (name: string) (train: int) (test: int) (seed: int) =
        let path = DataStore.Make(name, Option.toObj dataDir, MakeOptions(TrainPerClass = train, TestPerClass = test, Seed = uint64 seed))
        line $"{name}: made {path}"
