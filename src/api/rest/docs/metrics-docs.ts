import { identityHeaders } from "./answer-headers.ts";
import type { RouteDocs } from "./route-docs.ts";

/** `GET /metrics` */
export const metricsDocs: RouteDocs = {
  operationId: "getMetrics",
  group: "Metrics",
  summary: "Every figure, for Prometheus",
  description:
    "Requests, hops, tokens, cost, breakers, keys, lines and the process itself, in Prometheus' text format 0.0.4. Needs no key where `metrics.public` is set. Asks no provider.",
  parameters: [],
  examples: [
    {
      name: "figures",
      summary: "The figures",
      answer: {
        status: 200,
        media: "text/plain",
        value: `# HELP everhop_build_info Always 1; which version runs.
# TYPE everhop_build_info gauge
everhop_build_info{version="1.0.0"} 1
`,
      },
    },
  ],
  answers: [
    {
      status: 200,
      description: "The figures as they are now.",
      media: "text/plain",
      schema: { type: "string" },
      headers: identityHeaders,
    },
  ],
  faults: [],
};
