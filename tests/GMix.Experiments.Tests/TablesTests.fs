module GMix.Experiments.Tests.TablesTests

open System.IO
open Xunit
open Spectre.Console
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns

let private runOf (values: (float * float option) list) =
    let s = settings "cifar10" "mlp" vanilla values.Length 0
    let epochs = values |> List.mapi (fun i (acc, gap) -> { EpochRecord.create (i + 1) acc 2.0 with Gap = gap })
    { Folder = ""; File = RunStore.describe "t" s data environment; Epochs = epochs; State = RunState.Complete; Warnings = [] }

[<Fact>]
let ``best Acc and best Gap are independent maxima, the earliest on ties`` () =
    let summary = (runOf [ 50.0, Some 9.0; 60.0, Some 4.0; 60.0, Some 9.0; 55.0, Some -1.0 ] |> Summary.ofRun).Value
    Assert.Equal({ Value = 60.0; Epoch = 2 }, summary.BestAcc)
    Assert.Equal(Some { Value = 9.0; Epoch = 1 }, summary.BestGap)
    Assert.Equal(Some 4.0, summary.GapAtBestAcc)
    Assert.Equal(55.0, summary.LastAcc)
    Assert.Equal(Some -1.0, summary.LastGap)
    Assert.Equal(8.0, summary.Seconds)
    Assert.Equal(2000.0 * 4.0 / 8.0, summary.ImagesPerSecond)

[<Fact>]
let ``a run without epochs has no summary, one without Gap has none`` () =
    Assert.True((Summary.ofRun (runOf [])).IsNone)
    Assert.Equal(None, (Summary.ofRun (runOf [ 50.0, None ])).Value.BestGap)
    Assert.Equal(Some { Value = 1.0; Epoch = 2 }, (Summary.ofRun (runOf [ 50.0, Some nan; 50.0, Some 1.0 ])).Value.BestGap)

[<Fact>]
let ``ranks go to the first three printed values`` () =
    let ranks = Tables.ranks 2 [ Some 1.0; Some 3.001; Some 3.004; None; Some 2.0; Some 0.5 ]
    Assert.Equal<int option list>([ Some 3; Some 1; Some 1; None; Some 2; None ], ranks)
    Assert.Equal<int option list>([ None; None ], Tables.ranks 2 [ Some 1.0; Some 1.0 ])

let private compared name seeds = compare (freshFolder name) "cifar10" "wrn-16-4" six 20 seeds |> Summary.comparisons |> List.exactlyOne

[<Fact>]
let ``groups hold all seeds and keep the order of the methods`` () =
    let c = compared "groups" [ 0; 1; 2 ]
    Assert.Equal<string list>([ "Vanilla"; "SAM"; "Mixup"; "G-Mix"; "BG-Mix"; "DG-Mix" ], c.Groups |> List.map (fun g -> g.Label))
    for g in c.Groups do
        Assert.Equal<int list>([ 0; 1; 2 ], g.Seeds)
        let best = g.Runs |> List.map (fun r -> r.BestAcc.Value)
        Assert.Equal(List.average best, g.Acc.Mean, 1e-9)
        Assert.Equal(3, g.Acc.N)

[<Fact>]
let ``methods of one title are told apart by what differs`` () =
    let runs = compare (freshFolder "labels") "cifar10" "mlp" [ mixup; dgmix 0.25; dgmix 0.5 ] 3 [ 0 ]
    let labels = (Summary.comparisons runs |> List.exactlyOne).Groups |> List.map (fun g -> g.Label)
    Assert.Equal("Mixup", labels[0])
    Assert.Contains("gamma=0.25", labels[1])
    Assert.Contains("gamma=0.5", labels[2])

[<Fact>]
let ``the ending table has the columns and the marks`` () =
    let table = Tables.comparison (compared "table" [ 0; 1; 2 ])
    Assert.Equal<string list>([ "Method"; "Acc %"; "Gap"; "Clean gap"; "Seconds"; "× Vanilla" ], table.Columns)
    Assert.Equal(6, table.Rows.Length)
    for row in table.Rows do
        Assert.Equal(table.Columns.Length, row.Length)
    let column i = table.Rows |> List.map (fun row -> row[i])
    Assert.Equal<int list>([ 1; 2; 3 ], column 1 |> List.choose (fun c -> c.Rank) |> List.sort)
    Assert.Equal("1.00", (column 5).Head.Text)
    for word in [ "CIFAR-10"; "synthetic"; "2,000"; "1,000"; "3 seeds (0–2)"; "20 epochs"; "WRN-16-4"; "batch 64"; "preset fair" ] do
        Assert.Contains(word, table.Scale)

