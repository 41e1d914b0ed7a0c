import type { Failure } from "../../../gateway/faults.ts";
import { ref, type Schema } from "./schema.ts";

const text: Schema = { type: "string" };

const types: Readonly<Record<Failure["type"], true>> = {
  invalid_request_error: true,
  authentication_error: true,
  rate_limit_error: true,
  server_error: true,
};

/** A failure, as the body of an answer or as the last event of a stream. */
export const errorSchema: Schema = {
  type: "object",
  description:
    "Why there is no answer, or no more of it. OpenAI's shape, so that its clients raise what they always do.",
  required: ["error", "timestamp", "request_id"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code", "details"],
      properties: {
        message: { ...text, description: "In words, for people." },
        type: { ...text, enum: Object.keys(types), description: "OpenAI's classes of errors." },
        param: { type: ["string", "null"], description: "The member that is wrong." },
        code: { ...text, description: "What it is, for programs: stable, and each in the table of errors." },
        partial: {
          type: "boolean",
          description: "Content had been sent before: repeating the request says it twice. Else absent.",
        },
        details: {
          type: "object",
          required: ["request_id"],
          properties: {
            request_id: text,
            provider_code: { ...text, description: "The provider's own code, where one refused." },
            violations: {
              type: "array",
              description: "Everything that is wrong with the request.",
              items: {
                type: "object",
                required: ["field", "description"],
                properties: { field: text, description: text },
              },
            },
            trail: ref("RouteTrail"),
          },
          additionalProperties: true,
        },
      },
    },
    timestamp: { ...text, format: "date-time" },
    request_id: { ...text, description: "As in `x-request-id`." },
  },
};
