// A model of your own: a function from the shape of the data to a model
//
// Claims: nothing; it shows how a network is written and compared.
// Takes:  smoke  seconds; cpu  about ten minutes on two cores; paper  a day on one GPU (CIFAR-10)
// Run:    dotnet fsi GMix.Scripts/own-model.fsx [--scale smoke|cpu|paper] [--data DIR]
#load "gmix.fsx"
open GMix.Models
open GMix.Nn
open GMix.Experiments

/// Two convolutions with BatchNorm, then one linear layer on the mean of each channel.
type TwoConvolutions(shape: ImageShape, width: int) as this =
    inherit Model()
    let first = this.Add("conv1", Conv2d(shape.Channels, width, 3, 2, 1))
    let bn1 = this.Add("bn1", BatchNorm2d width)
    let second = this.Add("conv2", Conv2d(width, 2 * width, 3, 2, 1))
    let bn2 = this.Add("bn2", BatchNorm2d(2 * width))
    let fc = this.Add("fc", Linear(2 * width, shape.Classes))
    override _.Classes = shape.Classes
    override _.Forward(x, pass) =
        let x = bn1.ForwardRelu(first.Forward x, pass)
        let x = bn2.ForwardRelu(second.Forward x, pass)
        fc.Forward(x.Mean([| 2L; 3L |]))

Script.publishes "own-model" fsi.CommandLineArgs (fun script ->
    let s = Script.scaled script "cifar10" "wrn-16-4"
    let mine =
        experiment "own-model" {
            dataset s.Dataset
            data s.Data
            limit s.Limit
            // the name stands for the code in the run's id: change both together
            ownModel "two-convolutions-16" (fun shape -> TwoConvolutions(shape, 16))
            methods [ Method.vanilla; Method.mixup; Method.gmix ]
            train s.Train
            seeds s.Seeds
        }
    { Title = "A model of my own"
      Experiments = [ mine ]
      Tables = List.map Tables.comparison
      Figures = fun _ -> []
      Remarks = [] })