let private onlyComparison runs = Summary.comparisons runs |> List.exactlyOne

[<Fact>]
let ``the paper's numbers stand beside its own model on all of the official images`` () =
    let table = compareOfficial (freshFolder "paper-own") "cifar10" "wrn-16-4" six 3 [ 0; 1 ] |> onlyComparison |> Tables.comparison
    Assert.Equal("Paper Acc / Gap", List.last table.Columns)
    Assert.Equal<string list>([ "88.61 / 12.13"; "89.89 / 14.09"; "94.33 / 19.19"; "–"; "–"; "–" ], table.Rows |> List.map (fun r -> (List.last r).Text))
    Assert.Contains(table.Legend, fun line -> line.Contains "2308.03236")
    Assert.DoesNotContain(table.Legend, fun line -> line.Contains "No published number")

/// Each of them stands on ground that is not the paper's in one way.
[<Fact>]
let ``no published number stands beside a smaller net, a part of the data, or other data`` () =
    let folder = freshFolder "paper-other"
    let all = official "cifar10"
    let own = settings "cifar10" "wrn-16-4" vanilla 3 0
    let extra name value (s: RunSettings) = { s with Extra = dict [ name, System.Text.Json.JsonSerializer.SerializeToElement(value: obj) ] }
    let coarse = settings "cifar100" "wrn-16-4" vanilla 3 0 |> extra "coarseLabels" true
    let cases =
        [ "a small net", { own with Model = "wrn-10-1" }, all
          "another data set's model", { own with Model = "resnet18" }, all
          "a narrow MobileNet", settings "svhn" "mobilenet-0.25" vanilla 3 0, official "svhn"
          "a perceptron", { own with Model = "mlp-32" }, all
          "half resolution", extra "stemStride" 2 own, all
          "a limit", { own with Limit = 500 }, { all with Train = 500 }
          "a part of the test images", own, { all with Test = 1000 }
          "a subset", own, { all with Train = 20000; Kind = "subset" }
          "made images", own, { all with Kind = "synthetic" }
          "coarse classes", coarse, { official "cifar100" with Classes = 20 } ]
    for name, settings, data in cases do
        let root = Path.Combine(folder, name)
        for method in [ vanilla; sam ] do
            writeOn data root "c" { settings with Method = method } 3 |> ignore
        let comparison = RunStore.list root |> onlyComparison
        let table = Tables.comparison comparison
        Assert.False(List.contains "Paper Acc / Gap" table.Columns, name)
        Assert.True(table.Legend |> List.exists (fun line -> line.StartsWith "No published number stands beside"), name)
        let wide = PaperTables.accuracy "Table" [ comparison ]
        Assert.All(wide.Rows |> List.collect List.tail, fun cell -> Assert.DoesNotContain("(", cell.Text))
        Assert.DoesNotContain("parentheses", String.concat " " wide.Legend)

[<Fact>]
let ``a data set that the paper does not have needs no remark`` () =
    let table = compare (freshFolder "paper-none") "synthetic" "mlp" six 3 [ 0 ] |> onlyComparison |> Tables.comparison
    Assert.Equal(1, table.Legend.Length)

[<Fact>]
let ``unequal numbers of seeds are shown`` () =
    let root = freshFolder "uneven"
    write root "c" (settings "svhn" "mlp" vanilla 2 0) 2 |> ignore
    write root "c" (settings "svhn" "mlp" vanilla 2 1) 2 |> ignore
    write root "c" (settings "svhn" "mlp" mixup 2 0) 1 |> ignore
    let table = RunStore.list root |> Summary.comparisons |> List.exactlyOne |> Tables.comparison
    Assert.Contains("n", table.Columns)
    Assert.Contains("1 run unfinished", table.Scale)

