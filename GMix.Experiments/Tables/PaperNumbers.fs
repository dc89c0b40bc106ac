namespace GMix.Experiments

/// A cell of Table I or II of the paper: best test accuracy and best Gap, in percent.
type PaperCell = { Acc: float; Gap: float }

/// The published numbers that are known (arXiv 2308.03236v2, Tables I to III). Cells of G-Mix, BG-Mix and DG-Mix in Tables I and II could not be
/// recovered from any source; None stands for them.
///
/// A published number belongs beside a run on the same ground only: the paper's model for that data set, trained on all of the official images. A
/// small net or a part of the data stands on other ground, and a number from elsewhere beside it would invite a comparison that means nothing.
[<RequireQualifiedAccess>]
module PaperNumbers =
    let private methods = [ "vanilla"; "sam"; "mixup" ]

    /// The names here of the paper's models. It states no size for WRN; 16-4 is what its training times allow (GMix's reading).
    let private models = Map.ofList [ "mobilenet", "mobilenet"; "wrn", "wrn-16-4"; "resnet18", "resnet18" ]

    let private accuracyRows =
        [ ("svhn", "mobilenet"), [ 93.24, 19.78; 94.44, 21.34; 95.14, 24.38 ]
          ("stl10", "wrn"), [ 64.76, -9.91; 66.41, -6.36; 79.35, 6.08 ]
          ("cifar10", "wrn"), [ 88.61, 12.13; 89.89, 14.09; 94.33, 19.19 ]
          ("cifar100", "wrn"), [ 63.36, -8.75; 65.59, -6.40; 75.25, 5.57 ]
          ("cifar100", "resnet18"), [ 57.11, -17.60; 60.46, -10.67; 76.68, 6.31 ]
          ("tiny-imagenet", "wrn"), [ 42.70, -28.91; 45.69, -25.12; 58.31, -9.04 ]
          ("tiny-imagenet", "resnet18"), [ 37.91, -35.12; 41.06, -31.74; 59.01, -12.01 ] ]

    let private cells =
        Map.ofList
            [ for (dataset, model), row in accuracyRows do
                  for name, (acc, gap) in List.zip methods row do
                      (dataset, models[model], name), { Acc = acc; Gap = gap } ]

    /// Table I or II at a data set, model and method name, where the number is known.
    let tryFind (dataset: string) (model: string) (methodName: string) : PaperCell option = cells |> Map.tryFind (dataset, model, methodName)

    let private seconds =
        Map.ofList
            [ ("cifar10", "vanilla"), 4404.8
              ("cifar100", "vanilla"), 4781.9
              ("tiny-imagenet", "vanilla"), 23528.2
              ("cifar10", "mixup"), 4444.1
              ("cifar100", "mixup"), 4791.8
              ("tiny-imagenet", "mixup"), 23553.0
              ("svhn", "dgmix"), 1320.4
              ("stl10", "dgmix"), 2577.5
              ("cifar10", "dgmix"), 9164.8
              ("cifar100", "dgmix"), 9389.1 ]

    /// Epochs of the paper's protocol: part of what Table III's seconds are for.
    let private epochs = Map.ofList [ "svhn", 50; "stl10", 200; "cifar10", 200; "cifar100", 200; "tiny-imagenet", 150 ]

    /// Table III: training seconds on one GTX 1080 Ti. Which column a number belongs to is a reading: the alignment is lost. The model is the one of
    /// Tables I and II, where a data set has two the WRN.
    let trySeconds (dataset: string) (model: string) (methodName: string) : float option =
        if model = (if dataset = "svhn" then models["mobilenet"] else models["wrn"]) then seconds |> Map.tryFind (dataset, methodName) else None

    /// Whether the paper has a column for this data set and model.
    let hasColumn (dataset: string) (model: string) =
        accuracyRows |> List.exists (fun ((d, m), _) -> d = dataset && models[m] = model)

    /// Whether the paper has this data set.
    let hasDataset (dataset: string) = accuracyRows |> List.exists (fun ((d, _), _) -> d = dataset)

    /// Whether a run stands on the paper's ground: its model for this data set, all of the official images for training and testing, and their own
    /// classes.
    let onItsGround (run: Run) =
        let c, data = run.Config, run.File.Data
        let info = if hasColumn c.Dataset c.Model then Some(GMix.Data.Datasets.Get c.Dataset) else None
        // at another resolution from the first convolution on it is another net
        let strided = not (isNull c.Extra) && c.Extra.ContainsKey "stemStride"
        match info with
        | Some info when not strided -> data.Kind = "official" && (data.Train, data.Test, data.Classes) = (info.TrainCount, info.TestCount, info.ClassCount)
        | _ -> false

    /// The published accuracy and Gap that may stand beside a group.
    let beside (group: GroupSummary) : PaperCell option =
        if group.Runs |> List.forall (fun r -> onItsGround r.Run) then tryFind group.Settings.Dataset group.Settings.Model group.Method.Name else None

    /// The published seconds that may stand beside a group: those of the protocol's number of epochs.
    let secondsBeside (group: GroupSummary) : float option =
        let c = group.Settings
        if group.Runs |> List.forall (fun r -> onItsGround r.Run && r.Run.Epochs.Length = epochs[c.Dataset]) then trySeconds c.Dataset c.Model group.Method.Name else None

    /// The order the paper claims for test accuracy, best first.
    let claimedOrder = [ "dgmix"; "bgmix"; "gmix"; "mixup"; "sam"; "vanilla" ]
