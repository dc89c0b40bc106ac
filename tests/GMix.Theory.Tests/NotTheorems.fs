/// Statements of the paper that are no theorems (3.5), each with an example where it is false.
module GMix.Theory.Tests.NotTheorems

open FsCheck.FSharp
open GMix.Methods
open GMix.Models
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

/// Spearman's correlation of the sensitivities of a G-Mix step with the norms of the examples' gradients at w.
let private agreement (c: Case) =
    let bench, w = benchOf c
    use _ = bench
    let step = bench.Step (methodOf "gmix" c.Rho 1.0 SubsetForward.Reuse SelectionScore.Sharpness 1.0 1.0) w
    spearman (sub step.LossesAtPerturbed step.LossesAtW) (bench.ExampleGradients w |> Array.map norm)

[<Fact; Trait("kind", Counterexample)>]
let ``Not a theorem COUNTEREXAMPLE: sensitivity can fall with the norm of the gradient`` () =
    let breaks (c: Case) = c.Examples >= 4 && agreement c < -0.75
    match Property.Search(smoothNets, (fun c -> if breaks c then broken $"the rank correlation is {agreement c:F3}"), 5000) with
    | Some c -> Assert.True(breaks c)
    | None -> broken "the search found no counterexample"

/// How far the Jacobian of a direction field is from symmetric, |J − Jᵀ| / |J|, by central differences. A gradient field has 0.
let private asymmetry name (c: Case) =
    let bench, w = benchOf c
    use _ = bench
    let method = methodOf name c.Rho c.Gamma SubsetForward.Reuse SelectionScore.Sharpness 1.0 1.0
    let selected = (bench.Step method w).Selected
    let h = 1e-5
    let columns =
        Array.init w.Length (fun j ->
            let at t =
                let step = bench.Step method (Array.updateAt j (w[j] + t) w)
                // a change of the selection would be a jump, which is no derivative
                Assert.Equal<int[]>(selected, step.Selected)
                step.Direction
            scale (1.0 / (2.0 * h)) (sub (at h) (at -h)))
    let j = (matrix columns).Transpose()
    (j - j.Transpose()).FrobeniusNorm() / j.FrobeniusNorm()

[<Fact; Trait("kind", Counterexample)>]
let ``Not a theorem COUNTEREXAMPLE: the direction of DG-Mix is the gradient of no loss, and neither is that of G-Mix`` () =
    let c =
        { Seed = 7; Examples = 6; Inputs = 3; Hidden = [ 3 ]; Classes = 3; Activation = Mlp.Activation.Tanh
          WeightScale = 1.0; Lambda = 0.7; Rho = 0.1; Gamma = 0.5 }
    let plain, sam, binary, split = asymmetry "mixup" c, asymmetry "gmix" c, asymmetry "bgmix" c, asymmetry "dgmix" c
    say $"asymmetry of the Jacobian: Mixup {plain:E1}, G-Mix {sam:F4}, BG-Mix {binary:F4}, DG-Mix {split:F4}"
    if plain > 1e-7 then broken $"Mixup's direction should be a gradient field: {plain}"
    for name, value in [ "G-Mix", sam; "BG-Mix", binary; "DG-Mix", split ] do
        if value < 1e-3 then broken $"{name}: {value} is not clear of rounding"