[<Fact>]
let ``groups and comparisons come in the paper's order whatever the order on disk`` () =
    let root = freshFolder "order"
    compare root "synthetic" "mlp" [ dgmix 0.5; vanilla ] 2 [ 0 ] |> ignore
    compare root "cifar10" "wrn-16-2" [ dgmix 0.1; vanilla; sam ] 2 [ 0 ] |> ignore
    compare root "svhn" "mobilenet" [ mixup; sam ] 2 [ 0 ] |> ignore
    for runs in [ RunStore.list root; RunStore.list root |> List.rev ] do
        let comparisons = Summary.comparisons runs
        Assert.Equal<string list>([ "svhn"; "cifar10"; "synthetic" ], comparisons |> List.map (fun c -> c.Dataset))
        Assert.Equal<string list>([ "Vanilla"; "SAM"; "DG-Mix" ], comparisons[1].Groups |> List.map (fun g -> g.Label))
    let batches =
        [ for batch in [ 128; 32; 64 ] do
              let s = { settings "svhn" "mlp" mixup 2 0 with Batch = batch }
              { Folder = ""; File = RunStore.describe "b" s data environment; Epochs = epochsOf s 2; State = RunState.Complete; Warnings = [] } ]
    Assert.Equal<string list>([ "Mixup (batch 32)"; "Mixup (batch 64)"; "Mixup (batch 128)" ], Summary.groups batches |> List.map (fun g -> g.Label))

let private twoSets epochs =
    let root = freshFolder "paper-tables"
    compareOfficial root "cifar10" "wrn-16-4" six epochs [ 0; 1; 2 ] |> ignore
    compareOfficial root "svhn" "mobilenet" [ vanilla; mixup ] 5 [ 0; 1; 2 ] |> Summary.comparisons

let private cellOf (table: Table) title column = (table.Rows |> List.find (fun r -> r.Head.Text = title) |> List.item column).Text

[<Fact>]
let ``tables I and II put the paper's number behind ours, and say how many images there were`` () =
    let table = PaperTables.accuracy "Table I" (twoSets 5)
    Assert.Equal<string list>(
        [ "Method"; "SVHN MobileNet Acc %"; "SVHN MobileNet Gap"; "CIFAR-10 WRN-16-4 Acc %"; "CIFAR-10 WRN-16-4 Gap" ], table.Columns)
    Assert.Equal<string list>([ "Vanilla"; "SAM"; "Mixup"; "G-Mix"; "BG-Mix"; "DG-Mix"; "Images" ], table.Rows |> List.map (fun r -> r.Head.Text))
    let cell = cellOf table
    Assert.EndsWith("(95.14)", cell "Mixup" 1)
    Assert.EndsWith("(19.19)", cell "Mixup" 4)
    Assert.Equal("–", cell "DG-Mix" 1)
    Assert.DoesNotContain("(", cell "DG-Mix" 3)
    Assert.Equal<string list>([ "73,257 / 26,032"; "73,257 / 26,032"; "50,000 / 10,000"; "50,000 / 10,000" ], [ for i in 1..4 -> cell "Images" i ])

[<Fact>]
let ``a column with several sizes of data says so`` () =
    let root = freshFolder "images"
    for limit in [ 500; 1000 ] do
        writeOn { data with Train = limit } root "c" { settings "cifar10" "mlp" vanilla 2 0 with Limit = limit } 2 |> ignore
    let table = PaperTables.accuracy "Sizes" (RunStore.list root |> Summary.comparisons)
    Assert.Equal("500 / 1,000; 1,000 / 1,000", cellOf table "Images" 1)

[<Fact>]
let ``table III states passes in theory beside measured seconds`` () =
    let passes (m: MethodConfig) = match m.Name with "vanilla" | "mixup" -> Some(1.0, 1.0) | "dgmix" -> Some(3.0, 2.0) | _ -> None
    let table = PaperTables.time passes (twoSets 200)
    let cell = cellOf table
    Assert.Equal("3 F + 2 R", cell "DG-Mix" 1)
    Assert.Equal("1.00", cell "Vanilla" 3)
    Assert.Equal("2.33", cell "DG-Mix" 3)
    Assert.Equal("–", cell "SAM" 1)
    Assert.Contains("(9164.8)", cell "DG-Mix" 6)
    Assert.Equal("1.00", cell "Vanilla" 7)
    Assert.Equal("50,000 / 10,000", cell "Images" 6)
    Assert.Equal("–", cell "Images" 1)
    // seconds of fewer epochs than the protocol's are no seconds to compare
    Assert.DoesNotContain("(", cell "Mixup" 4)
    Assert.DoesNotContain("(", cellOf (PaperTables.time passes (twoSets 5)) "DG-Mix" 6)

