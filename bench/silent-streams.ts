import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import type { Client } from "./clients/client.ts";
import type { Tested } from "./processes/tested.ts";

/** Streams that have had their first content and are silent. */
export interface SilentStreams {
  /**
   * Opens more of them and waits for the first content of each.
   * @throws (rejects) when one has ended, or does not begin
   */
  open(count: number): Promise<void>;
  /**
   * Has the upstream end all of them, and waits until each has brought all that it should.
   * @throws (rejects) when one has not, or the upstream knew of another number of them
   */
  end(): Promise<void>;
}

/** Waiting for their first content at once. */
const openedAtOnce = 64;
const patienceMs = 60_000;

/** @param client calls that the upstream leaves silent */
export function createSilentStreams(client: Client, upstreamOrigin: string): SilentStreams {
  let open = 0;
  let failure: Error | undefined;
  /** Told whenever something has happened. */
  let changed: () => void = () => {};

  async function until(isDone: () => boolean, what: () => string): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    while (!isDone()) {
      if (failure) throw failure;
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0) throw new Error(what());
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        changed = resolve;
        timer = setTimeout(resolve, leftMs);
      });
      clearTimeout(timer);
    }
    if (failure) throw failure;
  }

  let isEnding = false;
  return {
    async open(count) {
      let begun = 0;
      let asked = 0;
      const next = () => {
        if (asked === count || failure) return;
        asked++;
        open++;
        client.call(
          (result) => {
            open--;
            if (typeof result !== "number") failure ??= result;
            else if (!isEnding) failure ??= new Error("a stream has ended before its time");
            changed();
          },
          () => {
            begun++;
            changed();
            next();
          },
        );
      };
      for (let index = 0; index < openedAtOnce; index++) next();
      await until(
        () => begun === count,
        () => `${begun} of ${count} streams have begun`,
      );
    },
    async end() {
      isEnding = true;
      const count = open;
      const { statusCode, body } = await request(`${upstreamOrigin}/release`, { method: "POST" });
      const { released } = (await body.json()) as { released?: number };
      if (statusCode !== 200 || released !== count)
        throw new Error(`${count} streams are open, the upstream ended ${released}`);
      await until(
        () => open === 0,
        () => `${open} of ${count} streams do not end`,
      );
      isEnding = false;
    },
  };
}

const lookEveryMs = 500;
const settledShare = 0.005;
const settleMs = 8000;

/** Memory of a process tree once it stays as it is: half a percent at most between three looks, or after eight seconds. */
export async function settledBytes(tested: Tested): Promise<number> {
  const looks = [tested.tree().rssBytes];
  const giveUpAt = performance.now() + settleMs;
  for (;;) {
    await sleep(lookEveryMs);
    looks.push(tested.tree().rssBytes);
    const last = looks.slice(-3);
    const isSettled = last.length === 3 && Math.max(...last) - Math.min(...last) <= Math.max(...last) * settledShare;
    if (isSettled || performance.now() > giveUpAt) return last.at(-1) ?? 0;
  }
}
