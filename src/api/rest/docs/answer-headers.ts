import type { Schema } from "./schema.ts";

interface HeaderDocs {
  readonly description: string;
  readonly schema: Schema;
  readonly example: string;
}

/** What the gateway says in the headers of its answers. */
export const answerHeaders = {
  "x-request-id": {
    description:
      "The request's id: the caller's own, if it sent one of at most 128 of `A-Z a-z 0-9 _ . : -`, else a new one. The log has it, too.",
    schema: { type: "string" },
    example: "req_5b0e2f6a9c1d4e7f8a3b6c90",
  },
  "x-everhop-trace-id": {
    description: "The request's W3C trace id: that of `traceparent`, else a new one.",
    schema: { type: "string", pattern: "^[0-9a-f]{32}$" },
    example: "4bf92f3577b34da6a3ce929d0e0e4736",
  },
  "x-everhop-trace-url": {
    description:
      "Where an operator can look at the trace, if it is kept. Only where `telemetry.jaeger_ui` is configured, and for callers that see trails.",
    schema: { type: "string" },
    example: "https://jaeger.example.com/trace/4bf92f3577b34da6a3ce929d0e0e4736",
  },
  "x-everhop-provider": {
    description:
      "Name of the provider that serves. Absent when none does, or when the caller is configured to see no trail.",
    schema: { type: "string" },
    example: "openai-backup",
  },
  "x-everhop-attempts": {
    description:
      "How many upstream calls were made before this head was sent. Absent when the caller is to see no trail.",
    schema: { type: "string", pattern: "^[0-9]+$" },
    example: "2",
  },
  "x-everhop-trail": {
    description:
      "The way of the request on one line, one hop after the other: `endpoint#key result time`. The result is the provider's HTTP status, or a word where there was none or where it deceives. Of a stream the last time is that to its first content. Cut at 1 KiB.",
    schema: { type: "string", maxLength: 1100 },
    example: "openai-primary/gpt-3.5-turbo#k1 429 210ms, openai-backup/gpt-3.5-turbo#k1 200 812ms",
  },
  "x-everhop-cache": {
    description: "Whether the answer came from a cache.",
    schema: { type: "string", enum: ["hit", "miss", "off"] },
    example: "off",
  },
  "x-ratelimit-limit-requests": {
    description: "Requests a minute that the caller may make. With the next two only for callers that have a limit.",
    schema: { type: "string", pattern: "^[0-9]+$" },
    example: "600",
  },
  "x-ratelimit-remaining-requests": {
    description: "How many of them are left.",
    schema: { type: "string", pattern: "^[0-9]+$" },
    example: "599",
  },
  "x-ratelimit-reset-requests": {
    description: "When all of them will be there again.",
    schema: { type: "string", pattern: "^[0-9]+ms$" },
    example: "100ms",
  },
  "retry-after": {
    description:
      "Whole seconds after which trying again makes sense, as exactly as it is known. Absent when nobody knows, or when it does not help.",
    schema: { type: "string", pattern: "^[0-9]+$" },
    example: "2",
  },
  "retry-after-ms": {
    description: "The same in milliseconds, for clients that know it.",
    schema: { type: "string", pattern: "^[0-9]+$" },
    example: "1350",
  },
  "x-should-retry": {
    description: "`false` where trying again cannot help; OpenAI's clients then do not. Else absent.",
    schema: { type: "string", const: "false" },
    example: "false",
  },
  "www-authenticate": {
    description: "How a key is shown; with 401.",
    schema: { type: "string", const: "Bearer" },
    example: "Bearer",
  },
} as const satisfies Readonly<Record<string, HeaderDocs>>;

/** Name of a header that the gateway answers with. */
export type AnswerHeader = keyof typeof answerHeaders;

/** With every answer about a route of its own. */
export const identityHeaders: readonly AnswerHeader[] = ["x-request-id", "x-everhop-trace-id"];

/** With every answer that was routed, whether it is one or a failure. */
export const routedHeaders: readonly AnswerHeader[] = [
  ...identityHeaders,
  "x-everhop-provider",
  "x-everhop-attempts",
  "x-everhop-trail",
  "x-everhop-cache",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
];

/** With every failure, beside what its route answers with; the last three only where they apply. */
export const errorHeaders: readonly AnswerHeader[] = [
  ...identityHeaders,
  "x-everhop-cache",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
];