[<Fact>]
let ``table III counts the passes that runs made`` () =
    let runs = compare (freshFolder "passes") "cifar10" "wrn-16-4" six 5 [ 0; 1 ]
    Assert.Equal("2.55 F + 2.55 R", cellOf (PaperTables.time (fun _ -> None) (Summary.comparisons runs)) "DG-Mix" 2)

[<Fact>]
let ``differences to the row above are paired over shared seeds`` () =
    let table = PaperTables.differences (twoSets 5)
    let cell title column = (table.Rows |> List.find (fun r -> r.Head.Text = title) |> List.item column).Text
    Assert.Equal("–", cell "Vanilla" 1)
    Assert.Matches(@"^\+\d", cell "Mixup" 1)
    Assert.Matches("(better|worse|not distinguishable)$", cell "Mixup" 2)

let private small: Table =
    { Title = "T_1"
      Scale = "50 % of it"
      Columns = [ "Method"; "Acc, %" ]
      Rows =
        [ [ Cell.text "a|b"; { Text = "1.00 ± 0.10"; Rank = Some 1 } ]
          [ Cell.text "say \"x\""; { Text = "0.90"; Rank = Some 2 } ]
          [ Cell.text "c"; { Text = "0.80"; Rank = Some 3 } ]
          [ Cell.text "d-1"; Cell.missing ]
          [ Cell.text "e"; Cell.text "-2.5" ] ]
      Legend = [ "Legend & more." ] }

[<Fact>]
let ``Markdown`` () =
    let text = TableWriters.markdown small
    Assert.Contains("| a\\|b | **1.00 ± 0.10**¹ |", text)
    Assert.Contains("| <u>0.90</u>² |", text)
    Assert.Contains("| *0.80*³ |", text)
    Assert.Contains("| :--- | ---: |", text)

[<Fact>]
let ``CSV`` () =
    Assert.Equal("Method,\"Acc, %\"\na|b,1.00 ± 0.10\n\"say \"\"x\"\"\",0.90\nc,0.80\nd-1,\ne,-2.5\n", TableWriters.csv small)

[<Fact>]
let ``LaTeX`` () =
    let text = TableWriters.latex small
    Assert.Contains(@"\caption{T\_1}", text)
    Assert.Contains(@"50 \% of it", text)
    Assert.Contains(@"\begin{tabular}{lr}", text)
    Assert.Contains(@"a|b & \textbf{1.00 $\pm$ 0.10} \\", text)
    Assert.Contains(@"\underline{0.90}", text)
    Assert.Contains(@"\textit{0.80}", text)
    Assert.Contains(@"d-1 & -- \\", text)
    Assert.Contains(@"e & $-$2.5 \\", text)
    Assert.Contains(@"Legend \& more.", text)

[<Fact>]
let ``the summary has one line per run and as many fields as its header`` () =
    let c = compared "summary" [ 0; 1 ]
    let lines = (TableWriters.summaryCsv [ c ]).Trim().Split '\n'
    Assert.Equal(13, lines.Length)
    for line in lines do
        Assert.Equal(lines[0].Split(',').Length, line.Split(',').Length)

[<Fact>]
let ``JSON holds one object per method with the means of the table`` () =
    let c = compared "json" [ 0; 1; 2 ]
    use parsed = System.Text.Json.JsonDocument.Parse(TableWriters.json [ c ])
    let groups = parsed.RootElement.EnumerateArray() |> List.ofSeq
    Assert.Equal(6, groups.Length)
    for json, g in List.zip groups c.Groups do
        Assert.Equal(g.Method.Name, json.GetProperty("method").GetString())
        Assert.Equal(g.Acc.Mean, json.GetProperty("bestAcc").GetProperty("mean").GetDouble())
        Assert.Equal(3, json.GetProperty("seeds").GetArrayLength())

