import { plainText, shortened } from "./words.ts";

/**
 * Phases drawn under a timeline: `├─ outage ─┤`, those that overlap in lines of their own.
 * @param columns of the timeline
 * @param room columns that names may reach into
 */
export function phaseLines(
  phases: readonly { readonly name: string; readonly fromMs: number; readonly toMs: number }[],
  columns: number,
  columnMs: number,
  room: number,
): string[] {
  const lines: string[][] = [];
  for (const { name, fromMs, toMs } of phases) {
    const from = Math.min(columns - 1, Math.floor(fromMs / columnMs));
    const width = Math.max(1, Math.min(columns, Math.ceil(toMs / columnMs)) - from);
    const { text, at } = labelled(shortened(plainText(name), room - 8), from, width, room);
    // A blank before and after keeps neighbours apart.
    const free = (line: readonly string[]) =>
      line.slice(Math.max(0, at - 1), at + text.length + 1).every((character) => character === " ");
    let line = lines.find(free);
    if (!line) {
      line = Array.from({ length: room }, () => " ");
      lines.push(line);
    }
    for (const [offset, character] of [...text].entries()) line[at + offset] = character;
  }
  return lines.map((line) => line.join("").trimEnd());
}

function labelled(name: string, from: number, width: number, room: number): { text: string; at: number } {
  if (name.length + 6 <= width) {
    const dashes = width - 4 - name.length;
    const left = Math.floor(dashes / 2);
    return { text: `├${"─".repeat(left)} ${name} ${"─".repeat(dashes - left)}┤`, at: from };
  }
  const mark = width === 1 ? "│" : `├${"─".repeat(width - 2)}┤`;
  if (from + width + 1 + name.length <= room) return { text: `${mark} ${name}`, at: from };
  const before = from - name.length - 1;
  return before >= 0 ? { text: `${name} ${mark}`, at: before } : { text: mark, at: from };
}
