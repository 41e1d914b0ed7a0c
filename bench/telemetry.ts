import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startChild } from "./processes/child.ts";
import { startGateway } from "./processes/gateway.ts";
import type { Tested } from "./processes/tested.ts";
import { telemetryText } from "./telemetry/cost.ts";

/**
 * What it costs to be seen: gateways that differ in what they tell of their requests, side by side. Every answer is verified, and a
 * wrong one ends it with exit code 1, as does a collector that was sent nothing.
 *
 *   node bench/telemetry.ts [--rounds N]
 */
const { values } = parseArgs({ options: { rounds: { type: "string", default: "9" } } });
const rounds = Math.min(100, Math.max(1, Math.round(Number(values.rounds)) || 9));
const running: Tested[] = [];
const folders: string[] = [];

process.on("exit", () => {
  for (const each of running) each.kill();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

async function started(starting: Promise<Tested>): Promise<Tested> {
  const tested = await starting;
  running.push(tested);
  return tested;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "everhop-telemetry-"));
  folders.push(folder);
  return folder;
}

const program = (name: string) => join(import.meta.dirname, "processes", name);

try {
  const upstream = await started(startChild(program("upstream.ts"), []));
  const collector = await started(startChild(program("collector.ts"), []));
  const start = (changes: object) => started(startGateway(newFolder(), upstream.origin, { changes }));
  console.log(await telemetryText(start, collector, rounds, (line) => void process.stderr.write(`${line}\n`)));
  await Promise.all(running.map((each) => each.stop()));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
