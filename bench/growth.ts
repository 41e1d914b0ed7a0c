import { join } from "node:path";
import { measureCallers } from "./growth/callers.ts";
import { measureBesideOpenStreams } from "./growth/open-streams.ts";
import { measurePicks } from "./growth/pick.ts";
import { growthText } from "./growth/table.ts";
import { startChild } from "./processes/child.ts";
import { startGateway } from "./processes/gateway.ts";
import { createHerd } from "./processes/herd.ts";
import type { Tested } from "./processes/tested.ts";

/**
 * How what a request costs grows: with the endpoints of its model, with the callers there are, with the streams that are open. Every
 * answer is verified, and a wrong one ends it with exit code 1.
 *
 *   node bench/growth.ts [picks] [callers] [streams]
 */
const { started, newFolder, stop } = createHerd("growth");
const program = (name: string) => join(import.meta.dirname, "processes", name);
const parts: Readonly<Record<string, (upstream: Tested) => Promise<string>>> = {
  picks: async () => growthText(await measurePicks()),
  callers: async (upstream) =>
    growthText(await measureCallers((keys) => started(startGateway(newFolder(), upstream.origin, { keys })))),
  streams: async (upstream) => {
    const floor = await started(startChild(program("floor.ts"), [upstream.origin]));
    const gateway = await started(startGateway(newFolder(), upstream.origin));
    const progress = (line: string) => void process.stderr.write(`${line}\n`);
    return growthText(await measureBesideOpenStreams(upstream, floor, gateway, progress));
  },
};

const named = process.argv.slice(2);
const unknown = named.find((name) => !parts[name]);
if (unknown !== undefined) {
  console.error(`nothing is called ${unknown}\nusage: node bench/growth.ts [picks] [callers] [streams]`);
  process.exit(2);
}
try {
  const upstream = await started(startChild(program("upstream.ts"), []));
  for (const [name, measure] of Object.entries(parts)) {
    if (named.length === 0 || named.includes(name)) console.log(`${await measure(upstream)}\n`);
  }
  await stop();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
