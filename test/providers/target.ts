import type { Target } from "../../src/providers/target.ts";

/** A target that nobody listens on, with whatever a test says of it. */
export function testTarget(changes: Partial<Target> = {}): Target {
  return {
    id: "p/m",
    provider: "p",
    upstreamModel: "m",
    tier: 1,
    weight: 1,
    enabled: true,
    keys: [],
    limits: { firstContentMs: 1000, totalMs: 1000 },
    kind: "openai",
    origin: "http://127.0.0.1",
    basePath: "/v1",
    connectMs: 1000,
    idleMs: 1000,
    prefill: "none",
    ...changes,
  };
}
