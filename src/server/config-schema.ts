import { z } from "zod";
import { fileSchema } from "./config.ts";
import { configHelp } from "./config-help.ts";
import { shown } from "./effective-config.ts";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The configuration file for editors: names, types, defaults and what each is for, as JSON Schema. */
export function configSchema(): JsonSchema {
  const schema = z.toJSONSchema(fileSchema, { io: "input", unrepresentable: "any" });
  describe(schema, "", shown(fileSchema.parse(leastOfEach)));
  return {
    $schema: "http://json-schema.org/draft-07/schema#", // what editors read; nothing here is newer
    title: "everhop.yaml",
    description: `The configuration of Everhop. Texts may name the environment: \${NAME}, \${NAME:-default}.`,
    ...without(schema, "$schema", "$defs"),
    definitions: { variable: { type: "string", pattern: "\\$\\{[A-Za-z_]\\w*(:-[^}]*)?\\}" } },
  } as JsonSchema;
}

/** One of everything that is a list, with no more than it must say: what it says beyond that are defaults. */
const leastOfEach = {
  auth: { callers: [{ name: "a", key: "k" }] },
  providers: [{ name: "a", base_url: "http://127.0.0.1/v1", health_check: {}, models: [{ id: "m" }] }],
  models: [{ name: "m", targets: [{ provider: "a", model: "m" }] }],
};

/** Adds to a schema, and to all within it, what a reader wants to know. */
function describe(schema: JsonSchema, path: string, defaultValue: unknown): void {
  // Any JSON at all: what vendors take is theirs to say.
  if (schema.$ref) delete schema.$ref;
  const help = configHelp[path];
  if (help) schema.description = help;
  delete schema.default;
  if (isScalar(defaultValue)) schema.default = defaultValue as JsonSchema["default"];
  for (const alternative of schema.anyOf ?? []) describe(alternative as JsonSchema, path, defaultValue);
  const values = isMapping(defaultValue) ? defaultValue : {};
  for (const [name, member] of Object.entries(schema.properties ?? {})) {
    const at = path ? `${path}.${name}` : name;
    describe(member as JsonSchema, at, schema.required?.includes(name) ? undefined : values[name]);
    if (schema.properties) schema.properties[name] = orVariable(member as JsonSchema, switches.has(at));
  }
  const { items, additionalProperties: others } = schema;
  if (items && typeof items === "object" && !Array.isArray(items)) {
    describe(items as JsonSchema, `${path}[]`, Array.isArray(defaultValue) ? defaultValue[0] : undefined);
    schema.items = orVariable(items as JsonSchema);
  }
  if (others && typeof others === "object") {
    describe(others as JsonSchema, `${path}.*`, undefined);
    // Names are checked when the file is read; here they would hide what is wrong with a value.
    schema.additionalProperties = orVariable(others as JsonSchema);
    delete schema.propertyNames;
  }
}

/** Those may be said as on and off, too. */
const switches = new Set(["routing.failover", "routing.hedge"]);

/** Whatever stands in the file may come from the environment instead. */
function orVariable(schema: JsonSchema, isSwitch = false): JsonSchema {
  const { type, pattern, minLength } = schema;
  const isText = type === "string" || (Array.isArray(type) && type.includes("string"));
  const takesAnyText = isText && pattern === undefined && schema.enum === undefined && schema.format === undefined;
  const isLeaf = ["string", "number", "integer", "boolean"].includes(String(type)) || schema.enum !== undefined;
  if (!isLeaf || (takesAnyText && (minLength ?? 0) <= 4)) return schema;
  const { description, default: defaultValue, ...rest } = schema;
  return {
    ...(description !== undefined && { description }),
    ...(defaultValue !== undefined && { default: defaultValue }),
    anyOf: [rest, ...(isSwitch ? [{ enum: ["on", "off"] }] : []), { $ref: "#/definitions/variable" }],
  } as JsonSchema;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

function without(schema: JsonSchema, ...names: readonly string[]): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([each]) => !names.includes(each)));
}

/** One member of the file, for people. */
export interface ConfigMember {
  /** Such as `providers[].base_url`. */
  readonly path: string;
  readonly type: string;
  /** Undefined: there is none. */
  readonly default: string | undefined;
  readonly help: string;
}

/** Every member of the file that holds a value of its own, in its order. */
export function configMembers(schema: JsonSchema = configSchema(), path = ""): ConfigMember[] {
  const members: ConfigMember[] = [];
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const member = each as JsonSchema;
    const at = path ? `${path}.${name}` : name;
    const alternatives = [member, ...((member.anyOf ?? []) as JsonSchema[])];
    const below = alternatives.flatMap((one) => [
      ...(one.properties ? configMembers(one, at) : []),
      ...[one.items].flatMap((items) => {
        if (!items || typeof items !== "object" || Array.isArray(items)) return [];
        const inside = items as JsonSchema;
        return [inside, ...((inside.anyOf ?? []) as JsonSchema[])].flatMap((item) => configMembers(item, `${at}[]`));
      }),
    ]);
    members.push({
      path: at,
      type: typeText(member),
      default: member.default === undefined ? undefined : String(member.default),
      help: member.description ?? "",
    });
    members.push(...below);
  }
  return members;
}

function typeText(schema: JsonSchema): string {
  const own = ((schema.anyOf ?? []) as JsonSchema[]).filter((each) => each.type !== undefined || each.anyOf);
  if (own.length > 0) return [...new Set(own.map(typeText))].join(" or ");
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "array") return "list";
  if (schema.type === "object") return "mapping";
  if (Array.isArray(schema.type)) return schema.type.includes("number") ? "number or text" : schema.type.join(" or ");
  return String(schema.type ?? "any")
    .replace("string", "text")
    .replace("integer", "whole number")
    .replace("boolean", "true or false");
}
