import type { JsonObject } from "./json.ts";
import { isJsonObject } from "./json.ts";

/** Deeper than any schema people write; a recursive one stops here. */
const deepest = 32;
/** A schema that branches while it recurses would otherwise grow without end. */
const mostNodes = 1000;

/** A small value that satisfies a JSON schema, as far as its common keywords go: only what is required, and the least of it. */
export function schemaInstance(schema: unknown): unknown {
  const root = schema;
  let nodes = 0;

  function instance(part: unknown, depth: number): unknown {
    if (!isJsonObject(part) || depth > deepest || ++nodes > mostNodes) return null;
    const deeper = (inner: unknown) => instance(inner, depth + 1);
    if ("const" in part) return part["const"];
    const choices = part["enum"];
    if (Array.isArray(choices) && choices.length > 0) return choices[0];
    if (typeof part["$ref"] === "string") return deeper(resolve(root, part["$ref"]));
    for (const keyword of ["anyOf", "oneOf", "allOf"]) {
      const branches = part[keyword];
      if (Array.isArray(branches) && branches.length > 0) return deeper(branches[0]);
    }
    switch (typeOf(part)) {
      case "object":
        return objectOf(part, deeper);
      case "array":
        return Array.from({ length: Math.min(numberOr(part["minItems"], 0), mostNodes) }, () => deeper(part["items"]));
      case "string":
        return stringOf(part);
      case "integer":
        return Math.ceil(numberOf(part));
      case "number":
        return numberOf(part);
      case "boolean":
        return true;
      default:
        return null;
    }
  }
  return instance(schema, 0);
}

function typeOf(schema: JsonObject): unknown {
  const type: unknown = schema["type"];
  if (Array.isArray(type)) return type[0];
  return type ?? ("properties" in schema ? "object" : "items" in schema ? "array" : undefined);
}

function objectOf(schema: JsonObject, instance: (part: unknown) => unknown): JsonObject {
  const properties = isJsonObject(schema["properties"]) ? schema["properties"] : {};
  const required: unknown[] = Array.isArray(schema["required"]) ? schema["required"] : [];
  // From entries, so that a property called `__proto__` stays a property.
  return Object.fromEntries(
    required
      .filter((name) => typeof name === "string")
      .map((name) => [name, instance(Object.hasOwn(properties, name) ? properties[name] : undefined)]),
  );
}

function stringOf(schema: JsonObject): string {
  const least = Math.min(numberOr(schema["minLength"], 0), mostNodes);
  return "text".padEnd(least, "x").slice(0, Math.max(numberOr(schema["maxLength"], Infinity), 0));
}

function numberOf(schema: JsonObject): number {
  const least = numberOr(schema["minimum"], numberOr(schema["exclusiveMinimum"], -1) + 1);
  return Math.min(least, numberOr(schema["maximum"], numberOr(schema["exclusiveMaximum"], Infinity) - 1));
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

/** Follows a reference inside of the same schema, such as `#/$defs/Name`. */
function resolve(root: unknown, reference: string): unknown {
  if (!reference.startsWith("#")) return undefined;
  let found = root;
  for (const step of reference.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isJsonObject(found) || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found;
}
