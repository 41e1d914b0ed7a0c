import { type Html, html } from "./html.ts";
import { phrase } from "./prose.ts";
import type { RouteDocs } from "./route-docs.ts";
import type { Schema } from "./schema.ts";

/** A limit that is as good as none. */
const beyond = 2 ** 31 - 1;
/** Of the members that OpenAI has, those that nearly everybody sets; the others are for whoever looks for them. */
const usual = new Set(["messages", "model", "stream"]);

interface Parameter {
  readonly name: string;
  readonly schema: Schema;
  readonly description: string;
  readonly required: boolean;
}

/** What a route takes: in its path, its body and its headers. */
export function parameterLists({ parameters }: RouteDocs, body: Schema = {}): Html[] {
  const members = Object.entries(body.properties ?? {}).map(([name, schema]) => {
    const required = body.required?.includes(name) ?? false;
    return { name, schema, description: schema.description ?? "", required };
  });
  const others = members.filter(({ name, schema }) => !usual.has(name) && !schema["x-everhop"]);
  const within = (place: "path" | "header") =>
    parameters.filter((each) => each.in === place).map((each) => ({ ...each, required: place === "path" }));
  return [
    ...list("In the path", within("path")),
    ...list(
      "In the body",
      members.filter(({ name }) => usual.has(name)),
    ),
    ...list(
      "In the body, for the gateway alone",
      members.filter(({ schema }) => schema["x-everhop"]),
    ),
    ...folded(others),
    ...list("In headers", within("header")),
  ];
}

function list(title: string, parameters: readonly Parameter[]): Html[] {
  if (parameters.length === 0) return [];
  return [html`<h4>${title}</h4><dl class="parameters">${parameters.map(entry)}</dl>`];
}

function folded(parameters: readonly Parameter[]): Html[] {
  if (parameters.length === 0) return [];
  return [
    html`<details class="more"><summary>${parameters.length} more that OpenAI has, <code>${parameters[0]?.name ?? ""}</code> to <code>${parameters.at(-1)?.name ?? ""}</code></summary><dl class="parameters">${parameters.map(entry)}</dl></details>`,
  ];
}

function entry({ name, schema, description, required }: Parameter): Html {
  return html`<dt><code>${name}</code> <span>${kindOf(schema)}${required && html` <b>required</b>`}${schema.deprecated && " · old"}</span></dt><dd>${phrase(description)}</dd>`;
}

/** `number, 0 to 2`: what a value must be, in words. */
function kindOf(schema: Schema): string {
  const types = [schema.type ?? schema.anyOf?.flatMap(({ type }) => type ?? []) ?? []].flat();
  const names = types.filter((type) => type !== "null").map((type) => (type === "array" ? "list" : type));
  const words = schema.enum?.join(" | ");
  return [words ?? names.join(" or "), limitsOf(schema)].filter(Boolean).join(", ");
}

function limitsOf({ minimum, maximum, exclusiveMinimum, maxItems, maxLength }: Schema): string {
  if (exclusiveMinimum !== undefined) return `above ${exclusiveMinimum}`;
  if (minimum !== undefined && maximum === beyond) return `at least ${minimum}`;
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  if (maxItems !== undefined) return `at most ${maxItems.toLocaleString("en-US")}`;
  return maxLength === undefined ? "" : `at most ${maxLength} characters`;
}
