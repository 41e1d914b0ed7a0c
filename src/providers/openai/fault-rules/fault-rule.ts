import type { UpstreamFault } from "../../../chat/fault.ts";

/** What an error body can mean: the kinds of fault that need nothing but their name. */
export type AnswerFaultKind = Exclude<
  UpstreamFault["kind"],
  "unreachable" | "timed_out" | "not_sent" | "connection_lost" | "truncated" | "too_large"
>;

/** What a dialect says only in its message. */
export interface MessageRule {
  readonly kind: AnswerFaultKind;
  /** Words count where a message begins with them: further on it may quote the caller. */
  readonly says: RegExp;
  /** The statuses with which it is said. Default: any below 500, or none told. */
  readonly statuses?: readonly number[];
  /** A word by which the error must be named, in lower case. Default: none. */
  readonly word?: string;
}

/**
 * How one family of servers words its errors, beside what it has in common with all others. The rules of all dialects hold for
 * every upstream, since nobody knows what is behind a base URL: so a rule must be true of whoever speaks like this.
 */
export interface FaultRules {
  /** Whose they are. */
  readonly dialect: string;
  /** Words that name an error, in lower case, by what they mean. They decide before any message or status. */
  readonly words?: Readonly<Partial<Record<AnswerFaultKind, readonly string[]>>>;
  /** Tried in order. */
  readonly messages?: readonly MessageRule[];
}
