import { nextTurn } from "../../runtime/clock.ts";
import { prometheusMediaType } from "../../telemetry/metrics/prometheus-text.ts";
import type { Edge } from "../edge.ts";
import { type Exchange, idHeaders, sendPaced } from "./exchange.ts";

/** `GET /metrics`: every figure, for Prometheus. */
export async function metrics({ metrics: { pieces }, machine, limits }: Edge, exchange: Exchange): Promise<void> {
  let text = "";
  for (const piece of pieces()) {
    // With many endpoints they are many, and requests are not to wait for all of them.
    if (text !== "") await nextTurn();
    text += piece;
  }
  const headers = { ...idHeaders(exchange), "content-type": prometheusMediaType, "cache-control": "no-store" };
  await sendPaced(exchange.response, text, headers, { clock: machine.clock, stalledMs: limits.stalledMs });
}
