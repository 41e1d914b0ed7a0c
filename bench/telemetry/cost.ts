import { request } from "undici";
import { type Case, caseNames, cases } from "../cases.ts";
import type { Client } from "../clients/client.ts";
import { type Round, stretch, wrong } from "../measure.ts";
import type { Tested } from "../processes/tested.ts";
import { median } from "../statistics.ts";
import { table } from "../table.ts";

const seconds = 0.8;
const measured = [caseNames.unary, caseNames.failover, caseNames.stream, caseNames.grpc] as const;

/** What a gateway may tell of its requests. Quiet is what the others are held against. */
function settings(collector: string): readonly { readonly name: string; readonly changes: object }[] {
  const traces = (ratio: number) => ({
    telemetry: { otlp: { endpoint: collector, metrics: false }, sample_ratio: ratio },
    log: { level: "error" },
  });
  return [
    { name: "nothing", changes: { log: { level: "error" } } },
    { name: "traces, 5 %", changes: traces(0.05) },
    { name: "traces, 100 %", changes: traces(1) },
    { name: "a line of log each", changes: { log: { level: "info", format: "json" } } },
  ];
}

/** Measures one case with each setting in turn, round by round, every other round backwards. */
async function measureCase(of: Case, gateways: readonly Tested[], rounds: number): Promise<Round[][]> {
  const legs = gateways.map((tested) => ({ tested, client: of.client(tested), done: [] as Round[] }));
  const each = async ({ tested, client }: { tested: Tested; client: Client }) =>
    stretch(of, client, tested, seconds).catch((cause: unknown) => {
      throw wrong(of.name, "gateway", cause);
    });
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const leg of round % 2 === 0 ? legs : legs.toReversed()) {
        const result = await each(leg);
        if (round > 0) leg.done.push(result);
      }
    }
  } finally {
    await Promise.all(legs.map(({ client }) => client.close()));
  }
  return legs.map(({ done }) => done);
}

/**
 * CPU time of a request, by what is told of it; and how much more it is than where nothing is, taken within each round.
 * @param start starts a gateway with changes to its configuration
 * @throws (rejects) when an answer is wrong, or the collector was sent nothing
 */
export async function telemetryText(
  start: (changes: object) => Promise<Tested>,
  collector: Tested,
  rounds: number,
  progress: (line: string) => void,
): Promise<string> {
  const all = settings(collector.origin);
  const gateways: Tested[] = [];
  for (const { changes } of all) gateways.push(await start(changes));
  const rows: string[][] = [];
  for (const of of cases.filter(({ name }) => measured.some((wanted) => wanted === name))) {
    progress(of.name);
    const found = await measureCase(of, gateways, rounds);
    for (const [index, { name }] of all.entries()) {
      const own = (found[index] ?? []).map(({ cpuUs = Number.NaN }) => cpuUs);
      const more = own.map((cpuUs, round) => cpuUs - (found[0]?.[round]?.cpuUs ?? Number.NaN));
      const added = index === 0 ? "" : `${more.length > 0 && median(more) >= 0 ? "+" : ""}${median(more).toFixed(1)}`;
      rows.push([of.name, name, of.unit, median(own).toFixed(1), added]);
    }
  }
  const { body } = await request(collector.origin);
  const taken = (await body.json()) as { requests: number; bytes: number };
  if (taken.requests === 0) throw new Error("the collector was sent nothing");
  const text = table(["case", "told", "per", "CPU µs", "more"], rows, [0, 1, 2]);
  return `${text}\n\nThe collector took ${taken.requests} deliveries, ${(taken.bytes / 2 ** 20).toFixed(1)} MiB.`;
}
