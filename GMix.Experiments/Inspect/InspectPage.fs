namespace GMix.Experiments

open System
open System.Globalization
open System.Text.Json.Nodes
open GMix.Training

/// An example worth showing.
type InspectedExample =
    { Example: int64
      First: string
      Second: string
      Lambda: float
      Sensitivity: float
      Loss: float
      Pixels: byte[] }

/// Sensitivity of the training examples at the final weights, in two consecutive epochs' draws.
type SensitivityFindings =
    { Of: int
      Mix: string
      Mixes: bool
      Perturb: string
      OwnPerturb: bool
      Gamma: float
      Score: string
      First: SensitivityEpoch
      Second: SensitivityEpoch
      /// |B₊ ∩ B₊′| / |B₊| over examples in both draws.
      Overlap: float
      /// |B₊ ∩ B₊′| / |B₊ ∪ B₊′|.
      Jaccard: float
      /// Overlap and Jaccard of two selections of these sizes that have nothing to do with each other.
      OverlapByChance: float
      JaccardByChance: float
      /// Spearman's ρ of an example's sensitivity in one draw with that in the other.
      Stability: float
      Least: InspectedExample list
      Most: InspectedExample list
      Channels: int
      Height: int
      Width: int }

/// What was measured of a run.
type InspectFindings =
    { Run: Run
      Sensitivity: SensitivityFindings option
      Landscape: LandscapeResult option
      /// Clean and vicinal.
      Sharpness: (SharpnessResult * SharpnessResult) option
      VicinalMix: string
      Seed: int
      Precision: string
      Device: string
      Seconds: float }

