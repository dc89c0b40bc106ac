namespace GMix.Experiments

open System
open System.Globalization
open System.IO
open System.Net
open System.Text
open GMix
open GMix.Data
open GMix.Draws
open GMix.Methods
open GMix.Torch
open GMix.Training

/// One image of a contact sheet: how it looks after augmentation, and what the method makes of it.
type PreviewCell =
    { /// c · h · w bytes each.
      Augmented: byte array
      Mixed: byte array
      Label: int
      /// The partner's class and its place in the sheet; None where the image is not mixed.
      Partner: (int * int) option
      /// Weight of `Label`.
      Lambda: float }

/// The first batch of an epoch as training sees it, in rows and columns.
type Preview =
    { Set: ImageSet
      Method: string
      Augmentation: string
      Rows: int
      Columns: int
      Seed: int
      Epoch: int
      /// Said under the sheet where the picture needs it.
      Notes: string list
      Cells: PreviewCell list }

/// `gmix data preview`: a contact sheet of what a method trains on.
[<RequireQualifiedAccess>]
module Preview =
    let private input text = raise (GMixInputException text)

    /// Losses of a network that is not there: all equal.
    let private noScores =
        { new IScorer with
            member _.Score batch = Tensor.Zeros([| int64 batch.Count |], DType.Float64, Nullable()) }

    /// The images of the first step of an epoch (from 0) of a run with this setup, method and seed, if its batch were the sheet. `read` gives the
    /// data that the run's configuration names.
    let makeOf (read: TrainConfig -> DatasetSplits) (setup: Setup) (methodName: string) (rows: int) (columns: int) (seed: int) (epoch: int) : Preview =
        if rows < 1 || columns < 1 || rows > 1024 || columns > 1024 || rows * columns > 1024 then input $"--rows {rows} --cols {columns}: at least 1 each, and at most 1024 images"
        if epoch < 0 then input $"--epoch {epoch}: must be at least 0"
        let job = Runner.job setup methodName seed
        job.Method.Check()
        let config = job.Config
        config.Augmentation.Check()
        let data = read config
        let set = data.Train
        let count = rows * columns
        if count > set.Count then input $"--rows {rows} --cols {columns}: {count} images are more than the {set.Count} of {set.Name}"
        if set.Channels <> 1 && set.Channels <> 3 then input $"{set.Name}: images of {set.Channels} channels cannot be drawn"
        TorchRuntime.Threads <- 1
        use _ = new TensorScope()
        use _ = Autograd.NoGrad()
        use pipeline = Pipeline.Open(set, data.Normalization, DType.Float64, Device.Cpu, false, config.Stream)
        let order = PipelineOrder(config.Seed, set.Count, count)
        let chosen = order.Step(order.Epoch epoch, 0).ToArray()
        let struct (images, labels) = pipeline.Take(ReadOnlySpan chosen, config.Augmentation, CounterRandom(config.Seed, DrawStream.Augment, epoch, 0L))
        let mix = job.Method.Mix
        let draw = Trainer.DrawOf(mix, config.Seed, epoch, 0, count, set.Height, set.Width)
        let vicinal = mix.Apply(Batch(images, labels), draw, noScores)
        let bytes (tensor: Tensor) =
            let values = tensor.Contiguous().ToDoubles()
            let plane = set.Height * set.Width
            values |> Array.mapi (fun i v ->
                let channel = i / plane % set.Channels
                byte (Math.Clamp(Math.Round(255.0 * (v * data.Normalization.Std[channel] + data.Normalization.Mean[channel])), 0.0, 255.0)))
        let augmented, mixed = bytes images, bytes vicinal.Inputs
        let targets = vicinal.Targets
        let a = targets.A.ToArray<int64>()
        let partners = if targets.Mixed then Some(targets.B.ToArray<int64>(), targets.Lambda.ToDoubles()) else None
        let notes =
            [ if not (isNull vicinal.AtStage) then $"The method mixes activations at stage {vicinal.Stage} of the network, so the images themselves stay as they are."
              elif mix.MixesLabels && partners.IsNone then "In this step the method mixes nothing, as it does with some probability; another epoch or seed may show it mix."
              if mix.Forwards > 0.0 then "The method chooses among copies by the network's losses; without a network the first copy is shown." ]
        { Set = set
          Method = string mix
          Augmentation = string config.Augmentation
          Rows = rows
          Columns = columns
          Seed = seed
          Epoch = epoch
          Notes = notes
          Cells =
            [ for i in 0 .. count - 1 do
                  let part (all: byte array) = all[i * set.ImageBytes .. (i + 1) * set.ImageBytes - 1]
                  let partner, lambda =
                      match partners with
                      | Some(b, lambdas) -> Some(int b[i], (if isNull draw.Permutation then i else int draw.Permutation[i])), lambdas[i]
                      | None -> None, 1.0
                  { Augmented = part augmented; Mixed = part mixed; Label = int a[i]; Partner = partner; Lambda = lambda } ] }

    /// The same, of the data set that the setup names.
    let make = makeOf Trainer.Open

    /// Whether there is more to show than the augmented images.
    let private pairs (preview: Preview) = preview.Cells |> List.exists (fun c -> c.Partner.IsSome || c.Augmented <> c.Mixed)

    // --- the picture -----------------------------------------------------------------------------------------------------

    /// Small images are drawn larger, by whole factors.
    let private zoom (set: ImageSet) = max 1 (96 / max set.Height set.Width)

    let private gap, inner, bar = 12, 4, 8

    /// Colours of classes around the hue circle, light and dark in turn; many classes take steps of the golden angle.
    let private colour (set: ImageSet) (index: int) : struct (byte * byte * byte) =
        let turn = if set.ClassCount <= 24 then float index / float set.ClassCount else float index * 0.381966011 % 1.0
        let hue = turn * 6.0
        let low, high = if index % 2 = 0 then 0.3, 0.95 else 0.0, 0.55
        let channel shift =
            let x = (hue + shift) % 6.0
            let ramp = if x < 1.0 then x elif x < 3.0 then 1.0 elif x < 4.0 then 4.0 - x else 0.0
            byte (255.0 * (low + (high - low) * ramp))
        struct (channel 2.0, channel 0.0, channel 4.0)

    type private Layout = { Zoom: int; Width: int; Height: int; CellWidth: int; CellHeight: int; Stacked: int }

    let private layout (preview: Preview) =
        let set = preview.Set
        let zoom = zoom set
        let stacked = if pairs preview then 2 else 1
        let cellWidth = set.Width * zoom
        // augmented above mixed; the bar of the label under both
        let cellHeight = stacked * (set.Height * zoom + inner) + bar
        { Zoom = zoom
          Stacked = stacked
          CellWidth = cellWidth
          CellHeight = cellHeight
          Width = gap + preview.Columns * (cellWidth + gap)
          Height = gap + preview.Rows * (cellHeight + gap) }

    let private origin layout preview i = gap + i % preview.Columns * (layout.CellWidth + gap), gap + i / preview.Columns * (layout.CellHeight + gap)

    /// The contact sheet as a PNG: each image after augmentation, under it what the method makes of it, under both a bar that the classes share by λ.
    let png (preview: Preview) : byte array =
        let set, layout = preview.Set, layout preview
        if layout.Width > 16384 || layout.Height > 16384 then input $"--rows {preview.Rows} --cols {preview.Columns}: the sheet of {layout.Width} x {layout.Height} pixels is above 16384 a side; ask for fewer"
        let planes = Array.create (3 * layout.Width * layout.Height) 255uy
        let put x y (struct (r, g, b)) =
            for channel, value in [ 0, r; 1, g; 2, b ] do
                planes[(channel * layout.Height + y) * layout.Width + x] <- value
        let draw (image: byte array) left top =
            for channel in 0..2 do
                let source = min channel (set.Channels - 1)
                for y in 0 .. set.Height * layout.Zoom - 1 do
                    for x in 0 .. set.Width * layout.Zoom - 1 do
                        planes[(channel * layout.Height + top + y) * layout.Width + left + x] <- image[(source * set.Height + y / layout.Zoom) * set.Width + x / layout.Zoom]
        preview.Cells
        |> List.iteri (fun i cell ->
            let left, top = origin layout preview i
            draw cell.Augmented left top
            if layout.Stacked = 2 then draw cell.Mixed left (top + set.Height * layout.Zoom + inner)
            let share = int (Math.Round(cell.Lambda * float layout.CellWidth))
            for x in 0 .. layout.CellWidth - 1 do
                let label = match cell.Partner with Some(b, _) when x >= share -> b | _ -> cell.Label
                for y in layout.CellHeight - bar .. layout.CellHeight - 1 do
                    put (left + x) (top + y) (colour set label))
        ImageCodec.EncodePng(ReadOnlySpan planes, 3, layout.Width, layout.Height)

    // --- the page --------------------------------------------------------------------------------------------------------

    let private text (s: string) = WebUtility.HtmlEncode s
    let private share (x: float) = x.ToString("0.00", CultureInfo.InvariantCulture)

    /// What a cell's label is, e.g. `frog 0.63 + ship 0.37`.
    let caption (preview: Preview) (cell: PreviewCell) =
        let name = fun (label: int) -> preview.Set.ClassNames[label]
        match cell.Partner with
        | Some(b, _) -> $"{name cell.Label} {share cell.Lambda} + {name b} {share (1.0 - cell.Lambda)}"
        | None -> name cell.Label

    /// The sheet as a page of its own: the picture is inside, every image has its label and its partner's number.
    let html (preview: Preview) (sheet: byte array) : string =
        let set, layout = preview.Set, layout preview
        let page = StringBuilder()
        let add (s: string) = page.Append(s).Append('\n') |> ignore
        let hex label = let struct (r, g, b) = colour set label in $"#{r:x2}{g:x2}{b:x2}"
        add "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
        add $"<title>{text set.Name}, {text preview.Method}</title><style>"
        add "body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem;max-width:90rem;color-scheme:light dark}h1{font-size:1.3rem;margin:0}"
        add $"ol{{display:grid;grid-template-columns:repeat(auto-fill,minmax({layout.CellWidth + 40}px,1fr));gap:1rem;padding:0;list-style:none}}"
        add $".i{{width:{layout.CellWidth}px;height:{layout.CellHeight}px;background:url(data:image/png;base64,{Convert.ToBase64String sheet}) no-repeat;image-rendering:pixelated}}"
        add "figure{margin:0}figcaption{font-size:.85rem}small{opacity:.75}.k{display:inline-block;width:.8em;height:.8em;margin-right:.3em}.legend span{white-space:nowrap;margin-right:1em}</style></head><body>"
        add $"<h1>{text set.Name}: {text preview.Method}</h1>"
        let order = if layout.Stacked = 2 then "Above each image after augmentation, below what the method makes of it; the bar shows the label." else "Each image after augmentation; the bar shows the label."
        add $"<p>Augmentation {text preview.Augmentation}; seed {preview.Seed}, epoch {preview.Epoch}, a batch of {preview.Cells.Length}. {order}</p>"
        for note in preview.Notes do
            add $"<p>{text note}</p>"
        let used = preview.Cells |> List.collect (fun c -> c.Label :: (c.Partner |> Option.map fst |> Option.toList)) |> List.distinct |> List.sort
        let legend = used |> List.map (fun label -> $"<span><i class=\"k\" style=\"background:{hex label}\"></i>{text set.ClassNames[label]}</span>") |> String.concat "\n"
        add $"<p class=\"legend\">{legend}</p><ol>"
        preview.Cells
        |> List.iteri (fun i cell ->
            let left, top = origin layout preview i
            let partner = match cell.Partner with Some(_, at) -> $"<br><small>partner: {at + 1}</small>" | None -> ""
            let label = text (caption preview cell)
            add $"<li><figure><div class=\"i\" role=\"img\" aria-label=\"{label}\" style=\"background-position:-{left}px -{top}px\"></div><figcaption>{i + 1}. {label}{partner}</figcaption></figure></li>")
        add "</ol></body></html>"
        page.ToString()

    /// Writes the PNG and, beside it, the page with the labels; their paths.
    let save (path: string) (preview: Preview) : string * string =
        if not (path.EndsWith(".png", StringComparison.OrdinalIgnoreCase)) then input $"--output {path}: a PNG file, so a name that ends in .png"
        let page = Path.ChangeExtension(path, ".html")
        let sheet = png preview
        match Path.GetDirectoryName(Path.GetFullPath path) with
        | null -> ()
        | folder -> Directory.CreateDirectory folder |> ignore
        File.WriteAllBytes(path, sheet)
        File.WriteAllText(page, html preview sheet)
        path, page
