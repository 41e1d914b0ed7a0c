import { expect } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import type { SimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import type { ListenerSetup } from "../../src/server/listener/listener.ts";
import { httpRequest, talk } from "../bad-input/http1.ts";
import { poolConfig, startGateway, startProviders, type TestGateway } from "../support/gateway.ts";

/** A gateway in front of one provider, to be treated as nobody should treat it. */
export interface Target extends TestGateway {
  readonly provider: SimulatedProvider;
  /** That others are served: a good request on a connection of its own is answered by 200. */
  serves(): Promise<void>;
  /** Resolves when no more connections than that are left. */
  emptied(left?: number): Promise<void>;
}

/** The key of a caller, where a target has any. */
export const goodKey = "key-of-the-good-caller";
/** Part of a configuration: whoever calls must show a key. */
export const closedAuth = { auth: { callers: [{ name: "good", key: goodKey }] } };
/** The least that is answered by 200, on REST. */
export const goodBody = '{"model":"think","messages":[{"role":"user","content":"hello"}]}';
/** Fields of a good request, with the key. */
export const goodFields: readonly string[] = ["Content-Type: application/json", `Authorization: Bearer ${goodKey}`];

/**
 * Starts a target.
 * @param config what of the configuration is not as everywhere
 * @param setup what of the port is not as everywhere
 */
export async function startTarget(
  config: object = {},
  setup: Partial<ListenerSetup> = {},
  behaviour: Partial<Behaviour> = {},
): Promise<Target> {
  const providers = await startProviders({ only: behaviour });
  const gateway = await startGateway(
    { ...poolConfig(providers, { only: { models: ["only-model"] } }), ...config },
    providers,
    setup,
  );
  return {
    ...gateway,
    provider: providers.only,
    serves: () => serves(gateway.port),
    emptied: (left = 0) => until(() => gateway.listener.connections <= left),
  };
}

/** That a good request on a connection of its own is answered by 200. */
export async function serves(port: number): Promise<void> {
  const request = httpRequest("POST /v1/chat/completions", [...goodFields, "Connection: close"], goodBody);
  const { answers } = await talk(port, request);
  expect(
    answers.map(({ status }) => status),
    "a good request of somebody else",
  ).toEqual([200]);
}

/** Resolves when it is so; whoever waits in vain is stopped by the test's own time. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Lets time pass, where it must have passed for anything to be shown. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
