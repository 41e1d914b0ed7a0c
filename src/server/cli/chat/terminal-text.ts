/** A model's text as a terminal may be given it: lines and tabs stay, what else would drive the terminal goes. */
export function harmless(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "");
}

/** A name on one line, cut short, without what a terminal would obey or that turns the text around it about. */
export function printable(name: string, most = 120): string {
  const plain = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return plain.length > most ? `${plain.slice(0, most - 1)}…` : plain;
}
