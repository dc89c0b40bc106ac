module GMix.Experiments.Tests.ReportTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open System.Xml.Linq
open Xunit
open GMix
open GMix.Experiments
open GMix.Experiments.Tests.MadeUpRuns

let private sixRuns name seeds = compare (freshFolder name) "cifar10" "wrn-16-2" six 24 seeds

let private reportOf title runs =
    Report.create title
    |> Report.withRuns runs
    |> Report.withRemarks [ "BG-Mix uses γ = 0.8 here." ]
    |> Report.withCommand "gmix compare --dataset cifar10 --methods vanilla,sam"
    |> Report.withWallTime (TimeSpan.FromSeconds 75.0)

let private standard () = sixRuns "standard" [ 0; 1; 2 ] |> Summary.comparisons |> List.exactlyOne |> Charts.standard

[<Fact>]
let ``the standard figures hold a line per method with a band over seeds`` () =
    let figures = standard ()
    Assert.Equal(5, figures.Length)
    for f in figures do
        Assert.Equal(6, f.Series.Length)
        Assert.All(f.Series, fun s -> Assert.True s.Band.IsSome)
    let accuracy = figures.Head.Series.Head
    Assert.Equal<float list>([ 1.0 .. 24.0 ], accuracy.X)
    let low, high = accuracy.Band.Value
    List.iter2 (fun (l: float) (y, h) -> Assert.True(l <= y && y <= h)) low (List.zip accuracy.Y high)

[<Fact>]
let ``every figure is well-formed SVG inside its frame`` () =
    for figure in standard () do
        let svg = XDocument.Parse(FigureSvg.standalone figure).Root
        let frame = svg.Attribute(XName.Get "viewBox").Value.Split ' ' |> Array.map float
        let name local = XName.Get(local, "http://www.w3.org/2000/svg")
        let points =
            [ for line in svg.Descendants(name "polyline") do
                  for point in line.Attribute(XName.Get "points").Value.Split ' ' do
                      let xy = point.Split ','
                      float xy[0], float xy[1]
              for circle in svg.Descendants(name "circle") do
                  float (circle.Attribute(XName.Get "cx").Value), float (circle.Attribute(XName.Get "cy").Value) ]
        Assert.True(points.Length >= 6)
        for x, y in points do
            Assert.InRange(x, 0.0, frame[2])
            Assert.InRange(y, 0.0, frame[3])

[<Fact>]
let ``a figure with a single point, equal values or missing values can be drawn`` () =
    let series x y = { Name = "a & b"; Colour = "#1f6feb"; Dash = Dash.Dashed; Mark = Mark.Line; X = x; Y = y; Band = None }
    for s in [ series [ 1.0 ] [ 5.0 ]; series [ 1.0; 2.0 ] [ 3.0; 3.0 ]; series [ 1.0; 2.0; 3.0 ] [ nan; 1.0; infinity ] ] do
        let figure = Figure.create "f" "A < B" |> Figure.withAxes "x" "y" |> Figure.withSeries [ s ]
        let svg = FigureSvg.standalone figure
        XDocument.Parse svg |> ignore
        Assert.DoesNotContain("NaN", svg)
        Assert.DoesNotContain("∞", svg)
        Assert.DoesNotContain("NaN", (FigurePlotly.json figure).ToJsonString())
    Assert.Empty((Figure.create "f" "t" |> Figure.withSeries [ series [ 1.0 ] [ nan ] ]).Series)

[<Fact>]
let ``Plotly gets the same lines as the SVG`` () =
    let figure = (standard ()).Head
    let json = FigurePlotly.json figure
    let traces = json["data"].AsArray()
    Assert.Equal(3 * 6, traces.Count)
    let named = traces |> Seq.filter (fun t -> not (isNull t["name"])) |> List.ofSeq
    for trace, series in List.zip named figure.Series do
        Assert.Equal(series.Name, trace["name"].ToString())
        Assert.Equal(series.Colour, trace["line"].["color"].ToString())
        Assert.Equal(24, trace["y"].AsArray().Count)

/// Linear red, green and blue.
let private linear (colour: string) =
    [| for at in [ 1; 3; 5 ] do
           let c = float (Convert.ToInt32(colour.Substring(at, 2), 16)) / 255.0
           if c <= 0.03928 then c / 12.92 else ((c + 0.055) / 1.055) ** 2.4 |]

let private luminance (colour: string) = Array.map2 (*) [| 0.2126; 0.7152; 0.0722 |] (linear colour) |> Array.sum

