import { join } from "node:path";
import { parseArgs } from "node:util";
import { startChild } from "./processes/child.ts";
import { startGateway } from "./processes/gateway.ts";
import { createHerd } from "./processes/herd.ts";
import { telemetryText } from "./telemetry/cost.ts";

/**
 * What it costs to be seen: gateways that differ in what they tell of their requests, side by side. Every answer is verified, and a
 * wrong one ends it with exit code 1, as does a collector that was sent nothing.
 *
 *   node bench/telemetry.ts [--rounds N]
 */
const { values } = parseArgs({ options: { rounds: { type: "string", default: "9" } } });
const rounds = Math.min(100, Math.max(1, Math.round(Number(values.rounds)) || 9));
const { started, newFolder, stop } = createHerd("telemetry");
const program = (name: string) => join(import.meta.dirname, "processes", name);

try {
  const upstream = await started(startChild(program("upstream.ts"), []));
  const collector = await started(startChild(program("collector.ts"), []));
  const start = (changes: object) => started(startGateway(newFolder(), upstream.origin, { changes }));
  console.log(await telemetryText(start, collector, rounds, (line) => void process.stderr.write(`${line}\n`)));
  await stop();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
