import { arrayOf, type JsonObject, objectOf, parseJson, textOf } from "./json.ts";

/** What an error body says, whichever of its shapes it has. */
export interface ErrorBody {
  readonly message: string | undefined;
  /** The provider's own name of the error: its code in words, else its type. */
  readonly name: string | undefined;
  readonly param: string | undefined;
  /** The status that it repeats as its code, if it does. */
  readonly status: number | undefined;
  /** Every word by which it names the error, in lower case, the most telling first: code, inner codes and reasons, type. */
  readonly words: readonly string[];
  /** Whether it has the shape of an API's own errors; a bare `detail` is a web framework's. */
  readonly structured: boolean;
  /** What the provider behind this one said: some providers only hand on. */
  readonly relayed: ErrorBody | undefined;
  /** How long to wait, as its details state it. */
  readonly retryDelay: string | undefined;
  /** Header fields that it quotes, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The object of an error body that may be wrapped in a list, as Gemini's are. */
export function errorObject(value: unknown): JsonObject | undefined {
  return objectOf(value) ?? objectOf(arrayOf(value)[0]);
}

/** Whether an object that came as an answer or a chunk is an error: `{"error":…}`, `{"object":"error",…}` or an error in a choice. */
export function isError(json: JsonObject): boolean {
  return Boolean(json["error"]) || json["object"] === "error" || choiceError(json) !== undefined;
}

/**
 * Servers that call themselves OpenAI-compatible send `{"error":{…}}` with a code in words, as a number or as a number in a text;
 * the same without the `error` around it, and `{"code":"…","error":"…"}`; `{"error":"…"}`; `{"detail":"…"}` or
 * `{"detail":[{"loc":[…],"msg":"…"}]}`; `{"message":"…"}`.
 */
export function readErrorBody(json: JsonObject): ErrorBody {
  return readError(json, true);
}

function readError(json: JsonObject, mayRelay: boolean): ErrorBody {
  const wrapped = objectOf(json["error"]) ?? choiceError(json);
  const error = wrapped ?? json;
  const code = codeText(error["code"] ?? error["statusCode"]);
  const type = textOf(error["type"]) ?? textOf(error["error_type"]);
  const detail = error["message"] ?? error["error"] ?? error["detail"];
  const metadata = objectOf(error["metadata"]) ?? {};
  const details = arrayOf(error["details"]).map((each) => objectOf(each) ?? {});
  const statusWord = textOf(error["status"]);
  const words = [
    code,
    ...innerWords(error),
    ...metadataWords(metadata),
    ...detailWords(error, details),
    type,
    statusWord,
  ]
    .filter((word) => word !== undefined)
    // A status repeated as the code says nothing; the type then says more.
    .filter((word) => !isStatus(word) && !/^(none|null)?$/i.test(word));
  const name = [code, type, statusWord].find((word) => word !== undefined && words.includes(word));
  return {
    message: messageText(detail),
    name: name ?? words[0] ?? code,
    param: textOf(error["param"]) ?? locationText(detail),
    status: [code, statusWord, String(error["status"])].map(Number).find((status) => status >= 400 && status < 600),
    words: words.map((word) => word.toLowerCase()),
    structured: json["error"] !== undefined || json["object"] === "error" || wrapped !== undefined,
    relayed: mayRelay ? relayedBody(metadata) : undefined,
    retryDelay: details.map((each) => textOf(each["retryDelay"])).find(Boolean),
    headers: lowerCased(objectOf(metadata["headers"]) ?? {}),
  };
}

/** Some gateways answer 200 and put the error where the candidate would be. */
function choiceError(json: JsonObject): JsonObject | undefined {
  for (const choice of arrayOf(json["choices"])) {
    const error = objectOf(objectOf(choice)?.["error"]);
    if (error) return error;
  }
  return undefined;
}

function codeText(code: unknown): string | undefined {
  return typeof code === "number" ? String(code) : textOf(code);
}

function isStatus(word: string): boolean {
  return /^[1-5]\d\d$/.test(word);
}

/** Words out of a text, a list of complaints, or an object around either of them. */
function messageText(value: unknown, depth = 0): string | undefined {
  const inner = depth < 3 ? objectOf(value) : undefined;
  if (inner) return messageText(inner["message"] ?? inner["error"] ?? inner["detail"] ?? inner["msg"], depth + 1);
  return textOf(value) ?? textOf(objectOf(arrayOf(value)[0])?.["msg"]);
}

/** The path of a complaint's field, without the word for where it is: `["body","messages",0]` is `messages.0`. */
function locationText(value: unknown): string | undefined {
  const complaints = objectOf(value)?.["detail"] ?? value;
  const location = arrayOf(objectOf(arrayOf(complaints)[0])?.["loc"]);
  const path = location.filter((step, index) => index > 0 || step !== "body").join(".");
  return path || undefined;
}

/** Azure says why inside of `innererror`, and gateways before it hand that on. */
function innerWords(error: JsonObject): (string | undefined)[] {
  const inner = objectOf(error["innererror"]) ?? objectOf(objectOf(error["provider_specific_fields"])?.["innererror"]);
  const results = Object.values(objectOf(inner?.["content_filter_result"]) ?? {});
  const filtered = results.some((result) => objectOf(result)?.["filtered"] === true);
  return [textOf(inner?.["code"]), filtered ? "content_filter" : undefined];
}

/** OpenRouter says more beside the error. */
function metadataWords(metadata: JsonObject): (string | undefined)[] {
  const flagged = metadata["flagged_input"] !== undefined || arrayOf(metadata["reasons"]).length > 0;
  return [
    flagged ? "flagged_input" : undefined,
    textOf(metadata["reason"]),
    textOf(metadata["limit_source"]),
    textOf(metadata["error_type"]),
  ];
}

/** Google's error details, and its older list of errors. */
function detailWords(error: JsonObject, details: readonly JsonObject[]): (string | undefined)[] {
  const older = arrayOf(error["errors"]).map((each) => objectOf(each) ?? {});
  return [...details, ...older].map((each) => textOf(each["reason"]));
}

function relayedBody(metadata: JsonObject): ErrorBody | undefined {
  if (textOf(metadata["provider_name"]) === undefined) return undefined;
  const raw = metadata["raw"];
  const json = errorObject(typeof raw === "string" ? parseJson(raw) : raw);
  return readError(json ?? { message: raw }, false);
}

function lowerCased(headers: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
}
