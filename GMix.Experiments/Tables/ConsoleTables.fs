namespace GMix.Experiments

open System
open Spectre.Console

/// Tables on the console: coloured in a terminal, plain aligned text when the output goes to a file or a pipe.
[<RequireQualifiedAccess>]
module ConsoleTables =
    let private pad right (width: int) (text: string) = if right then text.PadLeft width else text.PadRight width

    /// Aligned text without colour or box characters; ranks as ¹ ² ³.
    let plain (table: GMix.Experiments.Table) : string =
        let texts = table.Rows |> List.map (List.map (fun c -> c.Text + TableWriters.mark c))
        let widths = table.Columns :: texts |> List.transpose |> List.map (List.map String.length >> List.max)
        let line cells = (List.zip widths cells |> List.mapi (fun i (w, c) -> pad (i > 0) w c) |> String.concat "  ").TrimEnd()
        String.Join(
            "\n",
            [ table.Title
              table.Scale
              ""
              line table.Columns
              line (widths |> List.map (fun w -> String('-', w)))
              for cells in texts do
                  line cells
              ""
              yield! TableWriters.rankLegend table @ table.Legend
              "" ]
        )

    let private styled (c: Cell) =
        let text = Markup.Escape(c.Text + TableWriters.mark c)
        match c.Rank with
        | Some 1 -> $"[bold]{text}[/]"
        | Some 2 -> $"[underline]{text}[/]"
        | Some 3 -> $"[italic]{text}[/]"
        | _ -> text

    let private widths (table: GMix.Experiments.Table) =
        table.Columns :: (table.Rows |> List.map (List.map (fun c -> c.Text + TableWriters.mark c)))
        |> List.transpose
        |> List.map (List.map String.length >> List.max)

    /// The table with rules and styles, for a terminal. Where the full rules do not fit, headers break and the rules go, so that numbers
    /// stay whole at 80 columns.
    let write (console: IAnsiConsole) (table: GMix.Experiments.Table) : unit =
        let wide = List.sum (widths table) + 3 * table.Columns.Length + 1 <= console.Profile.Width
        let grid = Spectre.Console.Table()
        grid.Border <- (if wide then TableBorder.Rounded else TableBorder.None)
        grid.Title <- TableTitle(Markup.Escape table.Title, Style(decoration = Decoration.Bold))
        table.Columns
        |> List.iteri (fun i name ->
            let header =
                match name.IndexOf ' ' with
                | at when at > 0 && not wide -> name.Substring(0, at) + "\n" + name.Substring(at + 1)
                | _ -> name
            let column = TableColumn(Markup.Escape header)
            column.Alignment <- (if i = 0 then Justify.Left else Justify.Right)
            column.NoWrap <- true
            if not wide then column.Padding <- Padding(0, 0, (if i = table.Columns.Length - 1 then 0 else 1), 0)
            grid.AddColumn column |> ignore)
        for cells in table.Rows do
            grid.AddRow(cells |> List.map styled |> Array.ofList) |> ignore
        console.Write grid
        console.MarkupLine $"[grey]{Markup.Escape table.Scale}[/]"
        for line in TableWriters.rankLegend table @ table.Legend do
            console.MarkupLine $"[grey]{Markup.Escape line}[/]"
        console.WriteLine()

    /// To standard output: styled in a terminal, plain when it is redirected.
    let print (table: GMix.Experiments.Table) : unit =
        if Console.IsOutputRedirected then Console.Out.Write(plain table) else write AnsiConsole.Console table
