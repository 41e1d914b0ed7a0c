import { isUtf8 } from "node:buffer";
import { FaultError } from "../../chat/fault.ts";
import { type JsonObject, objectOf } from "../../providers/openai/json.ts";
import { CallerGone } from "../../runtime/cancellation.ts";
import type { EdgeLimits } from "../edge.ts";
import type { Exchange } from "./exchange.ts";

/** JSON has one character set; a client that names another has written something else. */
const jsonType = /^\s*application\/json\s*(?:;(?!.*charset)|;.*charset\s*=\s*"?utf-?8"?\s*(?:;|$)|$)/i;
/** Deeper than anybody means; what goes through a value by calling itself must come to an end. */
const maxDepth = 100;

/** A request's JSON object: its text and its value. */
export interface JsonBody {
  readonly text: string;
  readonly json: JsonObject;
}

/**
 * Reads a request's JSON object.
 * @throws FaultError (rejects) when it is too large, of another media type, or no JSON object; CallerGone
 */
export function readJson({ request, account }: Exchange, { bodyBytes }: EdgeLimits): Promise<JsonBody> {
  return new Promise((resolve, reject) => {
    const { headers } = request;
    if (!jsonType.test(headers["content-type"] ?? "")) {
      throw new FaultError({ kind: "unsupported_media_type", expected: "content-type: application/json, in UTF-8" });
    }
    const encoding = headers["content-encoding"] ?? "identity";
    if (encoding !== "identity")
      throw new FaultError({ kind: "unsupported_media_type", expected: "a body without content-encoding" });
    if (Number(headers["content-length"] ?? 0) > bodyBytes) throw tooLarge(bodyBytes);
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      try {
        if (length > bodyBytes) throw tooLarge(bodyBytes);
        account.take(chunk.length);
      } catch (error) {
        // The rest is not read; the answer goes out and the connection with it.
        request.pause();
        request.removeAllListeners("data");
        chunks.length = 0;
        reject(error);
        return;
      }
      chunks.push(chunk);
    });
    request.on("end", () => {
      const [first] = chunks;
      try {
        resolve(parsed(chunks.length === 1 && first ? first : Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
    const gone = () => reject(new CallerGone());
    request.on("error", gone);
    request.on("aborted", gone);
  });
}

/** @throws FaultError when it is no JSON object */
function parsed(bytes: Buffer): JsonBody {
  // Node would put marks where a character should be, and nobody would know.
  if (!isUtf8(bytes)) throw invalidBody("expected JSON in UTF-8");
  const read = bytes.toString("utf8");
  // A byte order mark is no JSON, but some clients write one.
  const text = read.charCodeAt(0) === 0xfeff ? read.slice(1) : read;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidBody(
      text === "" ? "expected a JSON object, got nothing" : `expected JSON: ${(error as Error).message.slice(0, 200)}`,
    );
  }
  const json = objectOf(value);
  if (!json) throw invalidBody("expected a JSON object");
  if (isDeeperThan(json, maxDepth)) throw invalidBody(`expected at most ${maxDepth} levels of lists and objects`);
  return { text, json };
}

function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depth === 0) return true;
  if (Array.isArray(value)) return value.some((each) => isDeeperThan(each, depth - 1));
  // A list of the values would cost as much as all the rest.
  for (const name in value) if (isDeeperThan((value as JsonObject)[name], depth - 1)) return true;
  return false;
}

function tooLarge(limitBytes: number): FaultError {
  return new FaultError({ kind: "request_too_large", limitBytes });
}

function invalidBody(description: string): FaultError {
  return new FaultError({ kind: "invalid_request", violations: [{ field: "body", description }] });
}
