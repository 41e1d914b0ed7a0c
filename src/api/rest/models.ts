import { FaultError } from "../../chat/fault.ts";
import type { Caller } from "../../gateway/caller.ts";
import type { CatalogModel } from "../../gateway/catalog.ts";
import type { Edge } from "../edge.ts";
import { type Exchange, idHeaders, sendJson } from "./exchange.ts";

/** `GET /v1/models`: what the caller may ask for. */
export async function listModels(edge: Edge, exchange: Exchange, caller: Caller): Promise<void> {
  const data = edge.machine
    .catalog()
    .list(caller)
    .map((model) => modelJson(model, edge));
  sendJson(exchange.response, 200, { object: "list", data }, idHeaders(exchange));
}

/** `GET /v1/models/{id…}`: one of them; ids may hold `:` and `/`. */
export async function getModel(edge: Edge, exchange: Exchange, caller: Caller): Promise<void> {
  const id = exchange.path.slice("/v1/models/".length);
  const model = edge.machine.catalog().find(id, caller);
  if (!model) throw new FaultError({ kind: "unknown_model", model: id });
  sendJson(exchange.response, 200, modelJson(model, edge), idHeaders(exchange));
}

function modelJson({ id, targets }: CatalogModel, { loadedAtSeconds }: Edge) {
  const kinds = new Set(targets.map(({ kind }) => kind));
  const [onlyKind] = kinds;
  return { id, object: "model", created: loadedAtSeconds, owned_by: kinds.size === 1 ? onlyKind : "everhop" };
}
