import type { Edge } from "../edge.ts";
import { type Exchange, sendJson } from "./exchange.ts";

/** `GET /readyz`: whether a balancer should send requests here; 503 with the reason when not. Asks no provider. */
export async function readiness(edge: Edge, { response, requestId }: Exchange): Promise<void> {
  const reason = edge.unready();
  const body = reason === undefined ? { status: "ready" } : { status: "not_ready", reason };
  sendJson(response, reason === undefined ? 200 : 503, body, { "x-request-id": requestId });
}

/** `GET /health`: whether the process answers, and how the keys fared. Asks no provider. */
export async function health({ stage, version, keyStats }: Edge, { response, requestId }: Exchange): Promise<void> {
  const { total, available, failed, currentIndex } = keyStats();
  const body = {
    status: stage() === "serving" ? "healthy" : "draining",
    service: "everhop",
    version,
    key_stats: { total, available, failed, current_index: currentIndex },
  };
  sendJson(response, 200, body, { "x-request-id": requestId });
}
