import { type Html, html } from "./html.ts";

/** Prose as HTML: of CommonMark the paragraphs, lists, code and strong words that the documentation is written in. */
export function prose(text: string): Html[] {
  return text.split("\n\n").map((block) => {
    const lines = block.split("\n");
    if (!lines.every((line) => line.startsWith("- "))) return html`<p>${phrase(lines.join(" "))}</p>`;
    return html`<ul>${lines.map((line) => html`<li>${phrase(line.slice(2))}</li>`)}</ul>`;
  });
}

/** One line of prose. */
export function phrase(text: string): Html[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`")) return html`<code>${piece.slice(1, -1)}</code>`;
    if (piece.startsWith("**")) return html`<strong>${piece.slice(2, -2)}</strong>`;
    return html`${piece}`;
  });
}
