import type { Endpoint, Pool } from "../routing/endpoint.ts";
import type { Lease } from "../routing/lease.ts";
import { RouteError, type Router, type RunOptions } from "../routing/router.ts";
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
}

/** How a request ended. */
export interface Told<E extends Endpoint> {
  /** `broken`: after its first content had reached the caller. */
  readonly outcome: "served" | "failed" | "broken";
  readonly trail: Trail;
  /** The endpoint whose answer it was; undefined: none. */
  readonly by: E | undefined;
  /** Why not. */
  readonly error: unknown;
  /** From its arrival; undefined: no content came. */
  readonly firstContentMs: number | undefined;
  readonly totalMs: number;
}

/** Plays a request from its arrival to its end, as the gateway would. */
export async function ask<E extends Endpoint>(router: Router, clock: Clock, request: Request<E>): Promise<Told<E>> {
  const { mode, pool, options, respond, idleMs } = request;
  const arrivedAt = clock.now();
  const since = () => clock.now() - arrivedAt;
  const attempt = (lease: Lease<E>): Promise<Answer> => play(clock, lease, respond(lease), mode);
  try {
    const { value, lease, trail } = await router[mode](pool, attempt, options);
    const firstContentMs = since();
    const told = { trail, by: lease.endpoint, firstContentMs };
    if (mode === "run") return { ...told, outcome: "served", error: undefined, totalMs: firstContentMs };
    try {
      await goOn(clock, lease, value, idleMs);
      lease.settle({ ok: true });
      return { ...told, outcome: "served", error: undefined, totalMs: since() };
    } catch (error) {
      lease.settle({ ok: false, error });
      return { ...told, outcome: "broken", error, totalMs: since() };
    }
  } catch (error) {
    if (!(error instanceof RouteError)) throw error;
    return { outcome: "failed", trail: error.trail, by: undefined, error, firstContentMs: undefined, totalMs: since() };
  }
}
