import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { failoverModel, pacedModel, plainModel } from "../payloads.ts";
import { type Child, startChild } from "./child.ts";

/** The key that callers of the benchmark show. */
export const callerKey = "bench-caller-key";

/**
 * Starts the gateway as its users do: by its command line, with a configuration file.
 * @param folder where the file may be written
 * @param profileFolder where to leave a CPU profile when it ends; undefined for none
 */
export function startGateway(folder: string, upstreamOrigin: string, profileFolder?: string): Promise<Child> {
  const path = join(folder, "everhop.yaml"); // JSON is YAML too
  writeFileSync(path, JSON.stringify(configuration(upstreamOrigin)));
  const command = join(import.meta.dirname, "../../bin/everhop.js");
  const flags = profileFolder ? ["--cpu-prof", "--cpu-prof-dir", profileFolder] : [];
  return startChild(command, ["serve", "--config", path], flags);
}

function configuration(upstreamOrigin: string) {
  const model = "bench-model";
  return {
    server: { host: "127.0.0.1", port: 0 },
    auth: { callers: [{ name: "bench", key: callerKey }] },
    providers: [
      { name: "steady", base_url: `${upstreamOrigin}/v1`, keys: ["bench-upstream-key"], models: [model, pacedModel] },
      { name: "broken", base_url: `${upstreamOrigin}/broken/v1`, keys: ["bench-upstream-key"], models: [model] },
    ],
    models: [
      { name: plainModel, targets: [{ provider: "steady", model }] },
      { name: pacedModel, targets: [{ provider: "steady", model: pacedModel }] },
      {
        name: failoverModel,
        targets: [
          { provider: "broken", model, priority: 0 },
          { provider: "steady", model, priority: 1 },
        ],
      },
    ],
    // The case of the failed hop is to fail at every request, not to be kept from it.
    routing: { breaker: { enabled: false } },
    drain: { pre_stop: 0, grace: "1s" },
    log: { level: "error" },
  };
}
