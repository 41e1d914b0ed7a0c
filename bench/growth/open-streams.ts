import { type Case, caseNames, cases, silentRestStreams } from "../cases.ts";
import { stretch, wrong } from "../measure.ts";
import type { Tested } from "../processes/tested.ts";
import { createSilentStreams, settledBytes } from "../silent-streams.ts";
import { median } from "../statistics.ts";
import type { GrowthRow, GrowthTable } from "./table.ts";

const sizes = [0, 1000, 5000];
const rounds = 4;
const seconds = 1;
const measured = [caseNames.unary, caseNames.stream];

/**
 * What calls cost while other streams are open and silent, and what those take of memory. The floor, which has none open, is called
 * in turn with the gateway: where its figure changes from column to column it was the machine.
 * @throws (rejects) when an answer is wrong, or a silent stream does not end as it should
 */
export async function measureBesideOpenStreams(
  upstream: Tested,
  floor: Tested,
  gateway: Tested,
  progress: (line: string) => void,
): Promise<GrowthTable> {
  const legs = cases
    .filter(({ name }) => measured.some((each) => each === name))
    .flatMap((of) =>
      [{ via: "floor", tested: floor } as const, { via: "gateway", tested: gateway } as const].map(
        ({ via, tested }) => ({ of, via, tested, client: of.client(tested), values: [] as number[] }),
      ),
    );
  const silentClient = silentRestStreams(Math.max(...sizes))(gateway);
  const silent = createSilentStreams(silentClient, upstream.origin);

  const round = async () => {
    const figures: number[] = [];
    for (const { of, via, tested, client } of legs) {
      const { cpuUs } = await stretch(of, client, tested, seconds).catch((cause) => {
        throw wrong(of.name, via, cause);
      });
      figures.push(cpuUs ?? Number.NaN);
    }
    return figures;
  };

  await round(); // warms up
  const kib: (number | undefined)[] = [];
  let idleBytes = 0;
  let open = 0;
  for (const size of sizes) {
    progress(`${size} streams open`);
    await silent.open(size - open);
    open = size;
    const bytes = await settledBytes(gateway);
    if (size === 0) idleBytes = bytes;
    kib.push(size === 0 ? undefined : (bytes - idleBytes) / size / 1024);
    const figures: number[][] = [];
    for (let count = 0; count < rounds; count++) figures.push(await round());
    for (const [index, { values }] of legs.entries())
      values.push(median(figures.map((each) => each[index] ?? Number.NaN)));
  }
  await silent.end().catch((cause) => {
    throw wrong(`${open} open streams`, "gateway", cause);
  });
  await Promise.all([silentClient, ...legs.map(({ client }) => client)].map((client) => client.close()));
  return {
    figure: "CPU µs, beside silent streams",
    columns: sizes.map((size) => `${size.toLocaleString("en")} open`),
    rows: [...legs.map(rowOf), { name: "KiB per open stream", values: kib, digits: 1 }],
  };
}

function rowOf({ of, via, values }: { of: Case; via: string; values: readonly number[] }): GrowthRow {
  return { name: `${of.name}, per ${of.unit}, ${via}`, values, digits: 1 };
}