[<Fact>]
let ``redirected output is plain and keeps its marks`` () =
    let text = ConsoleTables.plain (Tables.comparison (compared "plain" [ 0 ]))
    Assert.DoesNotContain("\u001b", text)
    for mark in [ "¹"; "²"; "³"; "Vanilla"; "DG-Mix" ] do
        Assert.Contains(mark, text)

[<Fact>]
let ``the terminal shows every number at 80 columns`` () =
    let c = compared "terminal" [ 0; 1; 2 ]
    let out = new StringWriter()
    let console = AnsiConsole.Create(AnsiConsoleSettings(Ansi = AnsiSupport.Yes, ColorSystem = ColorSystemSupport.Standard, Out = AnsiConsoleOutput out))
    console.Profile.Width <- 80
    ConsoleTables.write console (Tables.comparison c)
    let text = out.ToString()
    for g in c.Groups do
        Assert.Contains(g.Label, text)
        Assert.Contains(Format.number 2 g.Acc.Mean, text)
        Assert.Contains(Format.number 1 g.Seconds.Mean, text)

[<Fact>]
let ``the order of the paper is tested over blocks`` () =
    let c = compared "ordering" [ 0; 1; 2; 3 ]
    let test = (Findings.ordering [ c ]).Value
    Assert.Equal<string list>([ "Vanilla"; "SAM"; "Mixup"; "G-Mix"; "BG-Mix"; "DG-Mix" ], test.Claimed)
    Assert.Equal(4, test.Friedman.Blocks)
    Assert.Equal("Vanilla", test.Observed.Head)
    Assert.True((Findings.ordering [ { c with Groups = List.take 2 c.Groups } ]).IsNone)
    Assert.NotEmpty(Findings.orderingText test)

[<Fact>]
let ``the finding names the winner and, with one seed, what the test set can tell`` () =
    let one = Findings.ofComparison (compared "finding" [ 0 ])
    Assert.StartsWith("DG-Mix has the best test accuracy on CIFAR-10 with WRN-16-4", one.Headline)
    Assert.Contains(one.Details, fun d -> d.Contains "Wilson")
    let several = Findings.ofComparison (compared "finding-several" [ 0; 1; 2; 3; 4 ])
    Assert.Contains("over 5 seeds", several.Headline)
    Assert.DoesNotContain(several.Details, fun d -> d.Contains "Wilson")

[<Fact>]
let ``accuracies that guessing would reach are called so`` () =
    let c = { Dataset = "cifar10"; Model = "mlp"; Groups = Summary.groups [ runOf [ 10.0, None; 11.5, None ] ] }
    Assert.StartsWith("No method does better than guessing (10.0 %)", (Findings.ofComparison c).Headline)
    let c = { c with Groups = Summary.groups [ runOf [ 10.0, None; 14.0, None ] ] }
    Assert.StartsWith("Vanilla has the best", (Findings.ofComparison c).Headline)

[<Fact>]
let ``the paper's cells are found by its models and missing where lost`` () =
    Assert.Equal(Some { Acc = 76.68; Gap = 6.31 }, PaperNumbers.tryFind "cifar100" "resnet18" "mixup")
    Assert.Equal(Some { Acc = 64.76; Gap = -9.91 }, PaperNumbers.tryFind "stl10" "wrn-16-4" "vanilla")
    Assert.Equal(None, PaperNumbers.tryFind "stl10" "wrn-10-2" "vanilla")
    Assert.Equal(None, PaperNumbers.tryFind "svhn" "mobilenet-0.25" "vanilla")
    Assert.Equal(None, PaperNumbers.tryFind "cifar10" "wrn-16-4" "dgmix")
    Assert.Equal(None, PaperNumbers.tryFind "synthetic" "wrn-16-4" "vanilla")
    Assert.Equal(Some 9164.8, PaperNumbers.trySeconds "cifar10" "wrn-16-4" "dgmix")
    Assert.Equal(None, PaperNumbers.trySeconds "cifar10" "wrn-10-1" "dgmix")
