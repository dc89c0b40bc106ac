/// GMix.Core against mathematics that does not come from libtorch: hyper-dual numbers and finite differences.
module GMix.Theory.Tests.Oracle

open System
open GMix.Methods
open GMix.Models
open GMix.Theory.Tests.Checking
open GMix.Theory.Tests.Vectors
open GMix.Theory.Tests.Lab
open Xunit

let private netOf (c: Case) : Reference.Net =
    { Widths = [ c.Inputs; yield! c.Hidden; c.Classes ]
      Activation =
        match c.Activation with
        | Mlp.Activation.Tanh -> HyperDual.Tanh
        | Mlp.Activation.Softplus -> HyperDual.Softplus
        | _ -> HyperDual.Gelu }

/// The same experiment on both sides; the vicinal batch is mixed on each side by its own code.
let private both (c: Case) =
    let bench, w = benchOf c
    let x = mix c.Lambda bench.Permutation bench.Examples
    let y = mix c.Lambda bench.Permutation (bench.Labels |> Array.map (oneHot c.Classes))
    bench, netOf c, w, x, y, Array.init c.Examples id

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: mixed images and labels are those of the formula`` () =
    Property.Check(smoothNets, fun c ->
        let bench, _, _, x, y, _ = both c
        use _ = bench
        nearVector 1e-14 1.0 "images" (Array.concat bench.MixedImages) (Array.concat x)
        nearVector 1e-14 1.0 "labels" (Array.concat bench.MixedLabels) (Array.concat y))

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: losses of every example equal those of plain arrays`` () =
    Property.Check(smoothNets, fun c ->
        let bench, net, w, x, y, _ = both c
        use _ = bench
        nearVector 1e-11 0.0 "losses" (bench.Losses w) (Reference.losses net w x y))

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: gradients equal those of hyper-dual numbers`` () =
    Property.Check(smoothNets, fun c ->
        let bench, net, w, x, y, all = both c
        use _ = bench
        nearVector 1e-10 1e-3 "batch gradient" (bench.Gradient w) (Reference.gradient net w x y all)
        let i = c.Seed % c.Examples
        nearVector 1e-10 1e-3 "example gradient" (bench.GradientOver [| i |] w) (Reference.gradient net w x y [| i |]))

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: directional derivatives equal those of hyper-dual numbers`` () =
    Property.Check(smoothNets, fun c ->
        let bench, net, w, x, y, all = both c
        use _ = bench
        let u = normals (Random(c.Seed + 2)) w.Length |> unit
        near 1e-10 1e-3 "derivative along u" (dot (bench.Gradient w) u) (Reference.slopeAlong net w x y all u))

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: Hessian-vector products by two backward passes equal those of hyper-dual numbers`` () =
    Property.Check(smoothNets, fun c ->
        let bench, net, w, x, y, all = both c
        use _ = bench
        let v = normals (Random(c.Seed + 2)) w.Length |> unit
        nearVector 1e-9 1e-3 "H v" (bench.HessianTimes v w) (Reference.hessianTimes net w x y all v))

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: central differences of autograd gradients equal exact Hessian-vector products to their order`` () =
    Property.Check(smoothNets, fun c ->
        let bench, net, w, x, y, all = both c
        use _ = bench
        let v = normals (Random(c.Seed + 2)) w.Length |> unit
        // fourth-order differences: the error is O(h⁴) plus rounding 1e-16 / h
        let difference h =
            let half s = bench.Gradient(axpy s v w)
            sub (scale 8.0 (sub (half h) (half -h))) (sub (half (2.0 * h)) (half (-2.0 * h))) |> scale (1.0 / (12.0 * h))
        nearVector 1e-7 1.0 "H v" (difference 1e-3) (Reference.hessianTimes net w x y all v))

let private wholeStep name subset =
    fun (c: Case) ->
        let bench, net, w, x, y, _ = both c
        use _ = bench
        let kappa = float (c.Seed % 5 - 1) / 2.0
        let ours = bench.Step (methodOf name c.Rho c.Gamma subset SelectionScore.Sharpness 1.0 kappa) w
        let theirs = Reference.step name net w x y c.Rho c.Gamma kappa
        nearVector 1e-11 1e-3 "losses at w" ours.LossesAtW theirs.AtW
        nearVector 1e-10 1e-3 "losses at w + eps" ours.LossesAtPerturbed theirs.AtPerturbed
        // two sensitivities that agree to rounding may be ranked either way: then the directions differ by right
        let s = sub theirs.AtPerturbed theirs.AtW
        let lowest = theirs.Selected |> Seq.map (fun i -> s[i]) |> Seq.min
        let highest = rest c.Examples theirs.Selected |> Seq.map (fun i -> s[i]) |> Seq.fold max -infinity
        if name = "gmix" || lowest - highest > 1e-12 then
            if name <> "gmix" then Assert.Equal<int[]>(theirs.Selected, ours.Selected)
            nearVector 1e-9 1e-3 "direction" ours.Direction theirs.Direction
            // c divides by |g+|²: where g+ is small, so is what c multiplies
            if name = "dgmix" && not (Double.IsNaN theirs.Projection) && norm theirs.Direction > 1e-3 then
                near 1e-7 1.0 "projection" ours.Projection theirs.Projection

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: a whole G-Mix step`` () = Property.Check(smoothNets, wholeStep "gmix" SubsetForward.Reuse)

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: a whole BG-Mix step, B plus run alone`` () = Property.Check(smoothNets, wholeStep "bgmix" SubsetForward.Recompute)

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: a whole BG-Mix step, B plus out of the whole batch`` () = Property.Check(smoothNets, wholeStep "bgmix" SubsetForward.Reuse)

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: a whole DG-Mix step, parts run alone`` () = Property.Check(smoothNets, wholeStep "dgmix" SubsetForward.Recompute)

[<Fact; Trait("kind", Exact)>]
let ``Oracle EXACT: a whole DG-Mix step, parts out of the whole batch`` () = Property.Check(smoothNets, wholeStep "dgmix" SubsetForward.Reuse)
