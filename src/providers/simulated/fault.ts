import { validateHeaderName, validateHeaderValue } from "node:http";
import { isJsonObject } from "./json.ts";
import type { JsonObject } from "./json.ts";

/** The shapes in which servers are known to word an error; see `error-body.ts`. */
export const errorShapes = ["openai", "integer_code", "bare_string", "detail", "text", "html"] as const;

/** One of the shapes in which servers are known to word an error. */
export type ErrorShape = (typeof errorShapes)[number];

/** What an error says. Everything left out follows from the status. */
export interface ErrorWords {
  code?: string | number;
  type?: string;
  message?: string;
}

/** Where in a stream a fault strikes. */
interface After {
  /**
   * How many events are sent before, the one with the role included: 0 is before anything, 1 before the first content.
   * Default 3. Capped so that no finish reason ever gets out before the fault. In a unary answer: in the middle of the body.
   */
  events?: number;
}

/** What any fault may add, the healthy answer (`none`) included. */
interface Pace {
  /** Milliseconds of silence before the fault begins, headers included. Default 0. */
  delayMs?: number;
  /** Replaces the provider's pace for this one answer. */
  tokensPerSecond?: number;
}

/**
 * What may go wrong with one answer. The kinds come in five families: healthy; no answer at all; a success that is none;
 * an answer that breaks off; an answer that is complete but oddly put, which a client must survive without noticing.
 */
export type Fault = Pace &
  (
    | { kind: "none" }
    // No answer.
    /** An error status with an error body. `headers` may carry anything, `retry-after` for one. */
    | ({ kind: "status"; status: number; shape?: ErrorShape; headers?: Record<string, string> } & ErrorWords)
    /** RST once the request has been read. */
    | { kind: "reset_before_headers" }
    /** FIN once the request has been read. */
    | { kind: "close_before_headers" }
    /** Not one byte, until the client leaves. */
    | { kind: "silence" }
    /** Status and headers of a success, then nothing until the client leaves. */
    | { kind: "headers_then_silence" }
    /** A 302 to another host. */
    | { kind: "redirect"; location?: string }
    /** A 404 in plain text, as from a proxy that does not know the path. */
    | { kind: "wrong_path" }
    // A success that is none.
    /** 200 with a web page. */
    | { kind: "html" }
    /** 200 with `application/json` that is not JSON. */
    | { kind: "not_json" }
    /** 200 with an empty body. */
    | { kind: "empty" }
    /** The headers of an event stream and a clean end. */
    | { kind: "empty_stream" }
    /** 200 with a JSON error, also where a stream was asked for. */
    | ({ kind: "json_error_in_200" } & ErrorWords)
    /** A well-formed answer of no content and no tokens. */
    | { kind: "no_content" }
    /** An error as the only event of the stream. */
    | ({ kind: "error_event_first" } & ErrorWords)
    // An answer that breaks off.
    /** An error event in the middle, then a clean end. */
    | ({ kind: "error_event_after" } & After & ErrorWords)
    /** FIN without the end of the body. */
    | ({ kind: "cut_after" } & After)
    /** RST. */
    | ({ kind: "reset_after" } & After)
    /** A clean end of the body, but without finish reason and `[DONE]`. */
    | ({ kind: "end_after" } & After)
    /** Silence until the client leaves. */
    | ({ kind: "stall_after" } & After)
    /** An event that is not JSON; then the stream goes on as if nothing had been. */
    | ({ kind: "malformed_after" } & After)
    /** Half of the next event, then FIN. */
    | ({ kind: "half_event_then_cut" } & After)
    /** The whole body, but fewer bytes than `content-length` promised, then FIN. */
    | { kind: "short_content_length" }
    // Complete, but oddly put.
    /** Byte by byte. `msPerByte` defaults to 1; 0 is one write per byte without a pause. */
    | { kind: "drip"; msPerByte?: number }
    /** All finish reasons, no `[DONE]`. */
    | { kind: "no_done" }
    /** Whole, but the body is ended `ms` (default 6,000) later. */
    | { kind: "hold_open_after_done"; ms?: number }
    /** The event with the usage comes `ms` (default 200) after the finish reason. */
    | { kind: "late_usage"; ms?: number }
    /** Usage inside of the chunk with the finish reason, asked for or not. */
    | { kind: "usage_in_finish" }
    /** Usage that makes no sense: a negative number, a string, a number beyond exactness. */
    | { kind: "rubbish_usage" }
    /** The finish reason rides on the last content. */
    | { kind: "finish_with_content" }
    /** One more content delta after its candidate's finish reason: an empty one, as proxies send. */
    | { kind: "delta_after_finish" }
    /** The last candidate's finish reason is missing, yet `[DONE]` is there. */
    | { kind: "missing_finish" }
    /** The candidate of the highest index always comes first. */
    | { kind: "candidates_reversed" }
    /** `null` for content, role and tool calls in every delta that has none. */
    | { kind: "null_deltas" }
    /** Chunks without any choice between the others. */
    | { kind: "empty_choices" }
    /** Another id in every chunk. */
    | { kind: "new_ids" }
    /** Comment lines, as keep-alives, between the events. */
    | { kind: "comments" }
    /** Lines end in CR LF, and there is no space after `data:`. */
    | { kind: "crlf" }
    /** The stream calls itself `text/plain`. */
    | { kind: "text_plain" }
    /** `[DONE]`, then another event and `[DONE]` again. */
    | { kind: "data_after_done" }
    /** One event, or the body, carries `bytes` (default 2 MiB) of padding in one line. */
    | { kind: "long_line"; bytes?: number }
    /** Bytes that are not UTF-8 in a vendor's field of one event, or of the body. */
    | { kind: "invalid_utf8" }
    /** `102 Processing` before the answer. */
    | { kind: "processing" }
  );

