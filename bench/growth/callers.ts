import { createCallers } from "../../src/gateway/caller.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { Secret } from "../../src/runtime/secret.ts";
import { createHttp1Client } from "../clients/http1.ts";
import { stretch, wrong } from "../measure.ts";
import { chatBody } from "../payloads.ts";
import type { Tested } from "../processes/tested.ts";
import { medians } from "./medians.ts";
import type { GrowthTable } from "./table.ts";

const sizes = [1, 100, 10_000];
const lookups = 50_000;
const rounds = 5;
const load = { concurrency: 32 };
const seconds = 1;

/** So many callers' keys, each as long as real ones are. */
export function callerKeys(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `bench-caller-key-${String(index).padStart(24, "0")}`);
}

function measureLookups(keys: readonly string[]): () => Promise<number> {
  const callers = keys.map((key) => ({
    caller: { name: key, models: undefined, seesTrail: true },
    key: new Secret(key),
  }));
  const { identify } = createCallers({ callers, adminKeys: [], open: false }, seededRng(1));
  return async () => {
    const before = process.cpuUsage();
    for (let count = 0; count < lookups; count++) {
      const key = keys[count % keys.length] ?? "";
      if (identify(key)?.name !== key) throw new Error(`${key} is not who it should be`);
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / lookups;
  };
}

/**
 * What it costs to know who asks: the lookup alone, and a REST request of the gateway, whose calls are spread over all callers.
 * @param start starts a gateway that has these callers
 * @throws (rejects) when an answer is wrong
 */
export async function measureCallers(start: (keys: readonly string[]) => Promise<Tested>): Promise<GrowthTable> {
  const all = sizes.map(callerKeys);
  const inLookup = await medians(all.map(measureLookups), rounds);
  const gateways = await Promise.all(all.map(start));
  const clients = gateways.map(({ origin }, index) =>
    createHttp1Client({
      origin,
      path: "/v1/chat/completions",
      payload: chatBody(),
      mode: "unary",
      connections: load.concurrency,
      keys: all[index] ?? [],
    }),
  );
  const calls = clients.map((client, index) => async () => {
    const { cpuUs } = await stretch({ load, unitsPerCall: 1 }, client, gateways[index], seconds).catch((cause) => {
      throw wrong(`${sizes[index]} callers`, "gateway", cause);
    });
    return cpuUs ?? Number.NaN;
  });
  // A process with ten thousand callers takes longer to come to its pace.
  await medians(calls, 4);
  const inRequest = await medians(calls, rounds);
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  return {
    figure: "CPU µs",
    columns: sizes.map((size) => `${size.toLocaleString("en")} callers`),
    rows: [
      { name: "per lookup of a caller", values: inLookup, digits: 2 },
      { name: "per REST request of the gateway", values: inRequest, digits: 1 },
    ],
  };
}