let private contrast a b =
    let a, b = luminance a, luminance b
    (max a b + 0.05) / (min a b + 0.05)

[<Fact>]
let ``every colour can be seen on light and dark ground`` () =
    for colour in Palette.colours do
        for ground in [ "#ffffff"; "#14171b" ] do
            Assert.True(contrast colour ground >= 3.0, $"{colour} on {ground}: {contrast colour ground}")

/// Linear colours as people with a full deficiency see them (Machado, Oliveira and Fernandes 2009).
let private deficiencies =
    [ "none", [ [ 1.0; 0.0; 0.0 ]; [ 0.0; 1.0; 0.0 ]; [ 0.0; 0.0; 1.0 ] ]
      "protanopia", [ [ 0.152286; 1.052583; -0.204868 ]; [ 0.114503; 0.786281; 0.099216 ]; [ -0.003882; -0.048116; 1.051998 ] ]
      "deuteranopia", [ [ 0.367322; 0.860646; -0.227968 ]; [ 0.280085; 0.672501; 0.047413 ]; [ -0.011820; 0.042940; 0.968881 ] ] ]

/// CIE L*a*b* of a linear colour.
let private lab (rgb: float[]) =
    let c = rgb |> Array.map (fun v -> Math.Clamp(v, 0.0, 1.0))
    let f t = if t > 0.008856 then Math.Cbrt t else 7.787 * t + 16.0 / 116.0
    let x = f ((0.4124 * c[0] + 0.3576 * c[1] + 0.1805 * c[2]) / 0.9505)
    let y = f (0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2])
    let z = f ((0.0193 * c[0] + 0.1192 * c[1] + 0.9505 * c[2]) / 1.089)
    [| 116.0 * y - 16.0; 500.0 * (x - y); 200.0 * (y - z) |]

[<Fact>]
let ``the six methods stay apart for people with a colour vision deficiency`` () =
    for name, matrix in deficiencies do
        let seen =
            six
            |> List.map (fun m ->
                let rgb = linear (fst (Palette.style m.Name))
                m.Title, lab [| for row in matrix -> List.map2 (*) row (List.ofArray rgb) |> List.sum |])
        for i in 0 .. seen.Length - 1 do
            for j in 0 .. i - 1 do
                let (a, first), (b, second) = seen[i], seen[j]
                let distance = Array.map2 (fun x y -> (x - y) ** 2.0) first second |> Array.sum |> sqrt
                Assert.True(distance >= 15.0, $"{a} and {b} under {name}: {distance}")

[<Fact>]
let ``a method without a colour of its own gets the same one every time`` () =
    Assert.Equal(Palette.style "my-method", Palette.style "my-method")
    Assert.Equal(("#ba3512", Dash.Solid), Palette.style "dgmix")
    Assert.Equal(4, [ 0..3 ] |> List.map (Palette.dashOf "dgmix") |> List.distinct |> List.length)

[<Fact>]
let ``a sweep draws one line per method and a level line for what is not swept`` () =
    let runs = compare (freshFolder "sweep") "cifar10" "mlp" [ gmix; dgmix 0.1; dgmix 0.5; dgmix 0.9 ] 4 [ 0; 1 ]
    let groups = Summary.groups runs
    let gamma (g: GroupSummary) = if g.Method.Name = "dgmix" then Some(g.Method.Extra["gamma"].GetDouble()) else None
    let figure = Charts.sweep "gamma" "γ" "γ" "Acc" gamma (fun g -> Some g.Acc) groups
    Assert.Equal<string list>([ "G-Mix"; "DG-Mix" ], figure.Series |> List.map (fun s -> s.Name))
    for s in figure.Series do
        Assert.Equal<float list>([ 0.1; 0.5; 0.9 ], s.X)
    Assert.Equal(1, figure.Series.Head.Y |> List.distinct |> List.length)
    Assert.Equal(Scale.Linear, figure.X.Scale)

[<Fact>]
let ``a sweep over powers of two has a logarithmic axis`` () =
    let groups =
        Summary.groups
            [ for batch in [ 32; 64; 128; 256 ] do
                  let s = { settings "svhn" "mlp" mixup 2 0 with Batch = batch }
                  { Folder = ""; File = RunStore.describe "b" s data environment; Epochs = epochsOf s 2; State = RunState.Complete; Warnings = [] } ]
    let figure = Charts.sweep "batch" "Batch size" "batch size" "Acc" (fun g -> Some(float g.Settings.Batch)) (fun g -> Some g.Acc) groups
    Assert.Equal((Scale.Log, [ 32.0; 64.0; 128.0; 256.0 ]), (figure.X.Scale, figure.X.Ticks))
    let svg = FigureSvg.standalone figure
    for tick in [ ">32<"; ">64<"; ">128<"; ">256<" ] do
        Assert.Contains(tick, svg)

