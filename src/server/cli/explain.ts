import { styleText } from "node:util";
import { CallError } from "../../gateway/call.ts";
import type { Explanation } from "../../gateway/explain.ts";
import { messageOf } from "../../gateway/faults.ts";
import { systemClock } from "../../runtime/clock.ts";
import { systemRng } from "../../runtime/rng.ts";
import { compose } from "../compose.ts";
import { ConfigError } from "../config.ts";
import { loadConfig } from "../load-config.ts";

/** Flags of `explain`. */
export interface ExplainFlags {
  readonly config?: string;
  readonly groups?: string;
  readonly caller?: string;
  readonly json?: boolean;
}

/**
 * Prints how a model's requests would be routed, from the configuration alone: as by a gateway that has just started.
 * @throws ConfigError, also when the model or the caller is not known
 */
export async function explainModel(model: string, { config: path, groups, caller, json }: ExplainFlags): Promise<void> {
  const { config, source } = loadConfig({ path, groups, env: process.env, overrides: {} });
  if (!config) {
    const expected =
      "nothing is configured: expected an everhop.yaml, --config FILE, --groups FOLDER, or keys in the environment";
    throw new ConfigError("explain", [{ path: "(configuration)", value: "", expected }]);
  }
  if (caller !== undefined && !config.auth.callers.some(({ name }) => name === caller)) {
    const names = config.auth.callers.map(({ name }) => name).join(", ") || "none";
    const expected = `expected a configured caller (${names})`;
    throw new ConfigError(source, [{ path: "--caller", value: JSON.stringify(caller), expected }]);
  }
  // A check that is never waited for is never made: explaining asks nobody.
  const gateway = compose(config, { clock: systemClock, rng: systemRng, observer: {}, reportBug: () => {} });
  try {
    const explanation = gateway.explain(model, caller);
    console.log(json ? JSON.stringify(explanationJson(explanation), undefined, 2) : table(explanation));
  } catch (error) {
    const { fault } = CallError.from(error);
    if (fault.kind === "internal") throw error;
    throw new ConfigError(source, [{ path: "MODEL", value: JSON.stringify(model), expected: messageOf(fault, true) }]);
  } finally {
    await gateway.close();
  }
}

function explanationJson({ model, policy, candidates, ruledOut }: Explanation) {
  return {
    model,
    policy,
    candidates: candidates.map(({ endpoint, position, share, skip, breaker, inFlight, keys, manual }) => ({
      endpoint: endpoint.id,
      position: position ?? null,
      tier: endpoint.tier,
      weight: endpoint.weight,
      share,
      ...(skip && {
        skip: {
          reason: skip.reason,
          ...(skip.untilTimeMs !== undefined && { until_time: new Date(skip.untilTimeMs).toISOString() }),
        },
      }),
      breaker,
      in_flight: inFlight,
      keys,
      ...(manual && { manual }),
    })),
    ruled_out: ruledOut,
  };
}

function table({ model, policy, candidates, ruledOut }: Explanation): string {
  const rows = candidates.map(({ endpoint, position, share, skip, breaker, keys }) => [
    position === undefined ? "-" : String(position),
    endpoint.id,
    String(endpoint.tier),
    String(endpoint.weight),
    position === undefined ? "" : `${Math.round(share * 100)}%`,
    keys.total === 0 ? "none" : `${keys.available}/${keys.total}`,
    breaker,
    skip ? skip.reason : "",
  ]);
  const head = ["", "endpoint", "tier", "weight", "share", "keys", "breaker", "passed over"];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [
    `${model} (${policy}), as by a gateway that has just started:`,
    "",
    styleText("dim", line(head)),
    ...rows.map(line),
    ...ruledOut.map(({ endpoint, reason }) => `-  ${endpoint}  ${reason}`),
    "",
    ...waysOf(policy),
  ].join("\n");
}

function waysOf(policy: string): string[] {
  const within: Readonly<Record<string, string>> = {
    weighted: "Endpoints of one tier share by weight; which of them comes first is left to chance.",
    least_latency: "Of two endpoints of a tier, drawn by weight, the one that answers sooner is asked.",
    least_busy: "Of the endpoints of a tier the one with the fewest calls in flight is asked.",
    cheapest: "Of the endpoints of a tier the cheapest for the prompt is asked; here for one of middling length.",
  };
  return [
    ...(within[policy] ? [within[policy]] : []),
    "A tier is used only when no endpoint of a lower number can serve.",
  ];
}
