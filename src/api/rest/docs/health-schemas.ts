import type { Schema } from "./schema.ts";

const count: Schema = { type: "integer", minimum: 0 };

/** Whether the process answers. */
export const healthSchema: Schema = {
  type: "object",
  required: ["status", "service", "version", "key_stats"],
  properties: {
    status: {
      type: "string",
      enum: ["healthy", "draining"],
      description: "`draining`: the process is leaving; what comes is still served.",
    },
    service: { type: "string", description: "`everhop`." },
    version: { type: "string" },
    key_stats: {
      type: "object",
      description: "How the keys of all providers fared.",
      required: ["total", "available", "failed", "current_index"],
      properties: {
        total: count,
        available: { ...count, description: "Those that may be used now." },
        failed: { ...count, description: "Those that were refused, or have no balance left." },
        current_index: { ...count, description: "Position of the one that was used last." },
      },
    },
  },
};

/** Whether requests should be sent here. */
export const readinessSchema: Schema = {
  type: "object",
  required: ["status"],
  properties: {
    status: { type: "string", enum: ["ready", "not_ready"] },
    reason: { type: "string", description: "Why it is not." },
  },
};
