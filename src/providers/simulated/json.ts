/** A JSON object of which nothing is known yet. */
export type JsonObject = { readonly [field: string]: unknown };

/** Whether a value is a JSON object: neither null, nor an array, nor a scalar. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
