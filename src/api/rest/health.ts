import type { Edge } from "../edge.ts";
import { type Exchange, idHeaders, sendJson } from "./exchange.ts";

/** `GET /readyz`: whether a balancer should send requests here; 503 with the reason when not. Asks no provider. */
export async function readiness(edge: Edge, exchange: Exchange): Promise<void> {
  const reason = edge.unready();
  const body = reason === undefined ? { status: "ready" } : { status: "not_ready", reason };
  sendJson(exchange.response, reason === undefined ? 200 : 503, body, idHeaders(exchange));
}

/** `GET /health`: whether the process answers, and how the keys fared. Asks no provider. */
export async function health({ stage, version, keyStats }: Edge, exchange: Exchange): Promise<void> {
  const { total, available, failed, currentIndex } = keyStats();
  const body = {
    status: stage() === "serving" ? "healthy" : "draining",
    service: "everhop",
    version,
    key_stats: { total, available, failed, current_index: currentIndex },
  };
  sendJson(exchange.response, 200, body, idHeaders(exchange));
}
