import { readFileSync, statSync } from "node:fs";
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { ConfigError, type ConfigProblem } from "./config-problem.ts";
import { type Draft, type Origin, pathText } from "./draft.ts";
import { substitute, type Variables } from "./environment.ts";

/** Larger ones take seconds to read, and no configuration is. */
const mostBytes = 8 * 2 ** 20;

/** What a file holds (undefined: nothing at all), where each value stands, and which variables that it names are not set. */
export type FileContent = Omit<Draft, "value"> & { readonly value: unknown };

/**
 * Reads a YAML (or JSON) file that holds a mapping.
 * @throws ConfigError when it cannot be read, or is no mapping
 */
export function readYamlFile(path: string, variables: Pick<Variables, "env" | "originOf">): Draft {
  const { value, ...rest } = readYaml(path, variables);
  if (value === undefined) throw new ConfigError(path, [{ path: "(the file)", value: "", expected: "is empty" }]);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ConfigError(path, [{ path: "(the file)", value: "", expected: "expected a mapping at the top" }]);
  return { ...rest, value: value as Record<string, unknown> };
}

/**
 * Reads a YAML (or JSON) file whose texts may name the environment: `${NAME}`, `${NAME:-default}`.
 * @throws ConfigError when it cannot be read
 */
export function readYaml(path: string, variables: Pick<Variables, "env" | "originOf">): FileContent {
  const problem = (expected: string) => new ConfigError(path, [{ path: "(the file)", value: "", expected }]);
  let text: string;
  try {
    if (statSync(path).size > mostBytes) throw problem(`is larger than ${mostBytes / 2 ** 20} MiB`);
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code = "unknown error" } = error as { code?: string };
    throw problem(code === "ENOENT" ? "there is no such file" : `cannot be read (${code})`);
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { merge: true, lineCounter }); // JSON is YAML too
  if (document.errors.length > 0) {
    // The parser's own words repeat what stands there, and what stands there may be a key.
    const places = document.errors.slice(0, 3).map(({ code, linePos }) => {
      const words = code.toLowerCase().replaceAll("_", " ");
      return linePos ? `line ${linePos[0].line}, column ${linePos[0].col}: ${words}` : words;
    });
    const hint = text.includes("${") ? ` (texts with \${NAME} in braces or lists need quotes)` : "";
    throw problem(`is no valid YAML: ${places.join("; ")}${hint}`);
  }
  // A file that is being written anew is empty for a moment; that must not be taken for one that says nothing.
  if (text.trim() === "") return { value: undefined, origins: new Map(), problems: [] };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 }) ?? {};
    JSON.stringify(value);
  } catch {
    throw problem("has aliases that lead nowhere, into themselves, or to too much");
  }
  const origins = originsIn(document, path, lineCounter);
  const problems: ConfigProblem[] = [];
  const told = filled(value, [], (raw, steps) => {
    const { text: whole, names, missing, isUnclear } = substitute(raw, variables.env);
    const at = pathText(steps);
    const origin = origins.get(at);
    const complain = (expected: string) =>
      problems.push({ path: at, value: "", expected, ...(origin && { at: origin.at }) });
    // What goes to providers as it is may hold whatever they understand.
    if (isUnclear && !steps.includes("params")) complain(`expected variables as \${NAME} or \${NAME:-default}`);
    if (names.length === 0) return raw;
    const sources = [...new Set(names.filter((name) => variables.env[name]))].map(
      (name) => variables.originOf(name).text,
    );
    if (origin) origins.set(at, { ...origin, text: [origin.text, ...sources].join(", ") });
    for (const name of new Set(missing)) complain(`the environment variable ${name} is not set`);
    return whole;
  });
  return { value: told, origins, problems };
}

/** A value with each of its texts made anew. */
function filled(
  value: unknown,
  steps: readonly PropertyKey[],
  fill: (text: string, steps: readonly PropertyKey[]) => string,
): unknown {
  if (typeof value === "string") return fill(value, steps);
  if (Array.isArray(value)) return value.map((each, index) => filled(each, [...steps, index], fill));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [name, filled(each, [...steps, name], fill)]),
    );
  }
  return value;
}

/** Where each value of a document stands. What an alias or a merge brings stands where it is written. */
function originsIn(document: Document, path: string, lineCounter: LineCounter): Map<string, Origin> {
  const origins = new Map<string, Origin>();
  const placeOf = (node: unknown) => {
    const [offset] = (node as Node | undefined)?.range ?? [0];
    const { line, col } = lineCounter.linePos(offset);
    return { line, at: `${line}:${col}` };
  };
  const note = (steps: readonly PropertyKey[], value: unknown, name: unknown) => {
    const node = isAlias(value) ? value.resolve(document) : value;
    const { line, at } = placeOf(isScalar(node) || name === undefined ? (node ?? name) : name);
    const nameAt = name === undefined ? at : placeOf(name).at;
    const key = pathText(steps);
    if (!origins.has(key)) origins.set(key, { text: `${path}:${line}`, at, nameAt });
    visit(node, steps);
  };
  const visit = (node: unknown, steps: readonly PropertyKey[]): void => {
    if (isSeq(node)) for (const [index, item] of node.items.entries()) note([...steps, index], item, undefined);
    if (!isMap(node)) return;
    const merges: unknown[] = [];
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.source ?? key.value) : String(key);
      if (name === "<<") merges.push(value);
      else note([...steps, name], value, key);
    }
    for (const each of merges) {
      for (const map of isSeq(each) ? each.items : [each]) visit(isAlias(map) ? map.resolve(document) : map, steps);
    }
  };
  visit(document.contents, []);
  return origins;
}
