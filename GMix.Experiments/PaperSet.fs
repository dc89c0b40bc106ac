namespace GMix.Experiments

open System.Globalization
open System.Text.RegularExpressions
open GMix.Methods

/// The paper's tables and figures as experiments: Tables I to III and Figures 2 to 6 (arXiv 2308.03236v2, methods.md 5). All of one scale share the
/// folder `paper-SCALE`, so that a run that two of them need is trained once.
[<RequireQualifiedAccess>]
module PaperSet =
    let private at (script: Script) (all: MethodSpec list) (change: Train -> Train) (dataset': string, model': string) =
        let s = Script.scaled script dataset' model'
        experiment $"paper-{Script.scaleName script.Scale}" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            model s.Model
            methods all
            train (change s.Train)
            seeds s.Seeds
        }

    /// The columns of Table I.
    let tableOneColumns = [ "svhn", "mobilenet"; "stl10", "wrn-16-4"; "cifar10", "wrn-16-4" ]

    /// The columns of Table II.
    let tableTwoColumns = [ "cifar100", "wrn-16-4"; "cifar100", "resnet18"; "tiny-imagenet", "wrn-16-4"; "tiny-imagenet", "resnet18" ]

    /// One panel per data set in Figures 2 and 3, and one column in Table III.
    let panels = [ "svhn", "mobilenet"; "stl10", "wrn-16-4"; "cifar10", "wrn-16-4"; "cifar100", "wrn-16-4"; "tiny-imagenet", "wrn-16-4" ]

    /// The sweeps' data sets. At the scale cpu CIFAR-10 stands for STL-10, whose images have nine times the pixels.
    let swept (script: Script) = Script.pick script [ "stl10", "wrn-16-4"; "cifar100", "wrn-16-4" ] [ "cifar10", "wrn-16-4"; "cifar100", "wrn-16-4" ] [ "stl10", "wrn-16-4"; "cifar100", "wrn-16-4" ]

    let private scaleRemarks (script: Script) =
        match script.Scale with
        | ScriptScale.Smoke -> [ "Scale smoke: a perceptron, two epochs. It shows that everything works; its numbers mean nothing." ]
        | ScriptScale.Cpu ->
            [ "Scale cpu: small nets stand for the paper's (wrn-10-1 for WRN-16-4, wrn-16-1 for ResNet-18, mobilenet-0.25 for MobileNet, all with a stride of 2 in the first convolution), at most 1,000 training images, no augmentation. Differences between methods are measured here; levels are not the paper's."
              "At this scale CIFAR-10 stands for STL-10 in Figures 4 to 6, and BG-Mix selects gamma = 0.8 of a batch, DG-Mix 0.5, unless said otherwise (preset fair)." ]
        | ScriptScale.Paper -> []

    let private accuracyTable title columns (script: Script) : Publication =
        { Title = title
          Experiments = columns |> List.map (at script Method.paper id)
          Tables = fun c -> [ PaperTables.accuracy title c; PaperTables.differences c ]
          Figures = fun _ -> []
          Remarks = scaleRemarks script }

    let tableOne script = accuracyTable "Table I: SVHN, STL-10 and CIFAR-10" tableOneColumns script
    let tableTwo script = accuracyTable "Table II: CIFAR-100 and Tiny-ImageNet" tableTwoColumns script

    /// Full-batch forwards and backwards of a step in theory.
    let private passes (method: MethodConfig) =
        if MethodCatalog.Entries |> Seq.exists (fun e -> e.Name = method.Name) then
            let cost = MethodCatalog.Get(method.Name).Cost
            Some(cost.Forwards, cost.Backwards)
        else
            None

    let tableThree (script: Script) : Publication =
        { Title = "Table III: training time"
          Experiments = panels |> List.map (at script Method.paper id)
          Tables = fun c -> [ PaperTables.time passes c ]
          Figures = List.map Charts.timeAgainstAccuracy
          Remarks =
            "Runs that trained side by side shared memory bandwidth, and whatever else the machine did is in their seconds: for times to compare, train with --workers 1 on a quiet machine, or see gmix bench all." :: scaleRemarks script }

    let private perEpoch title chart (script: Script) : Publication =
        { Title = title
          Experiments = panels |> List.map (at script Method.paper id)
          Tables = fun c -> [ PaperTables.accuracy title c ]
          Figures = List.map chart
          Remarks = scaleRemarks script }

    let figureTwo script = perEpoch "Figure 2: test accuracy per epoch" Charts.accuracy script
    let figureThree script = perEpoch "Figure 3: Gap per epoch" Charts.gap script

    /// The number behind NAME= in a word such as SAM(rho=0.05).
    let private setting (name: string) (word: string) =
        let found = Regex.Match(word, $@"\b{name}=([0-9.eE+-]+)")
        if found.Success then Some(System.Double.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture)) else None

    let private sweepFigures id (x: string) (value: GroupSummary -> float option) (comparisons: Comparison list) =
        [ for c in comparisons do
              let where = $"{Tables.datasetTitle c.Dataset}, {Tables.modelTitle c.Model}"
              Charts.sweep $"{id}-accuracy-{c.Dataset}" $"Accuracy over {x}: {where}" x "best test accuracy, %" value (fun g -> Some g.Acc) c.Groups
              Charts.sweep $"{id}-gap-{c.Dataset}" $"Gap over {x}: {where}" x "best Gap, points" value (fun g -> g.Gap) c.Groups ]

    let private sweep title id x value experiments (script: Script) : Publication =
        { Title = title
          Experiments = experiments
          Tables = List.map Tables.comparison
          Figures = sweepFigures id x value
          Remarks = scaleRemarks script }

    let figureFour (script: Script) =
        let batches = Script.pick script [ 25; 50; 100 ] [ 25; 50; 100 ] [ 32; 64; 128; 256; 512 ]
        [ for panel in swept script do
              for batch in batches do
                  at script (Script.pick script [ Method.vanilla; Method.dgmix ] [ Method.vanilla; Method.gmix; Method.dgmix ] Method.paper) (fun t -> { t with Batch = batch }) panel ]
        |> fun experiments -> sweep "Figure 4: batch size" "batch" "batch size" (fun g -> Some(float g.Settings.Batch)) experiments script

    let figureFive (script: Script) =
        let rhos = Script.pick script [ 0.02; 0.05; 0.1 ] [ 0.01; 0.05; 0.2 ] [ 0.01; 0.02; 0.05; 0.1; 0.2 ]

        let methods = [ for rho in rhos do gmix (rho = rho)
                                           bgmix (rho = rho)
                                           dgmix (rho = rho) ]
        sweep "Figure 5: radius of the perturbation" "rho" "rho" (fun g -> setting "rho" g.Method.Perturb) (swept script |> List.map (at script methods id)) script

    let figureSix (script: Script) =
        let gammas = Script.pick script [ 0.25; 0.5; 0.75 ] [ 0.25; 0.5; 0.8; 0.95 ] [ 0.1; 0.25; 0.4; 0.5; 0.6; 0.75; 0.9 ]
        let methods = [ Method.gmix
                        for gamma in gammas do bgmix (gamma = gamma)
                                               dgmix (gamma = gamma) ]
        sweep "Figure 6: share of selected examples" "gamma" "gamma" (fun g -> setting "gamma" g.Method.Combine) (swept script |> List.map (at script methods id)) script

    /// Every table and figure with the name of its script, in the paper's order.
    let all: (string * (Script -> Publication)) list =
        [ "table-1", tableOne
          "table-2", tableTwo
          "table-3", tableThree
          "figure-2", figureTwo
          "figure-3", figureThree
          "figure-4", figureFour
          "figure-5", figureFive
          "figure-6", figureSix ]

    /// Trains and shows all of them; what failed in one does not keep the others from being shown. The exit code is the worst.
    let publishAll (script: Script) : int =
        let rec go worst rest =
            match rest with
            | [] -> worst
            | (name, publication) :: rest ->
                System.Console.Out.WriteLine()
                let code = Script.publish { script with Name = name } (publication script)
                go (max worst code) rest
        go 0 all
