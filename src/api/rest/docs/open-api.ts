import { type Route, templateOf } from "../route.ts";
import { type AnswerHeader, answerHeaders, errorHeaders } from "./answer-headers.ts";
import { chatChunkSchema, chatCompletionSchema } from "./chat-answer-schemas.ts";
import { chatRequestSchema } from "./chat-request-schema.ts";
import { documentedFaults } from "./documented-faults.ts";
import { errorSchema } from "./error-schema.ts";
import { healthSchema, readinessSchema } from "./health-schemas.ts";
import { modelListSchema, modelSchema } from "./model-schemas.ts";
import type { AnswerDocs, ExampleDocs, RouteDocs } from "./route-docs.ts";
import { faultsOf } from "./route-faults.ts";
import { ref, type Schema } from "./schema.ts";
import { accessText, securityOf, securitySchemes } from "./security.ts";
import { trailSchema } from "./trail-schema.ts";

/** The schemas that the document has under names. */
export const schemas: Readonly<Record<string, Schema>> = {
  ChatCompletionRequest: chatRequestSchema,
  ChatCompletion: chatCompletionSchema,
  ChatCompletionChunk: chatChunkSchema,
  RouteTrail: trailSchema,
  Model: modelSchema,
  ModelList: modelListSchema,
  Health: healthSchema,
  Readiness: readinessSchema,
  Error: errorSchema,
};

/** What of the gateway the document tells. */
export interface Described {
  readonly version: string;
  /** Whether whoever comes is served, with any key or none. */
  readonly isOpen: boolean;
}

/** The OpenAPI 3.1 document of a table of routes. */
export function openApi(routes: readonly Route[], { version, isOpen }: Described) {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = templateOf(route);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, isOpen) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Everhop",
      version,
      summary: "An LLM gateway: OpenAI's API in front of every model provider.",
      description: introduction(),
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The gateway that serves this document." }],
    tags: [...new Set(routes.map(({ docs }) => docs.group))].map((name) => ({ name })),
    paths,
    components: {
      schemas,
      headers: Object.fromEntries(Object.entries(answerHeaders).map(([name, header]) => [name, { ...header }])),
      securitySchemes,
    },
  };
}

function operation(route: Route, isOpen: boolean) {
  const { docs, access } = route;
  return {
    operationId: docs.operationId,
    tags: [docs.group],
    summary: docs.summary,
    description: `${docs.description}\n\n${accessText(access, isOpen)}`,
    security: securityOf(access, isOpen),
    parameters: docs.parameters.map((parameter) => ({
      ...parameter,
      ...(parameter.in === "path" && { required: true }),
    })),
    ...(docs.body && { requestBody: requestBody(docs, docs.body) }),
    responses: responses(route),
  };
}

function requestBody({ examples }: RouteDocs, schema: Schema) {
  const values = examples.map(({ name, summary, body }) => [name, { summary, value: body }]);
  return {
    required: true,
    content: { "application/json": { schema, examples: Object.fromEntries(values) } },
  };
}

function responses(route: Route) {
  const { docs } = route;
  const good = [...Map.groupBy(docs.answers, ({ status }) => status)].map(([status, answers]) => {
    const content = answers.map((answer) => [
      answer.media,
      { schema: answer.schema, examples: examplesOf(answer, docs) },
    ]);
    const headers = headerRefs(answers.flatMap((answer) => answer.headers));
    const description = answers.map((answer) => answer.description).join("\n\n");
    return [String(status), { description, headers, content: Object.fromEntries(content) }] as const;
  });
  const bad = [...faultsOf(route)].map(([status, faults]) => {
    const lines = faults.map(({ code, when }) => `- \`${code}\`: ${when}`);
    const examples = faults.map(({ kind, when, body }) => [kind, { summary: when, value: body }]);
    const content = { "application/json": { schema: ref("Error"), examples: Object.fromEntries(examples) } };
    const own = docs.answers.flatMap((answer) => answer.headers);
    const challenge = status === 401 ? (["www-authenticate"] as const) : [];
    const names: AnswerHeader[] = [...own, ...errorHeaders, ...challenge];
    return [String(status), { description: lines.join("\n"), headers: headerRefs(names), content }] as const;
  });
  return Object.fromEntries([...good, ...bad]);
}

function examplesOf({ status, media, more = {} }: AnswerDocs, docs: RouteDocs) {
  const fits = ({ answer }: ExampleDocs) => answer.status === status && answer.media === media;
  const own = docs.examples.filter(fits).map(({ name, summary, answer }) => [name, { summary, value: answer.value }]);
  return { ...Object.fromEntries(own), ...more };
}

function headerRefs(names: readonly AnswerHeader[]) {
  return Object.fromEntries([...new Set(names)].map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function introduction(): string {
  const rows = documentedFaults().map(({ http, code, when, hasWait, isFinal, endsStream }) => {
    const after = [
      endsStream && "an event of the stream",
      hasWait && "`retry-after`",
      isFinal && "`x-should-retry: false`",
    ];
    return `| ${endsStream ? "200" : http} | \`${code}\` | ${when} | ${after.filter(Boolean).join(", ")} |`;
  });
  return `Point any client of OpenAI's API at \`/v1\` of this address. A request goes to whichever provider can serve it, and every hop can be seen: in short in the header \`x-everhop-trail\` of each answer, whole in the body with \`x-everhop-include-trail: true\`.

## Errors

An error is OpenAI's: \`error.code\` says what it is, and \`error.details\` holds the request's id and, once routing has begun, the trail.

| HTTP | code | when | comes with |
|---|---|---|---|
${rows.join("\n")}`;
}
