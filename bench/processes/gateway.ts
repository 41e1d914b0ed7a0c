import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { failoverModel, pacedModel, plainModel, silentModel } from "../payloads.ts";
import { startChild } from "./child.ts";
import { failingOrigin } from "./listen.ts";
import type { Tested } from "./tested.ts";

/** The key that callers of the benchmark show. */
export const callerKey = "bench-caller-key";

/** What may be said of a gateway beside what it is put before. */
export interface GatewayOptions {
  /** Where to leave a CPU profile when it ends. */
  readonly profileFolder?: string | undefined;
  /** One caller for each; the benchmark's one if left out. */
  readonly keys?: readonly string[];
  /** Sections of its configuration in place of the benchmark's own. */
  readonly changes?: object;
}

/**
 * Starts the gateway as its users do: by its command line, with a configuration file.
 * @param folder where the file may be written; of no other gateway
 */
export function startGateway(folder: string, upstreamOrigin: string, options: GatewayOptions = {}): Promise<Tested> {
  const { profileFolder, keys = [callerKey], changes } = options;
  const path = join(folder, "everhop.yaml"); // JSON is YAML too
  writeFileSync(path, JSON.stringify({ ...configuration(upstreamOrigin, keys), ...changes }));
  const command = join(import.meta.dirname, "../../bin/everhop.js");
  const flags = profileFolder ? ["--cpu-prof", "--cpu-prof-dir", profileFolder] : [];
  return startChild(command, ["serve", "--config", path], flags);
}

function configuration(upstreamOrigin: string, keys: readonly string[]) {
  const plain = "bench-model";
  const upstreamKeys = ["bench-upstream-key"];
  return {
    server: { host: "127.0.0.1", port: 0 },
    auth: { callers: keys.map((key, index) => ({ name: `bench-${index}`, key })) },
    providers: [
      {
        name: "steady",
        base_url: `${upstreamOrigin}/v1`,
        keys: upstreamKeys,
        // Where nothing is said, an endpoint has 256 calls in flight at most.
        max_concurrent: 10_000,
        models: [plain, pacedModel, silentModel, failoverModel],
      },
      {
        name: "failing",
        base_url: `${failingOrigin(upstreamOrigin)}/v1`,
        keys: upstreamKeys,
        models: [failoverModel],
      },
    ],
    models: [
      { name: plainModel, targets: [{ provider: "steady", model: plain }] },
      { name: pacedModel, targets: [{ provider: "steady", model: pacedModel }] },
      { name: silentModel, targets: [{ provider: "steady", model: silentModel }] },
      {
        name: failoverModel,
        targets: [
          { provider: "failing", model: failoverModel, priority: 0 },
          { provider: "steady", model: failoverModel, priority: 1 },
        ],
      },
    ],
    // The case of the failed hop is to fail at every request, not to be kept from it; and to go on at once: with a third attempt
    // the gateway would give the failing endpoint a second chance before it goes down a tier.
    routing: { breaker: { enabled: false }, max_attempts: 2 },
    drain: { pre_stop: 0, grace: "1s" },
    log: { level: "error" },
  };
}
