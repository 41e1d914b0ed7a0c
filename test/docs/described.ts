import { Ajv2020 } from "ajv/dist/2020.js";
import { startGateway, startProviders } from "../support/gateway.ts";

/** The keys of the gateway whose documentation is tested. */
export const callerKey = "sk-test-canary-caller";
export const adminKey = "sk-test-canary-admin-0123456789abcdef";

const names = ["openai-primary", "openai-backup", "openai", "anthropic"] as const;
const models = ["gpt-3.5-turbo", "gpt-4", "openai-gpt-oss-120b"];

/** Starts a gateway that has the names which the examples use. @param changes of the configuration, as the file has it */
export async function startDescribed(changes: object = {}) {
  const providers = await startProviders({ "openai-primary": {}, "openai-backup": {}, openai: {}, anthropic: {} });
  const config = {
    auth: { callers: [{ name: "team", key: callerKey }], admin_keys: [adminKey] },
    providers: [
      ...names.map((name, index) => ({
        name,
        kind: name === "anthropic" ? "anthropic" : "openai",
        base_url: providers[name].baseUrl,
        priority: index + 1,
        models,
      })),
      { name: "off", base_url: "http://127.0.0.1:9/v1", models: ["m"], enabled: false },
    ],
    models: [
      ...models.map((model) => ({ name: model, targets: names.map((provider) => ({ provider, model })) })),
      { name: "canary-nobody", targets: [{ provider: "off", model: "m" }] },
    ],
    defaults: { model: "openai-gpt-oss-120b" },
    tasks: { code: "gpt-4" },
    routing: { patience: 0, last_patience: 0 },
    ...changes,
  };
  return { ...(await startGateway(config, providers)), providers };
}

/** One of a document's answers. */
export interface DescribedAnswer {
  readonly description: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly content: Readonly<
    Record<
      string,
      { readonly schema: object; readonly examples: Readonly<Record<string, { readonly value: unknown }>> }
    >
  >;
}

/** One of a document's operations. */
export interface Operation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: Readonly<
      Record<string, { readonly examples: Readonly<Record<string, { readonly value: Record<string, unknown> }>> }>
    >;
  };
  readonly responses: Readonly<Record<string, DescribedAnswer>>;
}

/** What a document says, as far as tests read it. */
export interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, RequestSchema>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

/** Of a schema what its limits are. */
export interface RequestSchema {
  readonly properties: Readonly<
    Record<string, { readonly type?: string | readonly string[]; readonly minimum?: number; readonly maximum?: number }>
  >;
}

/** Asks a gateway for its document. */
export async function documentOf(address: string): Promise<Document> {
  return (await (await fetch(`${address}/openapi.json`)).json()) as Document;
}

/** Judges values by the schemas of a document. */
export function judgeOf(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  ajv.addFormat("date-time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  ajv.addSchema(document, "document");
  /** What is wrong with a value; empty: nothing. */
  const problems = (pointer: string, value: unknown): string[] => {
    const validate = ajv.compile({ $ref: `document#${pointer}` });
    return validate(value)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  };
  return {
    named: (schema: string, value: unknown) => problems(`/components/schemas/${schema}`, value),
    answer(path: string, method: string, status: number, media: string, value: unknown) {
      const steps = ["paths", path, method, "responses", String(status), "content", media, "schema"];
      return problems(
        steps.map((step) => `/${encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join(""),
        value,
      );
    },
  };
}
