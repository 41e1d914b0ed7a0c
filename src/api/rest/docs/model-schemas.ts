import { ref, type Schema } from "./schema.ts";

/** One model that may be asked for. */
export const modelSchema: Schema = {
  type: "object",
  required: ["id", "object", "created", "owned_by"],
  properties: {
    id: { type: "string", description: "What `model` of a request takes." },
    object: { type: "string", const: "model" },
    created: { type: "integer", description: "When the gateway was told of it, in epoch seconds." },
    owned_by: { type: "string", description: "The kind of its providers; `everhop` where they are of several." },
  },
};

/** All of them. */
export const modelListSchema: Schema = {
  type: "object",
  required: ["object", "data"],
  properties: { object: { type: "string", const: "list" }, data: { type: "array", items: ref("Model") } },
};
