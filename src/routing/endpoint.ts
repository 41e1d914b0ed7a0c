import type { Secret } from "../runtime/secret.ts";

/** A credential of one provider. */
export interface Key {
  /** How people call it; never its value. */
  readonly name: string;
  readonly secret: Secret;
}

/** What the engine chooses between: a provider and one of its models. Whoever makes the pool may hang more on it. */
export interface Endpoint {
  /** `provider/upstream model`, unique in a pool. */
  readonly id: string;
  /** The provider's name. */
  readonly provider: string;
  /** The model asked of the provider. */
  readonly upstreamModel: string;
  /** Priority; lower is tried first. */
  readonly tier: number;
  /** A switched-off endpoint is skipped. */
  readonly enabled: boolean;
  /** The provider's keys; empty when it wants none. */
  readonly keys: readonly Key[];
  /** How long one attempt may take: a stream until its first content, a unary call until its end. */
  readonly limits: { readonly firstContentMs: number; readonly totalMs: number };
}

/** The candidates of one request, best first. */
export interface Pool<E extends Endpoint> {
  /** Public name of the model that was asked for. */
  readonly model: string;
  /** What ordered the candidates, for the trail. */
  readonly policy: string;
  readonly candidates: readonly E[];
  /** Endpoints ruled out before routing began, for the trail. */
  readonly ruledOut: readonly { readonly endpoint: string; readonly reason: SkipReason }[];
}

/** Why a candidate was passed over. */
export type SkipReason = "disabled" | "model_not_served" | "deadline" | "attempt_cap";
