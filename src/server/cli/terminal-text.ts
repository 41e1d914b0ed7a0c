/** A model's text as a terminal may be given it: lines and tabs stay, what else would drive the terminal goes. */
export function harmless(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "");
}

/** JSON that says the same, but that a terminal may be given: what of it would drive one, and JSON would leave as it is, is escaped. */
export function harmlessJson(json: string): string {
  return json.replace(/[\x7f-\x9f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

/** A name on one line, cut short, without what a terminal would obey or that turns the text around it about. */
export function printable(name: string, most = 120): string {
  const plain = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return plain.length > most ? `${plain.slice(0, most - 1)}…` : plain;
}
