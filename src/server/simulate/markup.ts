import { plainText } from "./words.ts";

/** A piece of HTML that is safe as it stands. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template: texts and numbers are escaped, pieces and lists of them are not. */
type Part = string | number | undefined | false | Markup | readonly Part[];

/** A template of HTML in which everything that is put in is escaped, but for pieces that are HTML already. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.reduce((text, string, index) => text + rendered(parts[index - 1]) + string));
}

function rendered(part: Part): string {
  if (part === undefined || part === false) return "";
  if (part instanceof Markup) return part.text;
  if (typeof part === "object") return part.map(rendered).join("");
  return escaped(String(part));
}

/** Text as it may stand in an element or in a quoted attribute, without what would turn the text around it about. */
export function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return plainText(text).replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** Data as it may stand in a script element: nothing in it ends the element. */
export function embedded(data: unknown): Markup {
  return new Markup(
    JSON.stringify(data, (_, value) => (typeof value === "string" ? plainText(value) : value)).replace(/</g, "\\u003c"),
  );
}
