import { expect } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";
import { httpRequest, talk } from "./http1.ts";

/** What nobody caught since the tests of this file began: one such thing would have ended a process that serves. */
const crashes: unknown[] = [];
process.on("uncaughtException", (error) => crashes.push(error));
process.on("unhandledRejection", (error) => crashes.push(error));
process.on("warning", (warning) => {
  // A timer that overflows fires at once; listeners that pile up are a leak.
  if (/TimeoutOverflow|MaxListeners/.test(warning.name)) crashes.push(warning);
});

/** A gateway in front of one provider, to be sent what nobody should send. */
export interface Target extends TestGateway {
  readonly provider: SimulatedProvider;
  /** That the process is alive: a good request on a connection of its own is served, and nothing went uncaught. */
  survives(): Promise<void>;
}

/** The least that is answered by 200, on REST. */
export const goodBody = '{"model":"think","messages":[{"role":"user","content":"hello"}]}';
const admitted = "key-of-the-good-caller";

/**
 * Starts a target.
 * @param changes of the configuration; with callers, `admitted` becomes the key of one more
 */
export async function startTarget(
  changes: {
    readonly auth?: { readonly callers: readonly object[]; readonly [more: string]: unknown };
    readonly [more: string]: unknown;
  } = {},
  behaviour: Partial<Behaviour> = {},
): Promise<Target> {
  const providers = await startProviders({ only: behaviour });
  const config = poolConfig(providers, { only: { models: ["only-model"] } });
  const { auth, ...more } = changes;
  const callers = auth && { ...auth, callers: [...auth.callers, { name: "good", key: admitted }] };
  // Open by a word of its own: then it answers to any name.
  const gateway = await startGateway({ ...config, ...more, auth: callers ?? { open: true } }, providers);
  const fields = ["content-type: application/json", ...(auth ? [`authorization: Bearer ${admitted}`] : [])];
  return {
    ...gateway,
    provider: providers.only,
    async survives() {
      const { answers } = await talk(gateway.port, httpRequest("POST /v1/chat/completions", fields, goodBody));
      expect(crashes).toEqual([]);
      expect(
        answers.map(({ status }) => status),
        "a good request afterwards",
      ).toEqual([200]);
    },
  };
}
