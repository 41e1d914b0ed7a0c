/** A JSON object whose members are not known yet: what comes from outside is looked at before it is believed. */
export type JsonObject = { readonly [name: string]: unknown };

/** The value if it is an object; undefined otherwise. */
export function objectOf(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

/** The value if it is an array; an empty one otherwise. */
export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value if it is a text; undefined otherwise. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The value if it is a count that an `int32` holds; 0 otherwise. */
export function countOf(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 2 ** 31 - 1 ? value : 0;
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Members that are not among the known ones, as JSON texts by name; nulls say nothing and are left out. */
export function extensionsOf(object: JsonObject, known: ReadonlySet<string>): Record<string, string> {
  const extensions: Record<string, string> = {};
  for (const name in object) {
    const value = object[name];
    if (!known.has(name) && value !== null && value !== undefined) extensions[name] = JSON.stringify(value);
  }
  return extensions;
}
