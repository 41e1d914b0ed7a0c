import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { expect } from "vitest";
import type { Behaviour } from "../../src/providers/simulated/behaviour.ts";
import { type SimulatedProvider, startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRng } from "../../src/runtime/rng.ts";
import { compose } from "../../src/server/compose.ts";
import { checkConfig } from "../../src/server/config.ts";
import { createListener } from "../../src/server/listener/listener.ts";
import { drain } from "../../src/server/shutdown.ts";

/** The providers behind every gateway here, the first to be asked first. */
export const providerNames = ["openai-primary", "openai-backup", "anthropic"] as const;

/** One of them. */
export type ProviderName = (typeof providerNames)[number];

/** One HTTP request that came to the gateway's port, and what it was answered. Live. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  /** Monotonic ms. */
  readonly arrivedAt: number;
  /** Monotonic ms; undefined while it is open. */
  endedAt: number | undefined;
  /** 0 when it was left without an answer. */
  status: number;
  /** Of the answer, names in lower case. */
  answered: Readonly<Record<string, unknown>>;
}

/** A gateway on a port of its own where every call is written down, and its providers. Several may run beside one another. */
export interface Lab extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
  readonly calls: readonly Call[];
  readonly providers: Readonly<Record<ProviderName, SimulatedProvider>>;
  /** Leaves as on SIGTERM, but without waiting: what is in flight is cut. */
  leave(): Promise<void>;
}

/** How a lab is set up. */
export interface LabSetup {
  /** Of every provider. */
  readonly behaviour?: Partial<Behaviour>;
  /** Of single ones, beside that. */
  readonly behaviours?: Partial<Record<ProviderName, Partial<Behaviour>>>;
  /** Nothing listens where the providers should be. */
  readonly refusing?: true;
  /** Of every provider, in the words of the file. */
  readonly each?: object;
  /** The rest of the file. */
  readonly config?: object;
}

/** Starts one: three providers in tiers, two models of each, one caller. */
export async function openLab(setup: LabSetup = {}): Promise<Lab> {
  const clock = systemClock;
  const start = (name: ProviderName) =>
    startSimulatedProvider({ name, clock, rng: systemRng, ...setup.behaviour, ...setup.behaviours?.[name] });
  const [primary, backup, anthropic] = await Promise.all([
    start("openai-primary"),
    start("openai-backup"),
    start("anthropic"),
  ]);
  const providers = { "openai-primary": primary, "openai-backup": backup, anthropic };
  const all = Object.values(providers);
  if (setup.refusing) await Promise.all(all.map((provider) => provider.close()));

  const target = (model: string) => providerNames.map((provider) => ({ provider, model }));
  const models = ["gpt-3.5-turbo", "gpt-4", "openai-gpt-oss-120b"];
  const config = checkConfig(
    {
      providers: providerNames.map((name, index) => ({
        name,
        base_url: providers[name].baseUrl,
        keys: [`sk-test-canary-${name}`],
        priority: index + 1,
        models,
        ...setup.each,
      })),
      models: models.map((name) => ({ name, targets: target(name) })),
      defaults: { model: "openai-gpt-oss-120b" },
      log: { level: "error" },
      ...setup.config,
    },
    "the test",
  );
  const bugs: unknown[] = [];
  const reportBug = (error: unknown) => bugs.push(error);
  const gateway = compose(config, { clock, rng: systemRng, observer: {}, reportBug });
  const calls: Call[] = [];
  const listener = createListener(
    {
      handle(request, response, peer) {
        calls.push(written(request, response));
        gateway.handle(request, response, peer);
      },
    },
    { clock, rng: systemRng, reportBug },
  );
  const port = await listener.listen("127.0.0.1", 0);
  return {
    address: `http://127.0.0.1:${port}`,
    calls,
    providers,
    leave: () => drain({ gateway, listener, clock }, { preStopMs: 0, graceMs: 0 }),
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((provider) => provider.idle()));
      listener.stop();
      listener.destroy();
      await gateway.close();
      await Promise.all(all.map((provider) => provider.close()));
      expect(bugs).toEqual([]);
      expect(gateway.state.inFlight).toBe(0);
    },
  };
}

function written({ method = "", url = "", headers }: IncomingMessage, response: ServerResponse): Call {
  const arrivedAt = systemClock.now();
  const call: Call = { method, path: url, headers, arrivedAt, endedAt: undefined, status: 0, answered: {} };
  const writeHead = response.writeHead.bind(response);
  // The one form that the product uses; Node keeps these headers nowhere.
  response.writeHead = (status: number, fields?: unknown) => {
    call.status = status;
    call.answered = { ...response.getHeaders(), ...(fields as OutgoingHttpHeaders) };
    return writeHead(status, fields as OutgoingHttpHeaders);
  };
  response.on("close", () => {
    call.endedAt = systemClock.now();
  });
  return call;
}
