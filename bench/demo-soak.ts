import { fork } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { type Sample, slopePerHour } from "./demo/slope.ts";

/**
 * Runs the demo with callers for some time: which requests were lost, and whether the gateway keeps more and more. The demo fails in
 * such a way that nothing needs to be lost, so a single lost request is one too many: exit code 1.
 *
 *   node bench/demo-soak.ts [MINUTES] [--rate N]
 */
const root = resolve(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rate: { type: "string", default: "5" } },
});
const minutes = Number(positionals[0] ?? 60);
/** Pools, compiled code and the first of everything come into being. */
const warmUpMs = Math.min(3, minutes / 5) * 60_000;
const mib = 2 ** 20;

const rss: Sample[] = [];
const heap: Sample[] = [];
const lost = new Map<string, number>();
const hops = new Map<string, number>();
let tally = "the callers told nothing";
const startedAt = performance.now();
let toldAt = startedAt;

const gateway = fork("bin/everhop.js", ["demo", "--no-live", "--port", "0", "--traffic", values.rate], {
  cwd: root,
  stdio: ["ignore", "pipe", "pipe", "ipc"],
  execArgv: ["--expose-gc", "--import", resolve(root, "bench/demo/report-memory.ts")],
  env: { ...process.env, NO_COLOR: "1" },
});

gateway.on("message", (message) => {
  const { rss: rssBytes, heapUsed } = message as NodeJS.MemoryUsage; // nothing else is sent
  const atMs = performance.now() - startedAt;
  if (atMs >= warmUpMs) {
    rss.push({ atMs, value: rssBytes / mib });
    heap.push({ atMs, value: heapUsed / mib });
  }
  if (performance.now() - toldAt < 60_000) return;
  toldAt = performance.now();
  const held = `rss ${(rssBytes / mib).toFixed(1)} MiB, heap ${(heapUsed / mib).toFixed(1)} MiB`;
  console.log(`${Math.round(atMs / 60_000)} min: ${held}, ${sum(hops)} hops, ${sum(lost)} lost`);
});

for (const stream of [gateway.stdout, gateway.stderr]) {
  if (stream) createInterface(stream).on("line", take);
}

function take(line: string): void {
  const failure = / was not served: (.*)$/.exec(line);
  const hop = / hop \d+ .*? (?:\d{3}|-) (\w+) /.exec(line);
  const bug = /^(bug|crash) .*/.exec(line);
  if (/^Callers: /.test(line)) tally = line;
  if (hop?.[1]) count(hops, hop[1]);
  const reason = failure?.[1] ?? bug?.[0];
  if (reason === undefined) return;
  count(lost, reason.replace(/\d+/g, "N").slice(0, 120));
  console.log(`${new Date().toISOString()} ${line}`);
}

const timer = setTimeout(() => gateway.kill("SIGTERM"), minutes * 60_000);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => gateway.kill("SIGTERM"));

gateway.on("close", (code) => {
  clearTimeout(timer);
  console.log(`\n${minutes} min at ${values.rate} requests a second, the gateway's exit code ${code}`);
  console.log(tally);
  console.log(`hops: ${listed(hops)}`);
  console.log(`lost: ${sum(lost) === 0 ? "none" : listed(lost)}`);
  for (const [name, samples] of [["rss", rss] as const, ["heap after a collection", heap] as const]) {
    const ends = `${samples[0]?.value.toFixed(1)} → ${samples.at(-1)?.value.toFixed(1)} MiB`;
    const slopes = [samples, samples.slice(samples.length / 2)].map((each) => slopePerHour(each).toFixed(2));
    console.log(
      `${name}: ${ends}, ${slopes[0]} MiB an hour, of the second half ${slopes[1]} (${samples.length} samples)`,
    );
  }
  process.exitCode = code === 0 && sum(lost) === 0 ? 0 : 1;
});

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((total, each) => total + each, 0);
}

function listed(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([key, times]) => `${times} × ${key}`).join(", ");
}