/** The name of a fault. */
export type FaultKind = Fault["kind"];

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === "string";
const amount: Check = (value) => typeof value === "number" && value >= 0;
const count: Check = (value) => Number.isSafeInteger(value) && amount(value);
// Node cannot send a final status outside of this range.
const status: Check = (value) => Number.isInteger(value) && Number(value) >= 200 && Number(value) <= 999;
const shape: Check = (value) => errorShapes.some((known) => known === value);
const headers: Check = (value) => isJsonObject(value) && Object.entries(value).every(isHeader);

function isHeader([name, value]: [string, unknown]): boolean {
  if (typeof value !== "string") return false;
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

const words = { code: (value: unknown) => text(value) || Number.isFinite(value), type: text, message: text };
const after = { events: count };

/** The parameters of every kind. Where there are some, the first number is what `kind:number` sets. */
const parameters: Record<FaultKind, Record<string, Check>> = {
  none: {},
  status: { status, shape, headers, ...words },
  reset_before_headers: {},
  close_before_headers: {},
  silence: {},
  headers_then_silence: {},
  redirect: { location: (value) => isHeader(["location", value]) },
  wrong_path: {},
  html: {},
  not_json: {},
  empty: {},
  empty_stream: {},
  json_error_in_200: words,
  no_content: {},
  error_event_first: words,
  error_event_after: { ...after, ...words },
  cut_after: after,
  reset_after: after,
  end_after: after,
  stall_after: after,
  malformed_after: after,
  half_event_then_cut: after,
  short_content_length: {},
  drip: { msPerByte: amount },
  no_done: {},
  hold_open_after_done: { ms: amount },
  late_usage: { ms: amount },
  usage_in_finish: {},
  rubbish_usage: {},
  finish_with_content: {},
  delta_after_finish: {},
  missing_finish: {},
  candidates_reversed: {},
  null_deltas: {},
  empty_choices: {},
  new_ids: {},
  comments: {},
  crlf: {},
  text_plain: {},
  data_after_done: {},
  long_line: { bytes: (value) => count(value) && Number(value) <= 2 ** 28 },
  invalid_utf8: {},
  processing: {},
};

const pace: Record<string, Check> = {
  delayMs: amount,
  tokensPerSecond: (value) => typeof value === "number" && value > 0,
};

/** All names of faults. */
export const faultKinds: readonly string[] = Object.keys(parameters);

/** The parameter that `kind:number` stands for. */
const mainParameter: Record<string, string> = { drip: "msPerByte", hold_open_after_done: "ms", late_usage: "ms", long_line: "bytes", none: "delayMs" };

/**
 * Reads a fault from the outside: a `Fault` object; its kind as a string; `kind:number` for the kind's main parameter
 * (`cut_after:5`, `drip:20`, `none:300` for a delay); or a status, as number or digits.
 * @returns undefined when it is none of these, or when a parameter is unknown or out of range
 */
export function parseFault(value: unknown): Fault | undefined {
  if (typeof value === "number") return checked({ kind: "status", status: value });
  if (typeof value === "string") return fromString(value);
  return isJsonObject(value) ? checked(value) : undefined;
}

function fromString(value: string): Fault | undefined {
  if (/^\d{3}$/.test(value)) return checked({ kind: "status", status: Number(value) });
  const parts = /^(\w+):(\d+)$/.exec(value);
  const kind = parts?.[1];
  if (kind === undefined) return checked({ kind: value });
  return checked({ kind, [mainParameter[kind] ?? (kind === "status" ? "status" : "events")]: Number(parts?.[2]) });
}

function checked(fault: JsonObject): Fault | undefined {
  const kind = fault["kind"];
  // The type of `hasOwn` does not narrow; and a plain lookup would find `constructor`.
  if (typeof kind !== "string" || !Object.hasOwn(parameters, kind)) return undefined;
  if (kind === "status" && fault["status"] === undefined) return undefined;
  const checks: Record<string, Check> = { kind: text, ...parameters[kind as FaultKind], ...pace };
  for (const [name, parameter] of Object.entries(fault)) {
    if (!Object.hasOwn(checks, name) || !checks[name]?.(parameter)) return undefined;
  }
  // Kind and every parameter have been checked against the table, which follows the type.
  return fault as Fault;
}
