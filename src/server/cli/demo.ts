import { type SimulatedProvider, startSimulatedProvider } from "../../providers/simulated/simulated-provider.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Rng } from "../../runtime/rng.ts";
import { type Config, checkConfig } from "../config.ts";

/** Two providers on loopback, and the configuration that puts one model over them. */
export interface Demo {
  readonly config: Config;
  close(): Promise<void>;
}

/** Starts real HTTP servers: one that fails in turns, one that answers. */
export async function startDemo(
  { clock, rng }: { clock: Clock; rng: Rng },
  server: { readonly host?: string; readonly port?: number },
): Promise<Demo> {
  const providers: SimulatedProvider[] = [
    await startSimulatedProvider({
      name: "flaky",
      clock,
      rng,
      schedule: [
        // Retry-After 0: the demo is to show the next request failing, too, not being kept from it.
        { kind: "status", status: 429, headers: { "retry-after": "0" } },
        { kind: "html" },
        { kind: "empty" },
      ],
    }),
    await startSimulatedProvider({ name: "steady", clock, rng, latencyMs: 30, tokensPerSecond: 40, mostTokens: 120 }),
  ];
  const config = checkConfig(
    {
      server,
      providers: providers.map(({ name, baseUrl }, position) => ({
        name,
        base_url: baseUrl,
        priority: position + 1,
        models: ["small"],
      })),
      models: [{ name: "demo", targets: providers.map(({ name }) => ({ provider: name, model: "small" })) }],
      defaults: { model: "demo" },
      drain: { pre_stop: 0, grace: "5s" },
      log: { level: "debug" },
    },
    "the demo",
  );
  return {
    config,
    async close() {
      await Promise.all(providers.map((provider) => provider.close()));
    },
  };
}

/** What the demo says of itself, with three commands to paste. */
export function demoBanner(address: string): string {
  const chat = `${address}/v1/chat/completions -H 'content-type: application/json'`;
  const prompt = `{"prompt":{"messages":[{"role":"ROLE_USER","parts":[{"text":"Hello, who answers?"}]}]}}`;
  return `Nothing is configured, so this is the demo: model "demo" over two simulated providers on loopback.
  1. flaky/small    fails every time: 429, a page of HTML, an empty answer
  2. steady/small   answers

Paste into another terminal, in this folder:

  curl -s ${chat} -d '{"model":"demo","messages":[{"role":"user","content":"Hello, who answers?"}]}'

  curl -sN ${chat} -d '{"model":"demo","stream":true,"messages":[{"role":"user","content":"Tell me it word by word"}]}'

  npx buf curl --protocol grpc --http2-prior-knowledge -d '${prompt}' ${address}/everhop.v1.ChatService/CompleteChat

Each request's hops appear below as they happen. Ctrl-C ends it.
With an everhop.yaml, or OPENAI_API_KEY set, real providers are served.
`;
}
