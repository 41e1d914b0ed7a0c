import { textWidth } from "../../src/server/cli/live/line.ts";

/** The screen of a terminal as somebody sees it who looks at it. */
export interface SeenScreen {
  /** Takes what a program writes. @throws for a sequence that it does not know: then nobody knows what is seen */
  write(bytes: string): void;
  resize(columns: number, rows: number): void;
  /** The rows without blanks at their ends. */
  rows(): string[];
  /** Everything that has left the screen at its top. */
  readonly scrolledOff: readonly string[];
  readonly cursorVisible: boolean;
  readonly wraps: boolean;
}

/** A small terminal: what Everhop writes, and no more. */
export function createSeenScreen(columns: number, rows: number): SeenScreen {
  let cells: string[][] = blankRows(rows);
  let row = 0;
  let column = 0;
  let pending = "";
  let cursorVisible = true;
  let wraps = true;
  const scrolledOff: string[] = [];

  function blankRows(count: number): string[][] {
    return Array.from({ length: count }, () => []);
  }

  function lineFeed(): void {
    row += 1;
    if (row < rows) return;
    row = rows - 1;
    scrolledOff.push(textOf(cells.shift() ?? []));
    cells.push([]);
  }

  function put(grapheme: string): void {
    const width = textWidth(grapheme);
    if (column + width > columns) {
      if (!wraps) return;
      column = 0;
      lineFeed();
    }
    const line = cells[row] ?? [];
    while (line.length < column) line.push(" ");
    line[column] = grapheme;
    for (let more = 1; more < width; more++) line[column + more] = "";
    column += width;
  }

  function obey(parameters: string, command: string): void {
    const number = Number(parameters || "1");
    const line = cells[row] ?? [];
    if (command === "m") return;
    if (command === "A") row = Math.max(0, row - number);
    else if (command === "K") line.length = Math.min(line.length, column);
    else if (command === "J") {
      line.length = Math.min(line.length, column);
      cells = [...cells.slice(0, row + 1), ...blankRows(rows - row - 1)];
    } else if (command === "H" && parameters === "") [row, column] = [0, 0];
    else if (parameters === "?25") cursorVisible = command === "h";
    else if (parameters === "?7") wraps = command === "h";
    else if (parameters !== "?2026") throw new Error(`an unknown sequence: ${parameters}${command}`);
  }

  return {
    scrolledOff,
    get cursorVisible() {
      return cursorVisible;
    },
    get wraps() {
      return wraps;
    },
    write(bytes) {
      const text = pending + bytes;
      // A sequence may come in two reads.
      const cut = /\x1b(?:\[[\d;?]*)?$/.exec(text)?.index ?? text.length;
      pending = text.slice(cut);
      for (const [token, parameters, command] of text
        .slice(0, cut)
        .matchAll(/\x1b\[([\d;?]*)([A-Za-z])|[^\x1b]\p{M}*|\x1b/gsu)) {
        if (command !== undefined) obey(parameters ?? "", command);
        else if (token === "\r") column = 0;
        else if (token === "\n") lineFeed();
        else if (token === "\x1b") throw new Error("a lone escape");
        else put(token);
      }
    },
    resize(nextColumns, nextRows) {
      columns = nextColumns;
      rows = nextRows;
      // What a terminal does to lines that no longer fit differs from one to the other: here they are gone.
      cells = blankRows(rows);
      [row, column] = [0, 0];
    },
    rows: () => cells.map(textOf),
  };
}

function textOf(cells: readonly string[]): string {
  return Array.from(cells, (cell) => cell ?? " ")
    .join("")
    .trimEnd();
}
