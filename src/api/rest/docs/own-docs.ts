import type { RouteDocs } from "./route-docs.ts";

/** `GET /openapi.json` */
export const openApiDocs: RouteDocs = {
  operationId: "getOpenApi",
  group: "Documentation",
  summary: "This API, for programs",
  description:
    "The OpenAPI 3.1 document of every route here, written from the same table that routes requests: what is served is in it, and what is in it is served.",
  parameters: [],
  examples: [
    {
      name: "document",
      summary: "The document",
      answer: { status: 200, media: "application/json", value: { openapi: "3.1.0", info: { title: "Everhop" } } },
    },
  ],
  answers: [
    {
      status: 200,
      description: "The document.",
      media: "application/json",
      schema: {
        type: "object",
        required: ["openapi", "info"],
        properties: { openapi: { type: "string" }, info: { type: "object" } },
        additionalProperties: true,
      },
      headers: ["x-request-id", "x-everhop-trace-id"],
    },
  ],
  faults: [],
};

/** `GET /docs` */
export const pageDocs: RouteDocs = {
  operationId: "getDocs",
  group: "Documentation",
  summary: "This API, for people",
  description:
    "The page that shows the same, with requests to copy and a place to try them. It brings all that it needs and asks nobody else. A browser that opens `/` is sent here.",
  parameters: [],
  examples: [
    {
      name: "page",
      summary: "The page",
      answer: { status: 200, media: "text/html", value: "<!doctype html>…" },
    },
  ],
  answers: [
    {
      status: 200,
      description: "The page.",
      media: "text/html",
      schema: { type: "string" },
      headers: ["x-request-id", "x-everhop-trace-id"],
    },
  ],
  faults: [],
};
