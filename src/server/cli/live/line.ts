/** What colours mean: good, bad, on the way back, under way, beside the point. */
export type Style = "green" | "red" | "yellow" | "cyan" | "dim" | "bold";

/** A piece of a line in one style. */
export interface Span {
  readonly text: string;
  readonly style?: Style | undefined;
}

/** One line of a screen. */
export type Line = readonly Span[];

/** A line of one piece. */
export function line(text: string, style?: Style): Line {
  return text === "" ? [] : [{ text, style }];
}

/** Puts lines in a row. */
export function joined(lines: readonly Line[], between: Line = []): Line {
  return lines.flatMap((each, index) => (index === 0 ? each : [...between, ...each]));
}

/** The text without its styles. */
export function plain(spans: Line): string {
  return spans.map(({ text }) => text).join("");
}

const graphemes = new Intl.Segmenter();
/** East Asian wide and full-width characters, and pictures. Source: Unicode's EastAsianWidth.txt, in ranges. */
const wide =
  /^[\u1100-\u115f\u231a\u231b\u2329\u232a\u23e9-\u23ec\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f1e6}-\u{1f1ff}\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}|\ufe0f/u;
/** What most lines are made of; asked first, because it is cheap. */
const narrow = /^[\x20-\x7e]*$/;

/** How many columns of a terminal a text takes. */
export function textWidth(text: string): number {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment);
  return width;
}

function graphemeWidth(grapheme: string): number {
  if (wide.test(grapheme)) return 2;
  return /^[\p{M}\p{Cf}\p{Cc}]+$/u.test(grapheme) ? 0 : 1;
}

/** How many columns a line takes. */
export function lineWidth(spans: Line): number {
  return spans.reduce((sum, { text }) => sum + textWidth(text), 0);
}

/** As much of a line as fits, with an ellipsis where something is missing. */
export function clipped(spans: Line, width: number): Line {
  if (width <= 0) return [];
  if (lineWidth(spans) <= width) return spans;
  const kept: Span[] = [];
  let left = width - 1;
  for (const { text, style } of spans) {
    const part = beginning(text, left);
    kept.push({ text: part, style });
    left -= textWidth(part);
    if (part !== text) break;
  }
  return [...kept, { text: "…", style: "dim" }];
}

function beginning(text: string, width: number): string {
  let kept = "";
  let left = width;
  for (const { segment } of graphemes.segment(text)) {
    left -= graphemeWidth(segment);
    if (left < 0) break;
    kept += segment;
  }
  return kept;
}

/** Exactly so wide: clipped, or filled with blanks. */
export function fitted(spans: Line, width: number, align: "left" | "right" = "left"): Line {
  const cut = clipped(spans, width);
  const blanks = line(" ".repeat(Math.max(0, width - lineWidth(cut))));
  return align === "left" ? [...cut, ...blanks] : [...blanks, ...cut];
}

/** A left and a right end with blanks between them; the left one gives way. */
export function spread(left: Line, right: Line, width: number): Line {
  const room = width - lineWidth(right) - (right.length > 0 ? 2 : 0);
  if (room < 1) return clipped(left, width);
  return right.length === 0 ? clipped(left, width) : [...fitted(left, room), { text: "  " }, ...right];
}