/// The words, tables and drawings of a run's inspection, as JSON and as a page.
[<RequireQualifiedAccess>]
module InspectPage =
    let private short (value: float) = if Double.IsNaN value then "–" else value.ToString("G4", CultureInfo.InvariantCulture)

    /// Quantile by linear interpolation between order statistics (R's type 7).
    let quantile (p: float) (sorted: float[]) =
        let at = p * float (sorted.Length - 1)
        let i = min (int at) (max 0 (sorted.Length - 2))
        if sorted.Length = 1 then sorted[0] else sorted[i] + (at - float i) * (sorted[i + 1] - sorted[i])

    /// Each measure of sharpness: its field, its name, its definition. JSON and page say the same.
    let definitions =
        [ "oneStep", "S₁", "S_1(rho) = L(w + rho g/|g|) - L(w), g the gradient of L at w"
          "ascent", "S_N", "the largest L(w + e) - L(w) met on N projected ascent steps of length rho/10 within |e| <= rho; a lower bound of the true maximum, never below S_1"
          "group", "m-sharpness", "S_1(rho) of each group of m examples with a perturbation of its own, averaged over all examples"
          "adaptiveOneStep", "adaptive S₁", "S_1 in the ball |e / (|w| + eta)| <= rho of ASAM, eta = 0.01"
          "adaptiveAscent", "adaptive S_N", "S_N in that ball; a lower bound"
          "average", "average case", "mean of L(w + u) - L(w) over u ~ N(0, sigma^2 I); sigma = rho / sqrt(d) unless given, so that |u| is about rho"
          "topEigenvalue", "λ_max(H)", "largest eigenvalue of the Hessian of L by power iteration on Hessian-vector products; the residual |Hv - lambda v| bounds the distance to an eigenvalue"
          "trace", "tr(H)", "trace of that Hessian by Hutchinson's estimator with random signs" ]

    let private number (value: float) : JsonNode = if Double.IsFinite value then JsonValue.Create value else null
    let private numbers (values: float seq) : JsonNode = JsonArray(values |> Seq.map number |> Array.ofSeq)
    let private optional (value: float option) = value |> Option.map number |> Option.toObj
    let private text (value: string) : JsonNode = JsonValue.Create value
    let private flag (value: bool) : JsonNode = JsonValue.Create value
    let private whole (value: int) : JsonNode = JsonValue.Create value
    let private object (pairs: (string * JsonNode) list) : JsonNode =
        let result = JsonObject()
        for key, value in pairs do
            result[key] <- value
        result

    let private quantiles (values: float[]) =
        let sorted = Array.sort values
        [ "mean", number (Array.average values)
          "median", number (quantile 0.5 sorted)
          "p10", number (quantile 0.1 sorted)
          "p90", number (quantile 0.9 sorted)
          "min", number sorted[0]
          "max", number sorted[sorted.Length - 1] ]

    let private drawJson (e: SensitivityEpoch) =
        object (
            [ "epoch", whole (e.Epoch + 1) ]
            @ quantiles e.Values
            @ [ "negativeShare", number (e.Values |> Array.averageBy (fun s -> if s < 0.0 then 1.0 else 0.0))
                "correlationWithLoss", number (Statistics.spearman e.Values e.LossAtW) ]
        )

    let private exampleJson (e: InspectedExample) =
        object [ "example", JsonValue.Create e.Example; "lambda", number e.Lambda; "first", text e.First; "second", text e.Second; "sensitivity", number e.Sensitivity; "loss", number e.Loss ]

    let private sensitivityJson (epochs: EpochRecord list) (s: SensitivityFindings) =
        object
            [ "definition", text "s_i = l_i(w + e) - l_i(w), e the batch's perturbation, BatchNorm on the batch as in training"
              "examples", whole s.First.Examples.Length
              "trainingExamples", whole s.Of
              "mix", text s.Mix
              "mixes", flag s.Mixes
              "perturb", text s.Perturb
              "ownPerturb", flag s.OwnPerturb
              "gamma", number s.Gamma
              "score", text s.Score
              "training",
              JsonArray(
                  [| for e in epochs do
                         if e.SensitivityMean.IsSome then
                             object
                                 [ "epoch", whole e.Epoch; "mean", optional e.SensitivityMean; "median", optional e.SensitivityMedian
                                   "p10", optional e.SensitivityP10; "p90", optional e.SensitivityP90; "orderingRate", optional e.OrderingRate ] |]
              )
              "draws", JsonArray(drawJson s.First, drawJson s.Second)
              "agreement",
              object
                  [ "overlap", number s.Overlap; "overlapByChance", number s.OverlapByChance; "jaccard", number s.Jaccard
                    "jaccardByChance", number s.JaccardByChance; "rankCorrelation", number s.Stability ]
              "sheet", text "sensitivity.png"
              "least", JsonArray(s.Least |> List.map exampleJson |> Array.ofList)
              "most", JsonArray(s.Most |> List.map exampleJson |> Array.ofList) ]

    let private landscapeJson (l: LandscapeResult) =
        object
            [ "definition", text "loss[i][j] = L(w + steps[j] d1 + steps[i] d2) on clean training images; d1, d2 random, filter-normalised (Li et al. 2018), biases and BatchNorm left out"
              "images", whole l.Images
              "cosine", number l.Cosine
              "steps", numbers l.Steps
              "loss", JsonArray(l.Loss |> Seq.map numbers |> Array.ofSeq)
              "accuracy", JsonArray(l.Accuracy |> Seq.map numbers |> Array.ofSeq) ]

    let private sharpnessJson (r: SharpnessResult) =
        object
            [ "images", whole r.Images
              "loss", number r.Loss
              "accuracy", number r.Accuracy
              "gradientNorm", number r.GradientNorm
              "rho", number r.Plain.Rho
              "oneStep", number r.Plain.OneStep
              "ascent", number r.Plain.Ascent
              "ascentPath", numbers r.Plain.Path
              "m", whole r.GroupSize
              "group", number r.Group
              "adaptiveRho", number r.Adaptive.Rho
              "adaptiveOneStep", number r.Adaptive.OneStep
              "adaptiveAscent", number r.Adaptive.Ascent
              "adaptivePath", numbers r.Adaptive.Path
              "sigma", number r.Sigma
              "average", number r.Average
              "averageError", number r.AverageError
              "topEigenvalue", number r.Top.Value
              "topEigenvalueResidual", number r.Top.Residual
              "topEigenvalueConverged", flag r.Top.Converged
              "trace", number r.Trace.Value
              "traceError", number r.Trace.StandardError ]

    /// inspect.json. A number that is not finite is null.
    let json (f: InspectFindings) : JsonObject =
        let c = f.Run.Config
        let result = JsonObject()
        result["format"] <- text "gmix-inspect-1"
        result["run"] <-
            object [ "id", text f.Run.Id; "name", text f.Run.File.Name; "method", text c.Method.Name; "dataset", text c.Dataset; "model", text c.Model; "epochs", whole c.Epochs; "seed", whole c.Seed ]
        result["seed"] <- whole f.Seed
        result["precision"] <- text f.Precision
        result["device"] <- text f.Device
        result["seconds"] <- number (Math.Round(f.Seconds, 2))
        f.Sensitivity |> Option.iter (fun s -> result["sensitivity"] <- sensitivityJson f.Run.Epochs s)
        f.Landscape |> Option.iter (fun l -> result["landscape"] <- landscapeJson l)
        f.Sharpness
        |> Option.iter (fun (clean, vicinal) ->
            result["sharpness"] <-
                object
                    [ "definitions", object (definitions |> List.map (fun (key, _, words) -> key, text words))
                      "clean", sharpnessJson clean
                      "vicinalMix", text f.VicinalMix
                      "vicinal", sharpnessJson vicinal ])
        result

    let private plusMinus value error = if Double.IsFinite error then $"{short value} ± {short error}" else short value

    let private scaleOf (f: InspectFindings) =
        $"{f.Run.Config.Method.Title} on {Tables.datasetTitle f.Run.Config.Dataset}, {Tables.modelTitle f.Run.Config.Model}, {f.Run.Config.Epochs} epochs, seed {f.Run.Config.Seed}"

    let private sharpnessTable (f: InspectFindings) (clean: SharpnessResult, vicinal: SharpnessResult) : Table =
        let row name (value: SharpnessResult -> string) = [ Cell.text name; Cell.text (value clean); Cell.text (value vicinal) ]
        let top (r: SharpnessResult) = (if r.Top.Converged then short r.Top.Value else $"≥ {short r.Top.Value}")
        { Title = "Sharpness at the final weights"
          Scale = $"{Format.count clean.Images} training images, {scaleOf f}"
          Columns = [ "Measure"; "clean"; $"vicinal ({f.VicinalMix})" ]
          Rows =
            [ row "loss" (fun r -> short r.Loss)
              row "gradient norm" (fun r -> short r.GradientNorm)
              row $"S₁, ρ = {short clean.Plain.Rho}" (fun r -> short r.Plain.OneStep)
              row $"S_N, {clean.Plain.Path.Count} steps (lower bound)" (fun r -> short r.Plain.Ascent)
              row $"m-sharpness, m = {clean.GroupSize}" (fun r -> short r.Group)
              row $"adaptive S₁, ρ = {short clean.Adaptive.Rho}" (fun r -> short r.Adaptive.OneStep)
              row "adaptive S_N (lower bound)" (fun r -> short r.Adaptive.Ascent)
              row $"average case, σ = {short clean.Sigma}" (fun r -> plusMinus r.Average r.AverageError)
              row "λ_max(H)" top
              row "tr(H)" (fun r -> plusMinus r.Trace.Value r.Trace.StandardError) ]
          Legend =
            "All in nats of cross-entropy, BatchNorm on its running statistics; ± is a standard error. λ_max with ≥: power iteration had not settled."
            :: (definitions |> List.map (fun (_, name, words) -> $"{name}: {words}.")) }

    let private sensitivityTable (f: InspectFindings) (s: SensitivityFindings) : Table =
        let percent share = Format.number 1 (100.0 * share) + " %"
        let pair name (value: SensitivityEpoch -> string) = [ Cell.text name; Cell.text (value s.First); Cell.text (value s.Second) ]
        let at p (e: SensitivityEpoch) = short (quantile p (Array.sort e.Values))
        { Title = "Sensitivity of the training examples at the final weights"
          Scale = $"{Format.count s.First.Examples.Length} of {Format.count s.Of} training images, {scaleOf f}"
          Columns = [ "Measure"; $"draws of epoch {s.First.Epoch + 1}"; $"draws of epoch {s.Second.Epoch + 1}" ]
          Rows =
            [ pair "median s" (at 0.5)
              pair "10 % quantile" (at 0.1)
              pair "90 % quantile" (at 0.9)
              pair "share with s < 0" (fun e -> percent (e.Values |> Array.averageBy (fun v -> if v < 0.0 then 1.0 else 0.0)))
              pair "rank correlation with the loss" (fun e -> short (Statistics.spearman e.Values e.LossAtW))
              [ Cell.text "B₊ of one draw again in the other"; Cell.text (percent s.Overlap); Cell.text $"by chance {percent s.OverlapByChance}" ]
              [ Cell.text "Jaccard index of both B₊"; Cell.text (short s.Jaccard); Cell.text $"by chance {short s.JaccardByChance}" ]
              [ Cell.text "rank correlation of s between the draws"; Cell.text (short s.Stability); Cell.missing ] ]
          Legend =
            [ "s_i = l_i(w + ε) - l_i(w): how much an example's loss rises when the weights go the batch's way up. Both columns are at the same weights; batches, augmentation, partners and λ differ."
              "Agreement near chance says that sensitivity belongs to the draw (partner, λ, batch), not to the image." ] }

    let private line name colour (x: float seq) (y: float seq) : Series =
        { Name = name; Colour = colour; Dash = Dash.Solid; Mark = Mark.LineAndPoints; X = List.ofSeq x; Y = List.ofSeq y; Band = None }

    let private blue, private red = "#1f6feb", "#ba3512"

    /// Share of examples per bin, over the middle 98 % of the values.
    let private histogram (s: SensitivityFindings) =
        let sorted = Array.append s.First.Values s.Second.Values |> Array.sort
        let low, high = quantile 0.01 sorted, quantile 0.99 sorted
        let bins = 30
        let width = (high - low) / float bins
        let counts (values: float[]) =
            [ for b in 0 .. bins - 1 ->
                  let from = low + float b * width
                  100.0 * float (values |> Array.filter (fun v -> v >= from && (v < from + width || b = bins - 1 && v <= high)) |> Array.length) / float values.Length ]
        let centres = [ for b in 0 .. bins - 1 -> low + (float b + 0.5) * width ]
        if width <= 0.0 then []
        else
            [ { line $"draws of epoch {s.First.Epoch + 1}" blue centres (counts s.First.Values) with Mark = Mark.Line }
              { line $"draws of epoch {s.Second.Epoch + 1}" red centres (counts s.Second.Values) with Mark = Mark.Line; Dash = Dash.Dashed } ]

    let private figures (f: InspectFindings) =
        [ match f.Sensitivity with
          | None -> ()
          | Some s ->
              let recorded = f.Run.Epochs |> List.choose (fun e -> match e.SensitivityMedian, e.SensitivityP10, e.SensitivityP90 with Some m, Some l, Some h -> Some(float e.Epoch, m, l, h) | _ -> None)
              Figure.create "sensitivity-epochs" "Sensitivity while training"
              |> Figure.withAxes "epoch" "s"
              |> Figure.withCaption "Median of s over a batch, with the band between the 10 % and the 90 % quantile; means over each epoch's batches, as recorded while training."
              |> Figure.withSeries
                  [ { line "median" blue (recorded |> List.map (fun (e, _, _, _) -> e)) (recorded |> List.map (fun (_, m, _, _) -> m)) with
                        Band = Some(recorded |> List.map (fun (_, _, l, _) -> l), recorded |> List.map (fun (_, _, _, h) -> h)) } ]
              Figure.create "sensitivity-histogram" "Sensitivity at the final weights"
              |> Figure.withAxes "s" "examples, %"
              |> Figure.withCaption "Share of examples per bin, the extreme 2 % left out."
              |> Figure.withSeries (histogram s)
          match f.Landscape with
          | None -> ()
          | Some l ->
              let middle = l.Steps.Count / 2
              Figure.create "landscape-cuts" "Cuts through the solution"
              |> Figure.withAxes "distance, in norms of the filters" "loss"
              |> Figure.withCaption "The plane's two axes. Only the shape near 0 compares between networks."
              |> Figure.withSeries [ line "first direction" blue l.Steps (l.Loss[middle]); { line "second direction" red l.Steps (l.Loss |> Seq.map (fun row -> row[middle])) with Dash = Dash.Dashed } ]
          match f.Sharpness with
          | None -> ()
          | Some(clean, vicinal) ->
              let steps (r: SharpnessResult) = [ 0.0 .. float r.Plain.Path.Count ]
              Figure.create "sharpness-ascent" "Rise of the loss on the way to the ball's edge"
              |> Figure.withAxes "ascent steps" "L(w + ε) − L(w)"
              |> Figure.withCaption $"Projected ascent in the ball of radius ρ = {short clean.Plain.Rho}, steps of ρ/10."
              |> Figure.withSeries [ line "clean" blue (steps clean) (Seq.append [ 0.0 ] clean.Plain.Path); { line "vicinal" red (steps vicinal) (Seq.append [ 0.0 ] vicinal.Plain.Path) with Dash = Dash.Dashed } ] ]
        |> List.filter (fun figure -> not figure.Series.IsEmpty)

    let private pictures (f: InspectFindings) : Picture list =
        [ match f.Sensitivity with
          | None -> ()
          | Some s ->
              let sheet id title caption (examples: InspectedExample list) =
                  let cells =
                      examples
                      |> List.map (fun e ->
                          { Pixels = e.Pixels
                            Lines = [ (if s.Mixes then $"λ {Format.number 2 e.Lambda}" else e.First); (if s.Mixes then $"{e.First} / {e.Second}" else ""); $"s {short e.Sensitivity}" ] |> List.filter ((<>) "") })
                  { Id = id; Title = title; Caption = caption; Svg = InspectPictures.contactSheet title s.Channels s.Height s.Width 4 cells }
              if not s.Least.IsEmpty then
                  sheet "least-sensitive" "Least sensitive"
                      (if s.Mixes then "Mixed images with the smallest s, and their labels: the paper suspects manifold intrusion here, images that look like another class than their labels. A heuristic, not a theorem." else "Training images with the smallest s: this method mixes nothing, so these are the images of the batch.")
                      s.Least
                  sheet "most-sensitive" "Most sensitive" "For comparison: the largest s of the same draws." s.Most
          match f.Landscape with
          | None -> ()
          | Some l ->
              let loss = Array.ofSeq l.Loss
              let hover i j = $"({short l.Steps[j]}, {short l.Steps[i]}): loss {short (loss[i].[j])}, accuracy {Format.number 1 (l.Accuracy[i].[j])} %%"
              { Id = "landscape"
                Title = "Loss around the solution"
                Caption = $"Cross-entropy on {Format.count l.Images} clean training images over two random filter-normalised directions (Li et al. 2018); the cross is the solution. Grey: not a finite number."
                Svg = InspectPictures.heatMap "Loss around the solution" "loss" (Array.ofSeq l.Steps) loss hover } ]

    let remarks (f: InspectFindings) =
        [ match f.Sensitivity with
          | None -> ()
          | Some s ->
              if not s.OwnPerturb then $"{f.Run.Config.Method.Title} perturbs nothing: its sensitivity is measured with {s.Perturb}."
              if not s.Mixes then $"{f.Run.Config.Method.Title} mixes no labels: its sensitivity is that of the batch itself."
              if s.Mix.StartsWith("ManifoldMixup", StringComparison.Ordinal) then "Manifold Mixup mixes hidden layers: where its stage is not 0, a picture shows the example alone, not the mixture."
              if s.First.Examples.Length < s.Of then "Sensitivity: a part of the training images with batches of its own, drawn from the run's streams." ]

    let tables (f: InspectFindings) =
        [ yield! f.Sharpness |> Option.map (sharpnessTable f) |> Option.toList
          yield! f.Sensitivity |> Option.map (sensitivityTable f) |> Option.toList ]

    /// inspect.html.
    let page (command: string option) (f: InspectFindings) : Report =
        let report =
            Report.create $"GMix: inspection of a {f.Run.Config.Method.Title} run"
            |> Report.withRuns [ f.Run ]
            |> Report.withRemarks (remarks f)
            |> Report.withTables (tables f)
            |> Report.withPictures (pictures f)
            |> Report.withFigures (figures f)
        match command with
        | Some words -> Report.withCommand words report
        | None -> report
