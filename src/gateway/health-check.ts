import type { HttpRequest } from "../providers/lane.ts";
import type { Target } from "../providers/target.ts";
import type { Upstream } from "../providers/upstream.ts";
import type { EngineState } from "../routing/state.ts";
import { createCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Rng } from "../runtime/rng.ts";
import { isSuccess, letEnd } from "./complete.ts";

/** How a provider is looked after. */
export interface HealthCheck {
  readonly provider: string;
  /** Its endpoints. */
  readonly targets: readonly Target[];
  /** `models` is free; `chat` asks for one token, and costs it. */
  readonly kind: "models" | "chat";
  /** Below the base URL. */
  readonly path: string;
  /** In place of base URL and path. */
  readonly url: string | undefined;
  /** What `chat` asks. */
  readonly model: string | undefined;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** Checks that are on; `stop` ends them, those under way too. */
export interface HealthChecks {
  stop(): void;
}

/**
 * Asks each provider from time to time whether it is there. Only the status of the answer counts: what stands in a list of models
 * differs from server to server. A success lets an open breaker try a call at once; it closes none, for listing models is not
 * serving them. A failure changes nothing: calls find out by themselves.
 */
export function startHealthChecks(
  machine: { clock: Clock; rng: Rng; upstream: Upstream; state: EngineState },
  checks: readonly HealthCheck[],
): HealthChecks {
  const stops = checks.map((check) => watch(machine, check));
  return {
    stop() {
      for (const stop of stops) stop();
    },
  };
}

function watch(machine: Parameters<typeof startHealthChecks>[0], check: HealthCheck): () => void {
  const { clock, rng } = machine;
  const stopped = createCancellation();
  let stopTimer = () => {};
  const again = (delayMs: number) => {
    stopTimer = clock.schedule(delayMs, () => {
      void isThere(machine, check, stopped).then((there) => {
        if (stopped.cancelled) return;
        if (there) for (const target of check.targets) machine.state.endpoint(target).checkSucceeded(clock.now());
        // Spread by a tenth: many gateways must not ask at once.
        again(check.intervalMs * (0.9 + 0.2 * rng.next()));
      });
    });
  };
  again(check.intervalMs * rng.next());
  return () => {
    stopTimer();
    stopped.cancel(new Error("health checks stop"));
  };
}

/** One check: whether the provider answers well in time. */
async function isThere(
  { clock, upstream, state }: Parameters<typeof startHealthChecks>[0],
  check: HealthCheck,
  stopped: { onCancel(listener: (reason: unknown) => void): () => void },
): Promise<boolean> {
  const [first] = check.targets;
  if (!first) return false;
  const cancellation = createCancellation();
  const unlink = stopped.onCancel((reason) => cancellation.cancel(reason));
  const disarm = clock.schedule(check.timeoutMs, () => cancellation.cancel(new Error("no answer in time")));
  try {
    const { target, request } = requestOf(check, first);
    // Its own key for its own address only: a check elsewhere goes without.
    const key = check.url === undefined ? state.provider(first).ring.anyKey() : undefined;
    const answer = await upstream.send(target, key, request, cancellation);
    await letEnd(answer.body, clock);
    return isSuccess(answer);
  } catch {
    return false;
  } finally {
    disarm();
    unlink();
  }
}

function requestOf({ kind, path, url, model }: HealthCheck, first: Target): { target: Target; request: HttpRequest } {
  if (kind === "chat") {
    const body = JSON.stringify({ model, messages: [{ role: "user", content: "ping" }], max_tokens: 1 });
    const headers = { "content-type": "application/json", accept: "application/json" };
    return { target: first, request: { path: "/chat/completions", headers, body } };
  }
  const request = { method: "GET", path, headers: { accept: "application/json" } } as const;
  if (url === undefined) return { target: first, request };
  const { origin, pathname, search } = new URL(url);
  return { target: { ...first, origin, basePath: "" }, request: { ...request, path: pathname + search } };
}
