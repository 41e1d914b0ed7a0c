import type { Case, Via } from "./cases.ts";
import { makeCalls } from "./load.ts";
import type { Child } from "./processes/child.ts";
import { quantile } from "./statistics.ts";

/** The processes under load. */
export type Processes = Readonly<Record<Via, Child>>;

/** What one leg brought in one round. */
export interface Round {
  /** Of the process under test, per unit of the case; undefined of direct calls, which have none. */
  readonly cpuUs: number | undefined;
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One case through one process, with its rounds in their order. */
export interface Leg {
  readonly of: Case;
  readonly via: Via;
  readonly rounds: readonly Round[];
}

/** How long it goes. */
export interface Extent {
  readonly secondsPerRound: number;
  /** A first one to warm up comes on top and is thrown away. */
  readonly rounds: number;
}

/**
 * Measures all legs in each round, every other round backwards: so a machine that changes its mind, or is shared, treats them alike.
 * @throws (rejects) when an answer is wrong: figures of wrong answers mean nothing
 */
export async function measure(
  cases: readonly Case[],
  processes: Processes,
  { secondsPerRound, rounds }: Extent,
  progress: (line: string) => void,
): Promise<Leg[]> {
  const legs = cases.flatMap((of) =>
    of.via.map((via) => ({ of, via, client: of.client(processes[via].origin), rounds: [] as Round[] })),
  );
  try {
    for (let round = 0; round <= rounds; round++) {
      progress(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
      for (const leg of round % 2 === 0 ? legs : legs.toReversed()) {
        const { of, via, client } = leg;
        const result = await stretch(of, client, via === "direct" ? undefined : processes[via], secondsPerRound).catch(
          (cause: Error) => {
            throw new Error(`${of.name}, ${via}: ${cause.message}`, { cause });
          },
        );
        if (round > 0) leg.rounds.push(result);
      }
    }
  } finally {
    await Promise.all(legs.map(({ client }) => client.close()));
  }
  return legs;
}

async function stretch(
  { load, unitsPerCall }: Case,
  client: ReturnType<Case["client"]>,
  tested: Child | undefined,
  seconds: number,
): Promise<Round> {
  const before = await tested?.cpuUs();
  const { calls, elapsedMs, latenciesMs } = await makeCalls(client, load, seconds * 1000);
  const after = await tested?.cpuUs();
  return {
    cpuUs: before === undefined || after === undefined ? undefined : (after - before) / (calls * unitsPerCall),
    callsPerSecond: calls / (elapsedMs / 1000),
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}
