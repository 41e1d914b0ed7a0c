import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  GetModelResponseSchema,
  ListModelsResponseSchema,
  ModelSchema,
  type ModelsService,
  ModelTargetSchema,
} from "../../../gen/ts/everhop/v1/models_service_pb.ts";
import { outside } from "../../chat/check.ts";
import { FaultError } from "../../chat/fault.ts";
import type { CatalogModel } from "../../gateway/catalog.ts";
import type { Edge } from "../edge.ts";
import { unaryCall } from "./call.ts";

const pageSizes = { min: 0, max: 1000, whole: true };
const defaultPageSize = 100;

/** ModelsService on the catalog. */
export function modelsService(edge: Edge): ServiceImpl<typeof ModelsService> {
  return {
    listModels: ({ pageSize, pageToken }, context) =>
      unaryCall(edge, context, async ({ caller }) => {
        const models = edge.machine.catalog().list(caller);
        const problem = outside(pageSize, pageSizes);
        if (problem) throw invalid("page_size", problem);
        // The token is the last id of the page before: stable when models come and go.
        const after = models.findIndex(({ id }) => id === pageToken);
        if (pageToken && after < 0) throw invalid("page_token", "expected a next_page_token of an answer");
        const page = models.slice(after + 1, after + 1 + (pageSize || defaultPageSize));
        const last = page.at(-1);
        const more = last && last !== models.at(-1);
        return create(ListModelsResponseSchema, { models: page.map(modelMessage), nextPageToken: more ? last.id : "" });
      }),
    getModel: ({ id }, context) =>
      unaryCall(edge, context, async ({ caller }) => {
        const model = edge.machine.catalog().find(id, caller);
        if (!model) throw new FaultError({ kind: "unknown_model", model: id });
        return create(GetModelResponseSchema, { model: modelMessage(model) });
      }),
  };
}

function modelMessage({ id, targets }: CatalogModel) {
  return create(ModelSchema, {
    id,
    targets: targets.map(({ provider, upstreamModel, tier }) =>
      create(ModelTargetSchema, { provider, upstreamModel, priority: tier }),
    ),
  });
}

function invalid(field: string, description: string): FaultError {
  return new FaultError({ kind: "invalid_request", violations: [{ field, description }] });
}
