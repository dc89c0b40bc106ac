namespace GMix.Experiments

/// A cell of Table I or II of the paper: best test accuracy and best Gap, in percent.
type PaperCell = { Acc: float; Gap: float }

/// The published numbers that are known (arXiv 2308.03236v2, Tables I to III). Cells of G-Mix, BG-Mix and DG-Mix in Tables I and II could not be
/// recovered from any source; None stands for them.
[<RequireQualifiedAccess>]
module PaperNumbers =
    let private methods = [ "vanilla"; "sam"; "mixup" ]

    /// The family a model belongs to in the paper: "mobilenet", "wrn" or "resnet18".
    let family (model: string) = if model.StartsWith "wrn" then "wrn" else model

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
                      (dataset, model, name), { Acc = acc; Gap = gap } ]

    /// Table I or II at a data set, model and method name, where the number is known.
    let tryFind (dataset: string) (model: string) (methodName: string) : PaperCell option =
        cells |> Map.tryFind (dataset, family model, methodName)

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

    /// Table III: training seconds on one GTX 1080 Ti. Which column a number belongs to is a reading: the alignment is lost.
    let trySeconds (dataset: string) (methodName: string) : float option = seconds |> Map.tryFind (dataset, methodName)

    /// The order the paper claims for test accuracy, best first.
    let claimedOrder = [ "dgmix"; "bgmix"; "gmix"; "mixup"; "sam"; "vanilla" ]
