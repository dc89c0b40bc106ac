/// The contact sheet: what is in it, and its files.
module GMix.Experiments.Tests.PreviewTests

open System
open System.IO
open GMix
open GMix.Data
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns
open GMix.Methods
open Xunit

let private setup = Setup.defaults

/// A hundred images of the synthetic set, made once.
let private data =
    lazy
        (let all = Datasets.Open("synthetic", null)
         DatasetSplits(all.Train.Limit(100, 0UL), all.Test, all.Normalization, all.Source))

let private make = Preview.makeOf (fun _ -> data.Value)

let private decode (path: string) =
    let file = File.ReadAllBytes path
    let struct (width, height) = ImageCodec.Size(ReadOnlySpan file, path)
    let planes = Array.zeroCreate (3 * width * height)
    ImageCodec.Decode(ReadOnlySpan file, Span planes, width, height, path)
    width, height, fun channel y x -> planes[(channel * height + y) * width + x]

[<Fact>]
let ``the sheet holds every image as augmented and as mixed, and a bar that the two classes share`` () =
    let folder = freshFolder "preview"
    let preview = make setup "mixup" 2 3 5 1
    let picture, page = Preview.save (Path.Combine(folder, "new", "sheet.png")) preview
    let width, height, pixel = decode picture
    // 32 pixels drawn as 96, two above one another with 4 between and 4 before the bar of 8; 12 between cells
    Assert.Equal(12 + 3 * (96 + 12), width)
    Assert.Equal(12 + 2 * (2 * 100 + 8 + 12), height)
    preview.Cells
    |> List.iteri (fun i cell ->
        let left, top = 12 + i % 3 * 108, 12 + i / 3 * 220
        for channel in 0..2 do
            for y in 0..31 do
                for x in 0..31 do
                    let source = (channel * 32 + y) * 32 + x
                    Assert.Equal(cell.Augmented[source], pixel channel (top + 3 * y + 1) (left + 3 * x + 1))
                    Assert.Equal(cell.Mixed[source], pixel channel (top + 100 + 3 * y + 1) (left + 3 * x + 1))
        let bar x = [ for c in 0..2 -> pixel c (top + 204) (left + x) ]
        let share = int (Math.Round(96.0 * cell.Lambda))
        let runs = [ 0..95 ] |> List.map bar |> List.countBy id |> List.map snd
        if fst cell.Partner.Value = cell.Label then Assert.Equal<int list>([ 96 ], runs)
        else Assert.Equal<int list>([ share; 96 - share ] |> List.filter ((<) 0), runs))
    // every label is in the page, and the picture
    let html = File.ReadAllText page
    for cell in preview.Cells do
        Assert.Contains(Preview.caption preview cell, html)
    Assert.Contains(Convert.ToBase64String(File.ReadAllBytes picture), html)
    Assert.DoesNotContain("http", html)

[<Fact>]
let ``a mixed image is the weighted sum of two images of the sheet`` () =
    let preview = make setup "gmix" 2 4 0 0
    let cells = Array.ofList preview.Cells
    for cell in cells do
        let label, at = cell.Partner.Value
        Assert.Equal(cells[at].Label, label)
        Array.iteri2
            (fun i (a: byte) (b: byte) -> Assert.InRange(float cell.Mixed[i] - (cell.Lambda * float a + (1.0 - cell.Lambda) * float b), -1.01, 1.01))
            cell.Augmented
            cells[at].Augmented

[<Fact>]
let ``the same seed and epoch draw the same sheet, another epoch another`` () =
    let sheet epoch stream = Preview.png (make { setup with Train = { setup.Train with Stream = stream } } "cutmix" 2 2 3 epoch)
    Assert.Equal<byte array>(sheet 2 false, sheet 2 false)
    Assert.Equal<byte array>(sheet 2 false, sheet 2 true)
    Assert.NotEqual<byte array>(sheet 2 false, sheet 3 false)

[<Fact>]
let ``every method of the catalog has a sheet`` () =
    for entry in MethodCatalog.Entries do
        let preview = make setup entry.Name 1 2 0 0
        let sheet = Preview.png preview
        let struct (width, height) = ImageCodec.Size(ReadOnlySpan sheet, entry.Name)
        let mixes = preview.Cells |> List.exists (fun c -> c.Partner.IsSome || c.Augmented <> c.Mixed)
        Assert.Equal(12 + 2 * 108, width)
        Assert.Equal((if mixes then 232 else 132), height)
        Assert.Contains("<ol>", Preview.html preview sheet)

[<Fact>]
let ``what cannot be drawn is said in one line`` () =
    let says (named: string) (action: unit -> unit) =
        let error = Assert.Throws<GMixInputException> action
        Assert.Contains(named, error.Message)
    says "--rows 0" (fun () -> make setup "mixup" 0 3 0 0 |> ignore)
    says "--cols 2000" (fun () -> make setup "mixup" 1 2000 0 0 |> ignore)
    says "more than the 100" (fun () -> make setup "mixup" 20 20 0 0 |> ignore)
    says "--epoch -1" (fun () -> make setup "mixup" 1 1 0 -1 |> ignore)
    says "nope" (fun () -> make setup "nope" 1 1 0 0 |> ignore)
    says "--cutout -1" (fun () -> make { setup with Train = { setup.Train with Cutout = -1 } } "mixup" 1 1 0 0 |> ignore)
    says "sheet.jpg" (fun () -> make setup "mixup" 1 1 0 0 |> Preview.save "sheet.jpg" |> ignore)

[<Fact>]
let ``bench pipeline measures every variant`` () =
    let set, speeds = BenchPipeline.run { setup with Limit = 100; Train = { setup.Train with Batch = 16; Threads = Some 1 } } 3
    Assert.Equal(100, set.Count)
    Assert.Equal<string list>([ "augment"; "augment_mix"; "augment_mix_streamed" ], speeds |> List.map (fun s -> s.Key))
    for speed in speeds do
        Assert.InRange(speed.ImagesPerSecond, speed.Low, speed.High)
        Assert.True(speed.Low > 0.0)
    Assert.Throws<GMixInputException>(fun () -> BenchPipeline.run setup 0 |> ignore) |> ignore