[<Fact>]
let ``the page states the finding, the table and the evidence, and loads nothing`` () =
    let html = sixRuns "page" [ 0; 1; 2 ] |> reportOf "Six <methods>" |> Report.render
    for text in
        [ "Six &lt;methods&gt;"
          "DG-Mix has the best test accuracy"
          "BG-Mix uses"
          "0123456789ab"
          "1.13.1"
          "OpenBLAS"
          "Example CPU &amp; Co &lt;2 GHz&gt;"
          "float32"
          "2 threads"
          "gmix compare --dataset cifar10"
          "3 seeds"
          "higher is better"
          "No published number stands beside"
          "Nemenyi" ] do
        Assert.Contains(text, html)
    Assert.DoesNotContain("{{", Regex.Replace(html, "(?s)<script>.*?</script>", ""))
    // outside the library's own text nothing names another host
    let own = Regex.Replace(html, "(?s)<script>.*?</script>", "").Replace("http://www.w3.org/2000/svg", "")
    Assert.DoesNotMatch("(src|href)=|https?://|@import", own)
    use figures = JsonDocument.Parse(Regex.Match(html, "(?s)id=\"figures\">(.*?)</script>").Groups[1].Value)
    Assert.Equal(6, figures.RootElement.EnumerateObject() |> Seq.length)

[<Fact>]
let ``runs of two data sets make two sections`` () =
    let root = freshFolder "two-sets"
    compare root "cifar10" "wrn-16-2" [ vanilla; mixup ] 3 [ 0; 1 ] |> ignore
    let html = compare root "svhn" "mobilenet" [ vanilla; mixup ] 3 [ 0; 1 ] |> reportOf "Two" |> Report.render
    Assert.Contains("<h2>CIFAR-10, WRN-16-2</h2>", html)
    Assert.Contains("<h2>SVHN, MobileNet</h2>", html)
    Assert.Contains("Best test accuracy in 2 comparisons: Mixup in 2.", html)

[<Fact>]
let ``unfinished and failed runs are named`` () =
    let root = freshFolder "unfinished"
    write root "c" (settings "svhn" "mlp" vanilla 4 0) 4 |> ignore
    let folder = write root "c" (settings "svhn" "mlp" mixup 4 0) 2
    RunStore.markFailed folder "the loss is NaN"
    let html = RunStore.list root |> reportOf "Unfinished" |> Report.render
    Assert.Contains("failed (the loss is NaN)", html)
    // a run that failed before its first epoch is in no table, but is not kept quiet
    let early = write root "c" (settings "svhn" "mlp" sam 4 0) 0
    RunStore.markFailed early "out of memory"
    Assert.Contains("SAM on SVHN, MLP, seed 0: failed (out of memory)", RunStore.list root |> reportOf "Early" |> Report.render)

[<Fact>]
let ``figures are saved as SVG beside the report`` () =
    let paths = reportOf "Six" (sixRuns "figures" [ 0 ]) |> Report.saveFigures (freshFolder "figures-svg")
    Assert.Equal(6, paths.Length)
    Assert.Contains("accuracy-cifar10-wrn-16-2.svg", paths |> List.map Path.GetFileName)
    for path in paths do
        XDocument.Load path |> ignore

[<Fact>]
let ``nothing to report is said in one line`` () =
    let error = Assert.Throws<GMixInputException>(fun () -> Report.create "Empty" |> Report.render |> ignore)
    Assert.Contains("nothing to report", error.Message)

let private chromium =
    [ "chromium"; "chromium-browser"; "google-chrome" ]
    |> List.collect (fun name -> (Environment.GetEnvironmentVariable "PATH").Split ':' |> List.ofArray |> List.map (fun dir -> Path.Combine(dir, name)))
    |> List.tryFind File.Exists

