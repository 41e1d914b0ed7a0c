import { identityHeaders } from "./answer-headers.ts";
import type { RouteDocs } from "./route-docs.ts";
import { ref } from "./schema.ts";

function model(id: string, owner: string) {
  return { id, object: "model", created: 1677610602, owned_by: owner };
}

/** `GET /v1/models` */
export const modelListDocs: RouteDocs = {
  operationId: "listModels",
  group: "Models",
  summary: "List the models",
  description:
    "What the caller may ask for: public models first, then each provider's own as `provider:model`. Every id is good as `model` of a request. A provider that declares no models takes any, and stands here with none.",
  parameters: [],
  examples: [
    {
      name: "all",
      summary: "All of them",
      answer: {
        status: 200,
        media: "application/json",
        value: {
          object: "list",
          data: [model("openai:gpt-3.5-turbo", "openai"), model("anthropic:claude-3-sonnet", "anthropic")],
        },
      },
    },
  ],
  answers: [
    {
      status: 200,
      description: "The models, in the order of the configuration.",
      media: "application/json",
      schema: ref("ModelList"),
      headers: identityHeaders,
    },
  ],
  faults: [],
};

/** `GET /v1/models/{model}` */
export const modelDocs: RouteDocs = {
  operationId: "getModel",
  group: "Models",
  summary: "Look one model up",
  description: "One model of the list. What the caller may not use is not there for it.",
  parameters: [
    {
      name: "model",
      in: "path",
      description: "The model's id: the rest of the path. It may hold `/` and `:`, as they are or percent-encoded.",
      schema: { type: "string" },
    },
  ],
  examples: [
    {
      name: "one",
      summary: "A provider's own model",
      path: "/v1/models/openai:gpt-3.5-turbo",
      answer: { status: 200, media: "application/json", value: model("openai:gpt-3.5-turbo", "openai") },
    },
  ],
  answers: [
    {
      status: 200,
      description: "The model.",
      media: "application/json",
      schema: ref("Model"),
      headers: identityHeaders,
    },
  ],
  faults: ["unknown_model"],
};
