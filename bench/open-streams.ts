import type { OpenCase } from "./cases.ts";
import { wrong } from "./measure.ts";
import type { Tested } from "./processes/tested.ts";
import { openFilesLimit } from "./processes/tree.ts";
import { createSilentStreams, settledBytes } from "./silent-streams.ts";
import type { Via } from "./via.ts";

/** What one round with streams that stay open brought. */
export interface OpenRound {
  /** Memory of the process after some streams have come and gone, with none open. */
  readonly idleBytes: number;
  readonly bytesPerStream: number;
  /** Of opening and ending one. */
  readonly cpuUsPerStream: number;
}

/** One case through one program, with its rounds in their order. */
export interface OpenLeg {
  readonly of: OpenCase;
  readonly via: Via;
  readonly rounds: readonly OpenRound[];
}

/** Starts a program anew: what a process has kept from before would hide what streams take. */
export type Starters = Readonly<Partial<Record<Via, () => Promise<Tested>>>>;

/** Streams that come and go before the idle process is looked at. */
const warmUp = { streams: 200, times: 3 };
/** Beside its streams, a process has some files open. */
const otherFiles = 200;

/**
 * @param skipped told of what cannot be measured here, and why
 * @throws (rejects) when a stream is wrong, or broken off
 */
export async function measureOpenStreams(
  cases: readonly OpenCase[],
  starters: Starters,
  upstream: Tested,
  rounds: number,
  progress: (line: string) => void,
  skipped: (line: string) => void,
): Promise<OpenLeg[]> {
  const legs = cases.flatMap((of) =>
    of.via.flatMap((via) => {
      const start = starters[via];
      return start ? [{ of, via, start, rounds: [] as OpenRound[] }] : [];
    }),
  );
  for (let round = 1; round <= rounds; round++) {
    progress(`open streams, round ${round} of ${rounds}`);
    for (const { of, via, start, rounds: done } of round % 2 === 1 ? legs : legs.toReversed()) {
      const tested = await start();
      try {
        const lack = filesLack(of.streams, tested, upstream);
        if (lack) {
          if (round === 1) skipped(`${of.name}, ${via}: SKIPPED, ${lack}`);
          continue;
        }
        done.push(await openRound(of, tested, upstream));
      } catch (cause) {
        throw wrong(of.name, via, cause);
      } finally {
        await tested.stop();
      }
    }
  }
  return legs
    .filter(({ rounds: done }) => done.length > 0)
    .map(({ of, via, rounds: done }) => ({ of, via, rounds: done }));
}

async function openRound({ client: createClient, streams: count }: OpenCase, tested: Tested, upstream: Tested) {
  const client = createClient(tested);
  const streams = createSilentStreams(client, upstream.origin);
  try {
    for (let time = 0; time < warmUp.times; time++) {
      await streams.open(warmUp.streams);
      await streams.end();
    }
    const idleBytes = await settledBytes(tested);
    const beforeOpening = await tested.cpuUs();
    await streams.open(count);
    const opened = await tested.cpuUs();
    const openBytes = await settledBytes(tested);
    const beforeEnding = await tested.cpuUs();
    await streams.end();
    const ended = await tested.cpuUs();
    return {
      idleBytes,
      bytesPerStream: (openBytes - idleBytes) / count,
      cpuUsPerStream: (opened - beforeOpening + (ended - beforeEnding)) / count,
    };
  } finally {
    await client.close();
  }
}

/** What keeps so many streams from being open; undefined when nothing does. */
function filesLack(streams: number, tested: Tested, upstream: Tested): string | undefined {
  const needs = [
    { who: "the load", pid: process.pid, files: streams + otherFiles },
    { who: "the upstream", pid: upstream.pid, files: streams + otherFiles },
    { who: "the program", pid: tested.pid, files: 2 * streams + otherFiles },
  ];
  const lack = needs.find(({ pid, files }) => openFilesLimit(pid) < files);
  return lack && `${lack.who} needs ${lack.files} open files and may have ${openFilesLimit(lack.pid)} (ulimit -n)`;
}
