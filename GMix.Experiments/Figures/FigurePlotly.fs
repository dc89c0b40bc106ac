namespace GMix.Experiments

open System
open System.Text.Json.Nodes

/// Figures as Plotly's JSON. Colours of text and grid are the page's business and are left out.
[<RequireQualifiedAccess>]
module FigurePlotly =
    let private object (pairs: (string * JsonNode) list) =
        let result = JsonObject()
        for key, value in pairs do
            result.Add(key, value)
        result

    let private text (value: string) : JsonNode = JsonValue.Create value
    let private flag (value: bool) : JsonNode = JsonValue.Create value
    let private number (value: float) : JsonNode = if Double.IsFinite value then JsonValue.Create value else null
    // six digits are more than a screen shows, and halve the page
    let private numbers (values: float seq) : JsonNode =
        JsonArray([| for v in values -> number (if Double.IsFinite v then Math.Round(v, 4) else v) |])

    let private dashName dash =
        match dash with
        | Dash.Solid -> "solid"
        | Dash.Dashed -> "dash"
        | Dash.Dotted -> "dot"
        | Dash.DashDot -> "dashdot"

    let private translucent (colour: string) =
        let channel at = Convert.ToInt32(colour.Substring(at, 2), 16)
        $"rgba({channel 1},{channel 3},{channel 5},0.16)"

    /// `middle`: right of it a name stands to the left of its point, so that it stays inside the plot.
    let private traces (middle: float) (s: Series) : JsonNode list =
        let edge values extra =
            [ "x", numbers s.X
              "y", numbers values
              "type", text "scatter"
              "mode", text "lines"
              "line", object [ "width", number 0.0 ] :> JsonNode
              "legendgroup", text s.Name
              "showlegend", flag false
              "hoverinfo", text "skip" ]
            @ extra
            |> object
            :> JsonNode
        let band =
            match s.Band, s.Mark with
            | Some(low, high), (Mark.Line | Mark.LineAndPoints) ->
                [ edge high []; edge low [ "fill", text "tonexty"; "fillcolor", text (translucent s.Colour) ] ]
            | _ -> []
        let errors =
            match s.Band, s.Mark with
            | Some(low, high), Mark.LabelledPoints ->
                [ "error_y",
                  object
                      [ "type", text "data"
                        "symmetric", flag false
                        "array", numbers (List.map2 (-) high s.Y)
                        "arrayminus", numbers (List.map2 (-) s.Y low)
                        "thickness", number 1.5
                        "width", number 0.0 ]
                  :> JsonNode ]
            | _ -> []
        let mode =
            match s.Mark with
            | Mark.Line when s.X.Length > 1 -> "lines"
            | Mark.Line | Mark.LineAndPoints -> "lines+markers"
            | Mark.LabelledPoints -> "markers+text"
        let labels =
            if s.Mark = Mark.LabelledPoints then
                [ "text", JsonArray([| for _ in s.X -> text $" {s.Name} " |]) :> JsonNode
                  "textposition", JsonArray([| for x in s.X -> text (if x > middle then "middle left" else "middle right") |])
                  "showlegend", flag false ]
            else
                []
        let main =
            [ "x", numbers s.X
              "y", numbers s.Y
              "type", text "scatter"
              "mode", text mode
              "name", text s.Name
              "legendgroup", text s.Name
              "line", object [ "color", text s.Colour; "width", number 2.2; "dash", text (dashName s.Dash) ]
              "marker", object [ "color", text s.Colour; "size", number 9.0 ]
              "hovertemplate", text "%{y:.2f}" ]
            @ labels
            @ errors
            |> object
        band @ [ main :> JsonNode ]

    let private axis (axis: Axis) =
        [ "title", object [ "text", text axis.Title ] :> JsonNode
          "type", text (if axis.Scale = Scale.Log then "log" else "linear")
          "automargin", flag true
          "zeroline", flag false
          if not axis.Ticks.IsEmpty then
              "tickvals", numbers axis.Ticks ]

    /// {"data": [traces], "layout": {…}}.
    let json (figure: Figure) : JsonObject =
        let points = figure.Series |> List.exists (fun s -> s.Mark = Mark.LabelledPoints)
        let middle = match Figure.xExtent figure with Some(low, high) -> (low + high) / 2.0 | None -> 0.0
        object
            [ "data", JsonArray([| for s in figure.Series do yield! traces middle s |])
              "layout",
              object
                  [ "xaxis", object (axis figure.X @ (if points then [] else [ "hoverformat", text "" ]))
                    "yaxis", object (axis figure.Y)
                    "hovermode", text (if points then "closest" else "x unified")
                    "showlegend", flag (not points) ] ]
