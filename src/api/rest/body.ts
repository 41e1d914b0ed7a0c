import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { FaultError } from "../../chat/fault.ts";
import type { ByteAccount } from "../../gateway/byte-budget.ts";
import { type JsonObject, objectOf } from "../../providers/openai/json.ts";
import { CallerGone } from "../../runtime/cancellation.ts";
import type { EdgeLimits } from "../edge.ts";
import type { Exchange } from "./exchange.ts";

/** JSON has one character set; a client that names another has written something else. */
const jsonType = /^\s*application\/json\s*(?:;(?!.*charset)|;.*charset\s*=\s*"?utf-?8"?\s*(?:;|$)|$)/i;
/** Deeper than anybody means; what goes through a value by calling itself must come to an end. */
const maxDepth = 100;

/**
 * Reads a request's JSON object, its text and its value.
 * @throws FaultError when it is too large, of another media type, or no JSON object
 */
export async function readJson(
  { request, account }: Exchange,
  { bodyBytes }: EdgeLimits,
): Promise<{ text: string; json: JsonObject }> {
  const { headers } = request;
  if (!jsonType.test(headers["content-type"] ?? "")) {
    throw new FaultError({ kind: "unsupported_media_type", expected: "content-type: application/json, in UTF-8" });
  }
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity")
    throw new FaultError({ kind: "unsupported_media_type", expected: "a body without content-encoding" });
  if (Number(headers["content-length"] ?? 0) > bodyBytes) throw tooLarge(bodyBytes);
  const text = await readText(request, account, bodyBytes);
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

function readText(request: IncomingMessage, account: ByteAccount, most: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      try {
        if (length > most) throw tooLarge(most);
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
      const bytes = chunks.length === 1 && first ? first : Buffer.concat(chunks);
      // Node would put marks where a character should be, and nobody would know.
      if (!isUtf8(bytes)) {
        reject(invalidBody("expected JSON in UTF-8"));
        return;
      }
      // A byte order mark is no JSON, but some clients write one.
      const text = bytes.toString("utf8");
      resolve(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
    });
    request.on("error", () => reject(new CallerGone()));
    request.on("aborted", () => reject(new CallerGone()));
  });
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
