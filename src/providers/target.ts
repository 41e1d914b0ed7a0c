import type { Endpoint } from "../routing/endpoint.ts";

/**
 * How an endpoint is asked to go on with a text that it is given: by a last message of the assistant alone, or with a mark that this
 * is no turn of its own. `none`: it is not known to.
 */
export type PrefillDialect = "none" | "continue_final_message" | "prefix" | "assistant";

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
}
