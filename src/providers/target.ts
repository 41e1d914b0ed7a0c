import type { Endpoint } from "../routing/endpoint.ts";

/**
 * How an endpoint is asked to go on with a text that it is given: by a last message of the assistant alone, or with a mark that this
 * is no turn of its own. `none`: it is not known to.
 */
export type PrefillDialect = "none" | "continue_final_message" | "prefix" | "assistant";

/** A member of a request that the configuration sets. */
export interface Parameter {
  readonly name: string;
  readonly value: unknown;
  /** The value as JSON; undefined for a null: then nothing of the name is sent. */
  readonly text: string | undefined;
}

/** What the configuration changes in the requests to a target. */
export interface TargetParams {
  /** Replace what the caller sends under the same names. */
  readonly overrides: readonly Parameter[];
  /** Are set where the caller sends nothing; none of them has the name of an override. */
  readonly defaults: readonly Parameter[];
  /** Whether the endpoint is asked to stream its answer, whatever the caller asks; undefined: as the caller asks. */
  readonly stream: boolean | undefined;
}

/** An endpoint with what it takes to call it. */
export interface Target extends Endpoint {
  /** The provider's dialect, as configured: `openai`, or any label for an OpenAI-compatible server. */
  readonly kind: string;
  /** Scheme, host and port of the base URL. */
  readonly origin: string;
  /** Path of the base URL without a closing slash: `/v1`. */
  readonly basePath: string;
  /** How long connecting may take. */
  readonly connectMs: number;
  /** How long a stream may be silent after its first content. */
  readonly idleMs: number;
  readonly prefill: PrefillDialect;
  /** Whether it is told of the trace that a request belongs to. */
  readonly traceContext?: boolean | undefined;
  /** What a prompt may hold beside text; undefined: not known. */
  readonly input?: readonly ("image" | "audio")[] | undefined;
  /** Undefined: what the caller sends goes as it is. */
  readonly params?: TargetParams | undefined;
}
