import { type Html, html } from "./html.ts";

/** JSON for people: indented, but what fits on one line stands on one. @param width most characters of a line */
export function jsonText(value: unknown, width = 58): string {
  return block(value, width, "", 0);
}

/** @param taken what else the first line has to hold */
function block(value: unknown, width: number, indent: string, taken: number): string {
  const line = oneLine(value);
  if (typeof value !== "object" || value === null || indent.length + taken + line.length <= width) return line;
  const deeper = `${indent}  `;
  const isList = Array.isArray(value);
  const lines = isList
    ? value.map((each) => deeper + block(each, width, deeper, 1))
    : members(value).map(
        ([name, each]) => `${deeper}${JSON.stringify(name)}: ${block(each, width, deeper, name.length + 5)}`,
      );
  const [open, close] = isList ? "[]" : "{}";
  return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}

function oneLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const texts = members(value).map(([name, each]) => `${JSON.stringify(name)}: ${oneLine(each)}`);
  return texts.length === 0 ? "{}" : `{ ${texts.join(", ")} }`;
}

function members(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, each]) => each !== undefined);
}

const words = /("(?:[^"\\]|\\.)*"\s*:)|("(?:[^"\\]|\\.)*")|\b(true|false|null|-?\d+(?:\.\d+)?)\b/g;

/** A text that holds JSON, coloured: names, texts, and the rest. */
export function coloured(text: string): Html[] {
  const pieces: Html[] = [];
  let end = 0;
  for (const match of text.matchAll(words)) {
    const [whole, name, string] = match;
    const kind = name ? "n" : string ? "s" : "v";
    pieces.push(html`${text.slice(end, match.index)}<span class="${kind}">${whole}</span>`);
    end = match.index + whole.length;
  }
  return [...pieces, html`${text.slice(end)}`];
}
