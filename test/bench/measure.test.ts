import { createServer, type ServerResponse } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { answerText } from "../../bench/answers.ts";
import { caseNames, cases, silentRestStreams } from "../../bench/cases.ts";
import { measure } from "../../bench/measure.ts";
import { startChild } from "../../bench/processes/child.ts";
import type { Tested } from "../../bench/processes/tested.ts";
import { createSilentStreams } from "../../bench/silent-streams.ts";
import { root } from "../support/program.ts";
import { contents, serveHttp1, sse } from "./servers.ts";

const short = { secondsPerRound: 0.1, rounds: 1, openRounds: 1 };

/** The benchmark's own upstream, with another door if the test wants one. */
async function upstream(origin?: string): Promise<Tested> {
  const tested = await startChild(`${root}/bench/processes/upstream.ts`, []);
  onTestFinished(() => tested.stop());
  return origin === undefined ? tested : { ...tested, origin };
}

function named(name: string) {
  return cases.filter((each) => each.name === name);
}

describe("measuring", () => {
  test("tells what calls cost and how long they took when every answer is right", async () => {
    const direct = await upstream();
    const [leg] = await measure(named(caseNames.unary), { direct }, short, () => {});
    const [round] = leg?.rounds ?? [];
    expect(round?.callsPerSecond).toBeGreaterThan(0);
    expect(round?.p50Ms).toBeGreaterThan(0);
    expect(round?.p99Ms).toBeGreaterThanOrEqual(round?.p50Ms ?? Number.NaN);
  });

  test("ends with the case, the process and what was wrong", async () => {
    const faulty = await serveHttp1((response) => void response.end(answerText("nonce:00000zzz")));
    const processes = { direct: await upstream(), floor: await upstream(faulty) };
    const measuring = measure(named(caseNames.unary), processes, short, () => {});
    await expect(measuring).rejects.toThrow(/^REST unary, floor: the nonce did not come back: nonce:00000zzz/);
  });

  test("ends when somebody is served who has made no failed hop first", async () => {
    const gateway = await upstream();
    const measuring = measure(named(caseNames.failover), { gateway }, short, () => {});
    await expect(measuring).rejects.toThrow(/^REST unary, one failed hop, gateway: status 400.*no hop has failed/);
  });

  test("ends when the process under test has ended", async () => {
    const gateway = await upstream();
    gateway.kill();
    const measuring = measure(named(caseNames.unary), { gateway }, short, () => {});
    await expect(measuring).rejects.toThrow(/^REST unary, gateway: /);
  });
});

describe("streams that stay open", () => {
  function silentStreams(door: Tested, upstreamOrigin = door.origin) {
    const client = silentRestStreams(20)(door);
    onTestFinished(() => client.close());
    return createSilentStreams(client, upstreamOrigin);
  }

  test("are held until the upstream ends them, and then have brought everything", async () => {
    const streams = silentStreams(await upstream());
    await streams.open(5);
    await streams.open(15);
    await streams.end();
    await streams.open(1);
    await streams.end();
  });

  /** Writes the first content at once, the rest when the test says so. */
  async function faulty(rest: (response: ServerResponse, nonce: string) => void) {
    const held: (() => void)[] = [];
    const origin = await serveHttp1((response, nonce) => {
      response.write(sse(contents(nonce, 1), ""));
      held.push(() => rest(response, nonce));
    });
    const goOn = () => {
      for (const each of held) each();
    };
    return { origin, goOn };
  }

  test("are wrong when one ends before its time", async () => {
    const { origin, goOn } = await faulty((response, nonce) => void response.end(sse(contents(nonce, 2).slice(1))));
    const streams = silentStreams(await upstream(origin));
    await streams.open(5);
    goOn();
    await expect(streams.open(5)).rejects.toThrow("a stream has ended before its time");
  });

  test.each<[string, (response: ServerResponse) => void, RegExp]>([
    ["lacks an event when it ends", (response) => void response.end("data: [DONE]\n\n"), /event 1 is missing/],
    ["is broken off", (response) => void response.socket?.destroy(), /other side closed|terminated|aborted/],
  ])("are wrong when one %s", async (_what, rest, message) => {
    const { origin, goOn } = await faulty(rest);
    const streams = silentStreams(await upstream(origin), await releasing(3, goOn));
    await streams.open(3);
    await expect(streams.end()).rejects.toThrow(message);
  });

  test("are wrong when the upstream does not have as many", async () => {
    const { origin } = await faulty(() => {});
    const streams = silentStreams(await upstream(origin), await releasing(2, () => {}));
    await streams.open(3);
    await expect(streams.end()).rejects.toThrow("3 streams are open, the upstream ended 2");
  });
});

/** What the upstream's own way of ending streams looks like. */
async function releasing(released: number, goOn: () => void): Promise<string> {
  const server = createServer((_request, response) => {
    response.end(JSON.stringify({ released }));
    goOn();
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
}
