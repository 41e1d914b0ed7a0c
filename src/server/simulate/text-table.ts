import { shortened } from "./words.ts";

/** A column of a table. */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Whether what stands in it may be shortened, so that the table fits. */
  readonly flexible?: boolean;
}

/** Least width of a column that is shortened. */
const leastWidth = 9;

/** Lays out rows in columns, two blanks apart, numbers to the right; the widest flexible columns give way. */
export function textTable(
  width: number,
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): { head: string; lines: string[] } {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  for (;;) {
    const total = widths.reduce((sum, each) => sum + each + 2, -2);
    const widest = columns.reduce(
      (best, { flexible }, index) => (flexible && (widths[index] ?? 0) > (widths[best] ?? 0) ? index : best),
      columns.findIndex(({ flexible }) => flexible),
    );
    if (total <= width || widest < 0 || (widths[widest] ?? 0) <= leastWidth) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const room = widths[index] ?? 0;
        const shown = shortened(cell, room);
        return columns[index]?.align === "right" ? shown.padStart(room) : shown.padEnd(room);
      })
      .join("  ")
      .trimEnd();
  return { head: line(columns.map(({ title }) => title)), lines: rows.map(line) };
}

/** Breaks a sentence into lines. @param indent of every line but the first */
export function wrapped(sentence: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  // A number stays with its unit.
  for (const word of sentence.split(/ (?!(?:ms|s|min|h|%)\b)/)) {
    const start = lines.length === 0 ? "" : indent;
    if (line !== "" && start.length + line.length + 1 + word.length > width) {
      lines.push(start + line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push((lines.length === 0 ? "" : indent) + line);
  return lines;
}
