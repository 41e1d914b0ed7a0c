import type { UpstreamFault, UpstreamWords } from "../../chat/fault.ts";
import type { HttpAnswer } from "../lane.ts";
import { type Headers, retryAfterMs, shouldRetry } from "../retry-after.ts";
import { type ErrorBody, errorObject, readErrorBody } from "./error-body.ts";
import { faultKind } from "./fault-kind.ts";
import { type JsonObject, parseJson } from "./json.ts";
import { statedWaitMs } from "./stated-wait.ts";

/** Classifies an answer that is no success. */
export function faultOf({ status, headers, body }: HttpAnswer): UpstreamFault {
  const text = body.toString("utf8", 0, 64 * 1024);
  const json = errorObject(parseJson(text));
  const error = json && readErrorBody(json);
  const isPage = !json && /^\s*</.test(text);
  return { status, ...faultSaid(status === 400 && isPage ? "malformed" : faultKind(status, error), error, headers) };
}

/** Classifies an error object inside a stream or a 200 answer, where no status tells. */
export function faultOfError(json: JsonObject): UpstreamFault {
  const error = readErrorBody(json);
  return faultSaid(faultKind(undefined, error), error, {});
}

function faultSaid(kind: ReturnType<typeof faultKind>, error: ErrorBody | undefined, headers: Headers): UpstreamFault {
  const wait = retryAfterMs(headers) ?? (error && statedWaitMs(kind, error, headers));
  const retry = shouldRetry(headers);
  return {
    kind,
    ...(error && wordsOf(error)),
    ...(wait !== undefined && { retryAfterMs: wait }),
    ...(retry !== undefined && { shouldRetry: retry }),
  };
}

function wordsOf({ message, name, param, relayed }: ErrorBody): UpstreamWords {
  // A provider that only hands on says nothing itself.
  const said = relayed?.message === undefined ? message : `${message ?? ""}: ${relayed.message}`.replace(/^: /, "");
  return {
    ...(said !== undefined && { message: presentable(said) }),
    ...(name !== undefined && { providerCode: presentable(name).slice(0, 100) }),
    ...(param !== undefined && { param: presentable(param).slice(0, 200) }),
  };
}

/** A provider's words as they may be shown: no address, nothing that looks like a key, and not a whole page. */
function presentable(message: string): string {
  return message
    .slice(0, 1000)
    .replace(/\bhttps?:\/\/\S+|\b(localhost|[\w-]+(\.[\w-]+)+):\d{2,5}\b|\b\d{1,3}(\.\d{1,3}){3}\b/gi, "[address]")
    .replace(/\b(sk|pk|rk|gsk|xai)[-_][\w*.-]{8,}|\bbearer\s+\S+/gi, "[key]")
    .replace(/[\u0000-\u001f\u007f]+/g, " ");
}
