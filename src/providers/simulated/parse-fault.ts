import { validateHeaderName, validateHeaderValue } from "node:http";
import type { Fault, FaultKind } from "./fault.ts";
import { errorShapes } from "./fault.ts";
import type { JsonObject } from "./json.ts";
import { isJsonObject } from "./json.ts";

/** Whether a parameter of a fault has a sensible value. */
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
  usage_with_choice: {},
  rubbish_usage: {},
  finish_with_content: {},
  delta_after_finish: {},
  missing_finish: {},
  candidates_reversed: {},
  null_deltas: {},
  bare_choices: {},
  empty_choices: {},
  new_ids: {},
  comments: {},
  crlf: {},
  text_plain: {},
  data_after_done: {},
  long_line: { bytes: (value) => count(value) && Number(value) <= 2 ** 26 },
  invalid_utf8: {},
  processing: {},
};

const pace: Record<string, Check> = {
  delayMs: amount,
  tokensPerSecond: (value) => typeof value === "number" && value > 0,
};

/** All names of faults. */
// The table has these keys and no others, which the type of `Object.keys` does not say.
export const faultKinds = Object.keys(parameters) as readonly FaultKind[];

/** The parameter that `kind:number` stands for. */
const mainParameter: Record<string, string> = {
  drip: "msPerByte",
  hold_open_after_done: "ms",
  late_usage: "ms",
  long_line: "bytes",
  none: "delayMs",
};

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

/** The value as a fault, if it is one. */
function checked(value: JsonObject): Fault | undefined {
  return isFault(value) ? value : undefined;
}

/** Whether a value is a fault of a known kind, and all of its parameters are known and in range. */
export function isFault(value: unknown): value is Fault {
  if (!isJsonObject(value)) return false;
  const kind = faultKinds.find((known) => known === value["kind"]);
  if (kind === undefined || (kind === "status" && value["status"] === undefined)) return false;
  const checks: Record<string, Check> = { kind: text, ...parameters[kind], ...pace };
  return Object.entries(value).every(
    ([name, parameter]) => Object.hasOwn(checks, name) && checks[name]?.(parameter) === true,
  );
}
