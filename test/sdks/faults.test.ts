import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Client, type ClientName, clientNames, type Seen, startClient } from "./clients.ts";
import { type FaultCase, faultCases, type Told } from "./fault-cases.ts";
import { type Call, openLab } from "./lab.ts";
import { hasPythons } from "./python.ts";

// Most of the time goes by in waits that SDKs make between their calls.
vi.setConfig({ maxConcurrency: 12 });

const question = "one two three four five six seven eight";

describe.each(clientNames.map((name) => ({ name })))("a program with OpenAI's SDK, $name,", ({ name }) => {
  const isThere = name === "JavaScript" || hasPythons;
  let client: Client;
  beforeAll(async () => {
    if (isThere) client = await startClient(name);
  });
  afterAll(() => client?.stop());

  describe.each([
    { mode: "whole", stream: false },
    { mode: "streamed", stream: true },
  ])("that wants its answer $mode", ({ stream }) => {
    const cases = faultCases.filter(({ cannotBeAskedBy }) => cannotBeAskedBy !== name);
    test.skipIf(!isThere).concurrent.for(cases)("is told the truth when $title", async (fault) => {
      const { seen, calls } = await play(client, fault, stream);
      const told = fault.told(name, stream);
      const statuses = calls.map(({ status }) => status);
      expect({ ...outcomeOf(seen), statuses }).toEqual({
        ...expected(told, name, stream),
        statuses: statusesOf(told, name),
      });
      expectTrueText(seen, told, stream);
      expectTrueHeaders(calls, told);
      expectRequestId(seen, calls, name !== "Python 0.28" && (stream ? (seen.status ?? 0) >= 400 : hasAnswer(seen)));
    });
  });
});

async function play(client: Client, { setup, ask = {}, prepare, amid }: FaultCase, stream: boolean) {
  await using lab = await openLab(setup);
  const before = await prepare?.(lab);
  const first = lab.calls.length;
  const { model = "gpt-4", text = question, key = "sk-test-canary-anybody", ...more } = ask;
  const [seen] = await Promise.all([
    client.ask({ baseUrl: `${lab.address}/v1`, key, model, text, stream, ...more }),
    amid?.(lab, stream),
  ]);
  before?.();
  return { seen, calls: lab.calls.slice(first) };
}

const outcomeOf = ({ exception, code = null, partial = false, text, finish, provider }: Seen) => ({
  exception,
  code,
  partial,
  // What there is of an answer that failed is never called finished.
  ended: finish,
  hasText: text !== "",
  provider,
});

const expected = (told: Told, name: ClientName, stream: boolean) =>
  "raised" in told
    ? {
        exception: told.raised[name],
        code: told.code,
        partial: told.partial ?? false,
        ended: null,
        hasText: told.partial ?? false,
        provider: null,
      }
    : {
        exception: null,
        code: null,
        partial: false,
        ended: "stop",
        hasText: true,
        provider: stream ? null : (told.provider ?? expect.any(String)),
      };

const statusesOf = ({ statuses }: Told, name: ClientName) => ("JavaScript" in statuses ? statuses[name] : statuses);

/** An answer is whole, or it is called none; what came of it before it broke is its beginning. */
function expectTrueText({ text, pieces }: Seen, told: Told, stream: boolean): void {
  const whole = `You said: ${question}`;
  if (!("raised" in told)) expect(text).toBe(whole);
  else expect([whole.startsWith(text), text.length < whole.length]).toEqual([true, true]);
  if (stream && !("raised" in told)) expect(pieces).toBeGreaterThan(1);
}

function expectTrueHeaders(calls: readonly Call[], told: Told): void {
  for (const [index, { status, answered, arrivedAt }] of calls.entries()) {
    const waitMs = answered["retry-after-ms"];
    const isFinal = "final" in told && index === calls.length - 1;
    // The oldest SDK would repeat such a call for ever.
    expect(status).not.toBe(409);
    expect(answered["x-should-retry"]).toBe(isFinal ? "false" : undefined);
    expect(answered["retry-after"]).toBe(waitMs === undefined ? undefined : String(Math.ceil(Number(waitMs) / 1000)));
    const isLimit = status === 429 || status === 503;
    expect(waitMs === undefined).toBe(!isLimit);
    const next = calls[index + 1];
    // A minute and less is honoured. Timers may be early by a millisecond.
    if (next && isLimit && Number(waitMs) <= 60_000)
      expect(next.arrivedAt - arrivedAt).toBeGreaterThanOrEqual(Number(waitMs) - 2);
  }
}

/** Whether there is an answer or an error status that an id can be read from. */
function hasAnswer({ exception, status }: Seen): boolean {
  return exception === null || (status ?? 0) >= 400;
}

function expectRequestId({ request_id: told }: Seen, calls: readonly Call[], isTold: boolean): void {
  if (told || isTold) expect(told).toBe(calls.at(-1)?.answered["x-request-id"]);
}
