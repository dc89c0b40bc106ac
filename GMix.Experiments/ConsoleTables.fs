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
              yield! table.Legend
              "" ]
        )

    let private styled (c: Cell) =
        let text = Markup.Escape(c.Text + TableWriters.mark c)
        match c.Rank with
        | Some 1 -> $"[bold]{text}[/]"
        | Some 2 -> $"[underline]{text}[/]"
        | Some 3 -> $"[italic]{text}[/]"
        | _ -> text

    /// The table with rules and styles, for a terminal.
    let write (console: IAnsiConsole) (table: GMix.Experiments.Table) : unit =
        let grid = Spectre.Console.Table()
        grid.Border <- TableBorder.Rounded
        grid.Title <- TableTitle(Markup.Escape table.Title, Style(decoration = Decoration.Bold))
        table.Columns
        |> List.iteri (fun i name ->
            let column = TableColumn(Markup.Escape name)
            column.Alignment <- (if i = 0 then Justify.Left else Justify.Right)
            column.NoWrap <- (i = 0)
            grid.AddColumn column |> ignore)
        for cells in table.Rows do
            grid.AddRow(cells |> List.map styled |> Array.ofList) |> ignore
        console.Write grid
        console.MarkupLine $"[grey]{Markup.Escape table.Scale}[/]"
        for line in table.Legend do
            console.MarkupLine $"[grey]{Markup.Escape line}[/]"
        console.WriteLine()

    /// To standard output: styled in a terminal, plain when it is redirected.
    let print (table: GMix.Experiments.Table) : unit =
        if Console.IsOutputRedirected then Console.Out.Write(plain table) else write AnsiConsole.Console table
