import type { Endpoint, Pool } from "../routing/endpoint.ts";
import type { Lease } from "../routing/lease.ts";
import { type Opened, type Routed, RouteError, type Router, type RunOptions } from "../routing/router.ts";
import type { Trail } from "../routing/trail.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Answer, type Behaviour, goOn, play } from "./behaviour.ts";

/** One simulated request. */
export interface Request<E extends Endpoint> {
  readonly mode: "run" | "open";
  readonly pool: Pool<E>;
  readonly options: RunOptions<E>;
  /** What the provider makes of a call of it. */
  respond(lease: Lease<E>): Behaviour;
  /** How long silence in a stream is waited through. */
  readonly idleMs: number;
  /** Whether a stream that breaks after its first content is to go on at another endpoint, and how long that may take to begin. */
  readonly recovery?: { readonly withinMs: number } | undefined;
}

/** How a request ended. */
export interface Told<E extends Endpoint> {
  /** `broken`: after its first content had reached the caller. */
  readonly outcome: "served" | "failed" | "broken";
  readonly trail: Trail;
  /** The endpoint whose answer it was, or whose answer was its last; undefined: none. */
  readonly by: E | undefined;
  /** Why not. */
  readonly error: unknown;
  /** From its arrival; undefined: no content came. */
  readonly firstContentMs: number | undefined;
  readonly totalMs: number;
}

/** Plays a request from its arrival to its end, as the gateway would. */
export async function ask<E extends Endpoint>(router: Router, clock: Clock, request: Request<E>): Promise<Told<E>> {
  const { mode, pool, options } = request;
  const arrivedAt = clock.now();
  const since = () => clock.now() - arrivedAt;
  const attempt = (lease: Lease<E>) => play(clock, lease, request.respond(lease), mode);
  try {
    if (mode === "run") {
      const { lease, trail } = await router.run(pool, attempt, options);
      const totalMs = since();
      return { outcome: "served", trail, by: lease.endpoint, error: undefined, firstContentMs: totalMs, totalMs };
    }
    const opened = await router.open(pool, attempt, options);
    const firstContentMs = since();
    const { by, error } = await hold(clock, request, opened, attempt);
    const outcome = error === undefined ? "served" : "broken";
    return { outcome, trail: opened.trail, by, error, firstContentMs, totalMs: since() };
  } catch (error) {
    if (!(error instanceof RouteError)) throw error;
    return { outcome: "failed", trail: error.trail, by: undefined, error, firstContentMs: undefined, totalMs: since() };
  }
}

/** A committed stream to its end, with one break at most that it may go on after. */
async function hold<E extends Endpoint>(
  clock: Clock,
  { idleMs, recovery }: Request<E>,
  opened: Opened<Answer, E>,
  attempt: (lease: Lease<E>) => Promise<Answer>,
): Promise<{ by: E; error: unknown }> {
  const finish = async (
    { lease, value }: Routed<Answer, E>,
    otherwise: (error: unknown) => Promise<unknown> | unknown,
  ) => {
    try {
      await goOn(clock, lease, value, idleMs);
    } catch (error) {
      return otherwise(error);
    }
    lease.settle({ ok: true });
    return undefined;
  };
  let by = opened.lease.endpoint;
  const settled = (lease: Lease<E>) => (error: unknown) => {
    lease.settle({ ok: false, error });
    return error;
  };
  const error = await finish(opened, async (broken) => {
    if (!recovery) return settled(opened.lease)(broken);
    const next = await opened.recover(broken, attempt, clock.now() + recovery.withinMs);
    if (!next) return broken;
    by = next.lease.endpoint;
    return finish(next, settled(next.lease));
  });
  return { by, error };
}
