import type { Case } from "./cases.ts";
import type { Client } from "./clients/client.ts";
import { makeCalls } from "./load.ts";
import type { Tested } from "./processes/tested.ts";
import { quantile } from "./statistics.ts";
import type { Via } from "./via.ts";

/** The processes under load; of the peers, those that there are. */
export type Processes = Readonly<Partial<Record<Via, Tested>>>;

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
  /** Of the streams that stay open, each in a process of its own. */
  readonly openRounds: number;
}

/** An error that names what was being measured. */
export function wrong(name: string, via: Via, cause: unknown): Error {
  return new Error(`${name}, ${via}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
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
    of.via.flatMap((via) => {
      const tested = processes[via];
      return tested ? [{ of, via, tested, client: of.client(tested), rounds: [] as Round[] }] : [];
    }),
  );
  try {
    for (let round = 0; round <= rounds; round++) {
      progress(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
      for (const { of, via, tested, client, rounds: done } of round % 2 === 0 ? legs : legs.toReversed()) {
        const result = await stretch(of, client, via === "direct" ? undefined : tested, secondsPerRound).catch(
          (cause: unknown) => {
            throw wrong(of.name, via, cause);
          },
        );
        if (round > 0) done.push(result);
      }
    }
  } finally {
    await Promise.all(legs.map(({ client }) => client.close()));
  }
  return legs.map(({ of, via, rounds: done }) => ({ of, via, rounds: done }));
}

/** Calls of a case for a time, and what they cost. @throws (rejects) when an answer is wrong */
export async function stretch(
  { load, unitsPerCall, stretch: times = 1 }: Pick<Case, "load" | "unitsPerCall" | "stretch">,
  client: Client,
  tested: Tested | undefined,
  seconds: number,
): Promise<Round> {
  const before = await tested?.cpuUs();
  const { calls, elapsedMs, latenciesMs } = await makeCalls(client, load, times * seconds * 1000);
  const after = await tested?.cpuUs();
  return {
    cpuUs: before === undefined || after === undefined ? undefined : (after - before) / (calls * unitsPerCall),
    callsPerSecond: calls / (elapsedMs / 1000),
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}
