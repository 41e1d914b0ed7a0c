import { expect } from "vitest";
import type { ListenerSetup } from "../../../src/server/listener/listener.ts";
import { type Certificate, hasOpenssl, makeCertificate } from "../../support/certificates.ts";
import { poolConfig, startGateway, startProviders } from "../../support/gateway.ts";

const certificate = hasOpenssl ? makeCertificate("localhost") : undefined;

/** How the port is reached. */
export interface Port {
  /** For a test's name. */
  readonly name: "in the clear" | "over TLS";
  /** Undefined in the clear. */
  readonly certificate: Certificate | undefined;
}

/** In the clear, and over TLS where a certificate can be made. */
export const ports: readonly Port[] = [
  { name: "in the clear", certificate: undefined },
  ...(certificate ? [{ name: "over TLS", certificate } as const] : []),
];

/** A gateway with two providers behind one model, the first of which is out of order. */
export async function startPair({ certificate }: Port, server: object = {}) {
  const providers = await startProviders({ failing: { schedule: [{ kind: "html" }] }, healthy: {} });
  const setup: Partial<ListenerSetup> = certificate ? { tls: certificate } : {};
  const gateway = await startGateway({ ...poolConfig(providers), server }, providers, setup);
  return { ...gateway, providers };
}

/** What the header of every answer tells of the two. */
export const trailHeader = expect.stringMatching(
  /^failing\/failing-model#k1 transient_fault \d+ms, healthy\/healthy-model#k1 200 \d+ms$/,
);

/** What the trail tells of the two, in the words of `wires.ts`. */
export const twoAttempts = [
  { provider: "failing", outcome: "transient_fault", httpStatus: 200, hint: expect.stringMatching(/\S/) },
  { provider: "healthy", outcome: "ok", httpStatus: 200, hint: "" },
];

/** The same in protobuf's JSON. */
export const twoAttemptsInJson = [
  { provider: "failing", outcome: "ATTEMPT_OUTCOME_TRANSIENT_FAULT" },
  { provider: "healthy", outcome: "ATTEMPT_OUTCOME_OK" },
];

/** What the healthy one says. */
export const echo = (text: string): string => `You said: ${text}`;
