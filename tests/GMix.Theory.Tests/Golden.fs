/// Golden values (3.7): L = ½ w'Hw, H = diag(1, 4), w = (3, 1), ρ = 0.5, through GMix.Core's whole step.
module GMix.Theory.Tests.Golden

open GMix.Methods
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

let private h = [| 1.0; 4.0 |]
let private w = [| 3.0; 1.0 |]
let private rho = 0.5
let private gradient (w: float[]) = Array.map2 (*) h w
let private quadratic () = scalarBench 2 (bowl [| [| 1.0; 0.0 |]; [| 0.0; 4.0 |] |] 0.0)

/// Steps of a method at w. A word that this build's catalog does not have is skipped by name.
let private steps count name =
    if not (MethodCatalog.Entries |> Seq.exists (fun e -> e.Name = name)) then Assert.Skip $"{name} is not in the catalog"
    use bench = quadratic ()
    bench.Steps count (MethodCatalog.Get(name, MethodOptions(Rho = rho))) w

let private directionOf name = (steps 1 name).Head.Direction

/// To the digits given.
let private is (expected: float[]) (actual: float[]) =
    for e, a in Array.zip expected actual do
        if abs (e - a) > 1e-9 then broken $"{actual[0]:R}, {actual[1]:R} instead of {expected[0]:R}, {expected[1]:R}"

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: SAM and G-Mix`` () =
    for name in [ "sam"; "gmix"; "bgmix"; "dgmix" ] do
        let step = (steps 1 name).Head
        is [| 3.3; 5.6 |] step.Direction
        near 1e-12 0.0 "|g|" step.GradientNorm 5.0
        near 1e-12 0.0 "|eps|" step.EpsilonNorm 0.5
        near 1e-11 0.0 "L" step.LossesAtW[0] 6.5
        // S1 = 2.5 + 0.365: ρ|g| and ½ρ² ĝ'Hĝ
        near 1e-11 0.0 "S1" (step.LossesAtPerturbed[0] - step.LossesAtW[0]) 2.865
    is [| 3.0; 4.0 |] (directionOf "vanilla")
    is [| 3.0; 4.0 |] (directionOf "mixup")

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: the table of directions follows from the formulas`` () =
    let g = gradient w
    let perturbed = gradient (axpy rho (unit g) w)
    let across a b = axpy (-(dot a b) / dot b b) b a
    is [| 0.3; 0.4 |] (scale rho (unit g))
    is [| 3.24; 5.28 |] (add (scale 0.2 g) (scale 0.8 perturbed))
    is [| 0.4771597633; -0.281183432 |] (across g perturbed)
    is [| 3.1091360947; 5.7124733728 |] (axpy -0.4 (across g perturbed) perturbed)
    let adaptive eta =
        let t = w |> Array.map (fun v -> abs v + eta)
        let scaled = Array.map2 (*) t g
        Array.map2 (*) t scaled |> scale (rho / norm scaled)
    is [| 1.3707173229; 0.203069233 |] (adaptive 0.0)
    is [| 4.3707173229; 4.8122769321 |] (gradient (add w (adaptive 0.0)))
    is [| 1.3737765449; 0.2062360538 |] (adaptive 0.01)
    is [| -0.576; 0.432 |] (across perturbed g)
    is [| 0.2; 6.1 |] (axpy (0.7 * norm g / norm (across perturbed g)) (across perturbed g) g)

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: GNP with a = 0.8`` () = is [| 3.24; 5.28 |] (directionOf "gnp")

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: GSAM with alpha 0.4`` () = is [| 3.1091360947; 5.7124733728 |] (directionOf "gsam")

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: ASAM with eta 0.01`` () = is (gradient [| 3.0 + 1.3737765449; 1.0 + 0.2062360538 |]) (directionOf "asam")

[<Fact; Trait("kind", Exact)>]
let ``Golden EXACT: LookSAM with a = 0.7, the step that refreshes and the step that reuses`` () =
    match steps 2 "looksam" with
    | [ refresh; again ] ->
        is [| 3.3; 5.6 |] refresh.Direction
        is [| 0.2; 6.1 |] again.Direction
    | _ -> broken "two steps were asked for"
