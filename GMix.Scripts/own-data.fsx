// Your own images: a folder with one folder of PNG or JPEG files per class
//
// Claims: nothing; change the lists and look at your own numbers.
// Takes:  smoke  seconds (a perceptron); cpu  minutes for some thousand small images; paper  as long as wrn-16-4 takes on your images
// Run:    dotnet fsi GMix.Scripts/own-data.fsx --data FOLDER [--scale smoke|cpu|paper]     (without --data: a made-up folder of two classes)
#load "gmix.fsx"
open System.IO
open GMix.Data
open GMix.Experiments

/// Squares against noise, as a stand-in until there is --data: class folders of small PNG files.
let makeImages (folder: string) =
    let random = System.Random 0
    for kind in [ "noise"; "square" ] do
        let place = Directory.CreateDirectory(Path.Combine(folder, kind)).FullName
        for i in 0..39 do
            let side = 16
            let pixels = Array.init (3 * side * side) (fun _ -> byte (random.Next 120))
            if kind = "square" then
                let top, left = random.Next 8, random.Next 8
                for c in 0..2 do
                    for y in top .. top + 7 do
                        for x in left .. left + 7 do
                            pixels[(c * side + y) * side + x] <- 230uy
            File.WriteAllBytes(Path.Combine(place, $"{i}.png"), ImageCodec.EncodePng(pixels, 3, side, side))

Script.publishes "own-data" fsi.CommandLineArgs (fun script ->
    let folder =
        match script.Data with
        | Some folder -> folder
        | None ->
            let folder = Path.Combine(script.Out, "own-images")
            if not (Directory.Exists folder) then makeImages folder
            folder
    let mine =
        experiment "own-data" {
            dataset "folder"
            data (Some folder)
            imageSize (Script.pick script 16 32 32)
            model (Script.pick script "mlp-32" "wrn-10-1" "wrn-16-4")
            methods Method.paper
            train { Train.defaults with Epochs = Some(Script.pick script 3 40 200); Batch = 16 }
            seeds (Script.pick script [ 0 ] [ 0..2 ] [ 0..4 ])
        }
    { Title = "My own images"
      Experiments = [ mine ]
      Tables = List.map Tables.comparison
      Figures = fun _ -> []
      Remarks = [] })
