/** One thing wrong with a configuration. */
export interface ConfigProblem {
  /** Such as `providers[0].base_url`. */
  readonly path: string;
  /** The value as it stands there; `[secret]` where it may be one. */
  readonly value: string;
  readonly expected: string;
  /** Where it stands: `12:5`, line and column of the file, or a variable's name. */
  readonly at?: string | undefined;
}

/** A value for people: cut where it is long, and not at all where it may be a key that stands in the wrong place. */
export function shownText(text: string): string {
  const startsAsKey = /^(Bearer |(sk|pk|rk|ek|gsk|xai|hf|LLM)[-_|]|AIza)/i.test(text);
  const looksRandom = /^(?=.*\d)(?=.*[A-Za-z])[\w|+=~-]{32,}$/.test(text);
  if (startsAsKey || looksRandom) return "[secret]";
  const quoted = JSON.stringify(text);
  return quoted.length > 60 ? `${quoted.slice(0, 60)}…` : quoted;
}

/** A configuration that cannot be used, with everything that is wrong with it. */
export class ConfigError extends Error {
  override name = "ConfigError";
  readonly problems: readonly ConfigProblem[];
  /** Files that it was read from, as far as whoever throws it knows them: when one of them changes it may be right. */
  files: readonly string[];

  constructor(source: string, problems: readonly ConfigProblem[], files: readonly string[] = []) {
    const width = Math.min(48, Math.max(...problems.map(({ path }) => path.length)));
    const places = problems.map(({ at = "" }) => at);
    const placeWidth = Math.max(...places.map(({ length }) => length));
    const lines = problems.map(
      ({ path, value, expected, at = "" }) =>
        `  ${placeWidth > 0 ? `${at.padEnd(placeWidth)}  ` : ""}${path.padEnd(width)}  ${expected}${value && `, got ${value}`}`,
    );
    const legend = places.some((at) => /^\d+:\d+$/.test(at)) ? " (line:column)" : "";
    super(`${source} cannot be used:${legend}\n${lines.join("\n")}`);
    this.problems = problems;
    this.files = files;
  }
}
