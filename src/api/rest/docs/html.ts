/** HTML that is safe as it stands. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may be put into a template; `false` and `undefined` are nothing. */
export type Piece = string | number | false | undefined | Html | readonly Piece[];

/** A template of HTML: texts that are put in are escaped, HTML is not. */
export type HtmlTemplate = (strings: TemplateStringsArray, ...pieces: readonly Piece[]) => Html;

/** @param escaped makes a text such that it may stand in an element or in a quoted attribute */
export function htmlTemplate(escaped: (text: string) => string): HtmlTemplate {
  const rendered = (piece: Piece): string => {
    if (piece === undefined || piece === false) return "";
    if (piece instanceof Html) return piece.text;
    return typeof piece === "object" ? piece.map(rendered).join("") : escaped(String(piece));
  };
  return (strings, ...pieces) =>
    new Html(strings.reduce((text, string, index) => text + rendered(pieces[index - 1]) + string));
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Nothing of the text ends an element or an attribute. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** The template of the documentation. */
export const html = htmlTemplate(escaped);