/// Runs the browser on a page without a network and returns what it printed: the page as it stands after its scripts, and its console.
let private browse (page: string) (arguments: string list) =
    match chromium with
    | None ->
        Assert.Skip "no Chromium on the PATH"
        "", ""
    | Some program ->
        let profile = freshFolder ("chromium-" + Path.GetFileNameWithoutExtension page)
        let start = ProcessStartInfo(program, RedirectStandardOutput = true, RedirectStandardError = true)
        for argument in
            [ "--headless"; "--no-sandbox"; "--disable-gpu"; "--disable-quic"; "--no-first-run"; "--disable-background-networking"
              "--disable-component-update"; "--disable-sync"; "--disable-dev-shm-usage"; "--host-resolver-rules=MAP * ~NOTFOUND"
              $"--user-data-dir={profile}"; "--enable-logging=stderr"; "--virtual-time-budget=8000" ]
            @ arguments
            @ [ Uri(page).AbsoluteUri ] do
            start.ArgumentList.Add argument
        use browser = Process.Start start
        let errors = browser.StandardError.ReadToEndAsync()
        let output = browser.StandardOutput.ReadToEndAsync()
        if not (browser.WaitForExit 90000) then
            browser.Kill true
            Assert.Fail "Chromium did not finish within 90 s"
        output.Result, errors.Result

let private consoleLines (errors: string) = errors.Split '\n' |> Array.filter (fun line -> line.Contains ":CONSOLE")

[<Fact>]
let ``in a browser the page renders its figures by Plotly without an error and without a network`` () =
    match Report.findPlotly () with
    | None -> Assert.Skip "no plotly.min.js in .cache/js"
    | Some plotly ->
        let page = Path.Combine(freshFolder "browser", "report.html")
        let runs = sixRuns "browser-runs" [ 0; 1; 2 ]
        reportOf "Six methods" runs |> Report.withPlotly plotly |> Report.save page |> ignore
        let dom, errors = browse page [ "--dump-dom"; "--window-size=1280,900" ]
        Assert.Empty(consoleLines errors)
        Assert.Equal(5, Regex.Matches(dom, "<figure id=\"[^\"]+\" class=\"on\">").Count)
        Assert.Equal(5, Regex.Matches(dom, "class=\"live js-plotly-plot\"").Count)
        // six methods drawn in each of the four line figures
        Assert.True(Regex.Matches(dom, "class=\"js-line\"").Count >= 24)

[<Fact>]
let ``in a browser closed sections draw when opened, the theme turns, and nothing sticks out on a narrow screen`` () =
    match Report.findPlotly () with
    | None -> Assert.Skip "no plotly.min.js in .cache/js"
    | Some plotly ->
        let page = Path.Combine(freshFolder "browser-acts", "acts.html")
        let html = sixRuns "browser-acts-runs" [ 0; 1 ] |> reportOf "Six methods" |> Report.withPlotly plotly |> Report.render
        let acts =
            """<script>addEventListener("load", function () {
                 document.querySelectorAll("details").forEach(function (section) { section.open = true; });
                 document.getElementById("theme").click();
                 setTimeout(function () {
                   var root = document.documentElement;
                   root.dataset.width = root.scrollWidth <= innerWidth ? "fits" : "sticks out: " + root.scrollWidth + " of " + innerWidth;
                   root.dataset.ink = getComputedStyle(document.querySelector(".live .xtitle")).fill;
                 }, 1500);
               });</script></body>"""
        File.WriteAllText(page, html.Replace("</body>", acts))
        let dom, errors = browse page [ "--dump-dom"; "--window-size=500,900"; "--blink-settings=preferredColorScheme=1" ]
        Assert.Empty(consoleLines errors)
        Assert.Equal(6, Regex.Matches(dom, "<figure id=\"[^\"]+\" class=\"on\">").Count)
        let root = Regex.Match(dom, "<html[^>]*>").Value
        Assert.Contains("data-theme=\"dark\"", root)
        Assert.Contains("data-width=\"fits\"", root)
        // the dark ground's own text colour: Plotly was told of the change
        Assert.Contains("data-ink=\"rgb(230, 232, 234)\"", root)

[<Fact>]
let ``in a browser the page without Plotly keeps its still figures`` () =
    let page = Path.Combine(freshFolder "browser-plain", "plain.html")
    let empty = Path.Combine(Path.GetDirectoryName page, "none.js")
    File.WriteAllText(empty, "")
    sixRuns "browser-plain-runs" [ 0 ] |> reportOf "Six methods" |> Report.withPlotly empty |> Report.save page |> ignore
    let dom, errors = browse page [ "--dump-dom"; "--window-size=390,844" ]
    Assert.Empty(consoleLines errors)
    Assert.DoesNotContain("class=\"on\"", dom)
    Assert.Equal(6, Regex.Matches(dom, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox").Count)
