import type { RouteDocs } from "./route-docs.ts";
import { ref } from "./schema.ts";

/** `GET /health` and `GET /healthz` */
export function healthDocs(operationId: string): RouteDocs {
  return {
    operationId,
    group: "Health",
    summary: "Whether the process answers",
    description:
      "Answers as long as the process does, and says how the keys fared. Asks no provider, and needs no key.",
    parameters: [],
    examples: [
      {
        name: "healthy",
        summary: "A gateway that serves",
        answer: {
          status: 200,
          media: "application/json",
          value: {
            status: "healthy",
            service: "everhop",
            version: "1.0.0",
            key_stats: { total: 3, available: 3, failed: 0, current_index: 1 },
          },
        },
      },
    ],
    answers: [
      {
        status: 200,
        description: "It does.",
        media: "application/json",
        schema: ref("Health"),
        headers: ["x-request-id", "x-everhop-trace-id"],
      },
    ],
    faults: [],
  };
}

/** `GET /readyz` */
export const readinessDocs: RouteDocs = {
  operationId: "getReadiness",
  group: "Health",
  summary: "Whether requests should be sent here",
  description:
    "For balancers: not while the process leaves, after a crash, or when it is too busy to answer in time. Asks no provider, and needs no key.",
  parameters: [],
  examples: [
    {
      name: "ready",
      summary: "Send them",
      answer: { status: 200, media: "application/json", value: { status: "ready" } },
    },
  ],
  answers: [
    {
      status: 200,
      description: "They should.",
      media: "application/json",
      schema: ref("Readiness"),
      headers: ["x-request-id", "x-everhop-trace-id"],
    },
    {
      status: 503,
      description: "They should not; the reason says why.",
      media: "application/json",
      schema: ref("Readiness"),
      headers: ["x-request-id", "x-everhop-trace-id"],
      more: {
        leaving: {
          summary: "A gateway that leaves",
          value: { status: "not_ready", reason: "the gateway is leaving" },
        },
      },
    },
  ],
  faults: [],
};
