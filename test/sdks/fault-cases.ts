import type { Fault } from "../../src/providers/simulated/fault.ts";
import { type ClientName, clientNames } from "./clients.ts";
import type { Lab, LabSetup } from "./lab.ts";

/** What an SDK makes of a failure, by its name. */
type Raised = Readonly<Record<ClientName, string>>;

/** Of each answer that an SDK was given, the first one first: one call for each. A call that it left is 0. */
type Statuses = readonly number[] | Readonly<Record<ClientName, readonly number[]>>;

/** How a call ends in the hands of an SDK. */
export interface Failed {
  readonly raised: Raised;
  readonly code: string | null;
  /** A stream that breaks has begun with 200. */
  readonly statuses: Statuses;
  /** Whether the answer says that trying again cannot help. */
  readonly final?: true;
  /** Whether text had come before. */
  readonly partial?: true;
}

/** The whole answer came, after so many calls. */
export interface Served {
  readonly statuses: Statuses;
  /** Undefined: any. */
  readonly provider?: string;
}

/** How it ends, of whatever kind. */
export type Told = Failed | Served;

/** One thing that may go wrong, and what whoever calls by an SDK sees of it. */
export interface FaultCase {
  readonly title: string;
  readonly setup?: LabSetup;
  readonly ask?: {
    readonly model?: string;
    readonly text?: string;
    readonly key?: string;
    readonly more?: Readonly<Record<string, unknown>>;
    readonly timeoutSeconds?: number;
    /** Only where the gateway says truthfully that it takes longer than a test may. */
    readonly maxRetries?: number;
  };
  /** It keeps a member of the body that this is about to itself. */
  readonly cannotBeAskedBy?: ClientName;
  /** Done before. @returns what is to be done afterwards */
  prepare?(lab: Lab): Promise<() => void>;
  /** Done while the answer is on its way. */
  amid?(lab: Lab, stream: boolean): Promise<void>;
  told(client: ClientName, stream: boolean): Told;
}

const raised = (modern: string, legacy: string, javascript = modern): Raised => ({
  JavaScript: javascript,
  Python: modern,
  "Python 0.28": legacy,
});
const serverError = raised("InternalServerError", "APIError");
const unavailable = raised("InternalServerError", "ServiceUnavailableError");
const badRequest = raised("BadRequestError", "InvalidRequestError");
const notFound = raised("NotFoundError", "InvalidRequestError");
const rateLimit = raised("RateLimitError", "RateLimitError");

const isOldest = (client: ClientName) => client === "Python 0.28";

/** The two newer ones try three times unless they are told that it is of no use; the oldest once. */
const thrice = (status: number) =>
  Object.fromEntries(clientNames.map((name) => [name, isOldest(name) ? [status] : [status, status, status]])) as Record<
    ClientName,
    number[]
  >; // the names are those that went in

const always = (told: Told) => () => told;
const byMode = (unary: Told, whenStreamed: Told) => (_: ClientName, stream: boolean) => (stream ? whenStreamed : unary);

const status = (code: number, words: Partial<Extract<Fault, { kind: "status" }>> = {}): Fault => ({
  ...words,
  kind: "status",
  status: code,
});
const everywhere = (fault: Fault, more: LabSetup = {}): LabSetup => ({ behaviour: { schedule: [fault] }, ...more });
const onlyFirst = (fault: Fault, more: LabSetup = {}): LabSetup => ({
  behaviours: { "openai-primary": { schedule: [fault] } },
  ...more,
});

const allFailed: Failed = { raised: serverError, code: "all_providers_failed", statuses: [502], final: true };
/** Not every attempt that may be was made, so a client may try again. */
const someFailed: Failed = { raised: serverError, code: "all_providers_failed", statuses: [502] };
const interrupted: Failed = {
  raised: raised("APIError", "APIError"),
  code: "stream_interrupted",
  statuses: [200],
  partial: true,
};
const refused: Failed = { raised: badRequest, code: "invalid_request", statuses: [400] };
const servedBy = (provider: string): Served => ({ statuses: [200], provider });

/** Those that wait as they are told are served; the oldest never tries again. */
const servedAtTheSecondCall = (client: ClientName): Told =>
  isOldest(client)
    ? { raised: rateLimit, code: "rate_limit_exceeded", statuses: [429] }
    : { statuses: [429, 200], provider: "openai-primary" };

const noPatience = { config: { routing: { last_patience: 0 } } };
const soon = { headers: { "retry-after-ms": "300" } };
/** What nobody waits for who has no patience. */
const later = { headers: { "retry-after-ms": "1100" } };
const callers = (limits: object = {}) => ({
  config: { auth: { callers: [{ name: "team", key: "sk-test-canary-team", ...limits }] } },
});
const teamKey = "sk-test-canary-team";
const quick = { timeouts: { first_token: "250ms", idle: "250ms", total: "250ms" } };

/** A call by hand; what comes of it is its caller's matter. */
const post = ({ address }: Lab, key: string, more: object = {}) =>
  fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: "gpt-4", messages: [{ role: "user", content: "Hello!" }], ...more }),
  });

/** Everything that the providers may do, all of them. */
const providersFail: readonly FaultCase[] = [
  { title: "every provider answers 500", setup: everywhere(status(500)), told: always(allFailed) },
  { title: "every provider answers 503", setup: everywhere(status(503)), told: always(allFailed) },
  { title: "every provider answers 408", setup: everywhere(status(408)), told: always(allFailed) },
  {
    title: "every provider answers 500 with a page",
    setup: everywhere(status(500, { shape: "html" })),
    told: always(allFailed),
  },
  { title: "nothing listens at any provider", setup: { refusing: true }, told: always(allFailed) },
  { title: "every provider hangs up", setup: everywhere({ kind: "reset_before_headers" }), told: always(allFailed) },
  { title: "every provider answers 200 with a page", setup: everywhere({ kind: "html" }), told: always(allFailed) },
  { title: "every provider answers 200 with nothing", setup: everywhere({ kind: "empty" }), told: always(allFailed) },
  {
    title: "every provider answers with an empty stream",
    setup: everywhere({ kind: "empty_stream" }),
    told: always(allFailed),
  },
  {
    title: "every provider answers well, without a word and without a token",
    setup: everywhere({ kind: "no_content" }),
    told: always(allFailed),
  },
  {
    title: "every provider answers 200 with an error",
    setup: everywhere({ kind: "json_error_in_200" }),
    told: always(allFailed),
  },
  {
    title: "every provider begins with an error event",
    setup: everywhere({ kind: "error_event_first" }),
    told: always(allFailed),
  },
  // The oldest SDK repeats a call that is answered by 409 for ever.
  { title: "every provider answers 409", setup: everywhere(status(409)), told: always(allFailed) },
  { title: "every provider answers 418", setup: everywhere(status(418)), told: always(allFailed) },
  { title: "every provider points elsewhere", setup: everywhere({ kind: "redirect" }), told: always(allFailed) },
  {
    title: "every provider is silent beyond its limit",
    setup: everywhere({ kind: "silence" }, { each: quick }),
    told: always(allFailed),
  },
  {
    title: "every provider is limited",
    setup: everywhere(status(429, soon), noPatience),
    told: always({ raised: rateLimit, code: "rate_limit_exceeded", statuses: thrice(429) }),
  },
  {
    title: "every provider is limited for an hour",
    setup: everywhere(status(429, { headers: { "retry-after": "3600" } })),
    told: always({
      raised: rateLimit,
      code: "rate_limit_exceeded",
      // The one in Python gives up where it would have to wait for more than two minutes; the one in JavaScript does not believe it.
      statuses: { JavaScript: [429, 429, 429], Python: [429], "Python 0.28": [429] },
    }),
  },
  {
    title: "every provider was limited until now",
    setup: { behaviour: { schedule: (number) => (number === 1 ? status(429, later) : undefined) }, ...noPatience },
    told: servedAtTheSecondCall,
  },
  {
    title: "every provider is limited, shortly enough to wait for",
    setup: { behaviour: { schedule: (number) => (number === 1 ? status(429, soon) : undefined) } },
    told: always({ statuses: [200] }),
  },
  {
    title: "every account is spent",
    setup: everywhere(status(429, { code: "insufficient_quota" })),
    ask: { maxRetries: 0 },
    told: always({ raised: rateLimit, code: "rate_limit_exceeded", statuses: [429] }),
  },
  {
    title: "every key is refused",
    setup: everywhere(status(401)),
    ask: { maxRetries: 0 },
    told: always(someFailed),
  },
  {
    title: "every key is refused, and then there is none",
    setup: everywhere(status(401)),
    ask: { maxRetries: 1 },
    told: (client) =>
      isOldest(client) ? someFailed : { raised: unavailable, code: "service_unavailable", statuses: [502, 503] },
  },
  {
    title: "no provider has the model",
    setup: everywhere(status(404, { code: "model_not_found" })),
    ask: { maxRetries: 0 },
    told: always(someFailed),
  },
  {
    title: "every breaker is open and the outage is just over",
    setup: everywhere(status(500), { config: { routing: { breaker: { consecutive: 1, open: "2s" } } } }),
    async prepare(lab) {
      // The last resort is one call a second at each.
      while ((await post(lab, "sk-test-canary-anybody")).status !== 503);
      for (const provider of Object.values(lab.providers)) provider.behave({ schedule: [] });
      return () => {};
    },
    told: (client) =>
      isOldest(client)
        ? { raised: unavailable, code: "service_unavailable", statuses: [503] }
        : { statuses: [503, 200] },
  },
  {
    title: "no provider is enabled",
    setup: { each: { enabled: false } },
    ask: { maxRetries: 0 },
    told: always({ raised: unavailable, code: "service_unavailable", statuses: [503] }),
  },
];

/** What a provider says against the request itself, or the gateway. */
const requestFails: readonly FaultCase[] = [
  {
    title: "the prompt is too long",
    setup: everywhere(status(400, { code: "context_length_exceeded" })),
    told: always({ raised: badRequest, code: "context_length_exceeded", statuses: [400], final: true }),
  },
  {
    title: "the content is refused",
    setup: everywhere(status(400, { code: "content_filter" })),
    told: always({ raised: badRequest, code: "content_filter", statuses: [400], final: true }),
  },
  { title: "a parameter is out of range", ask: { more: { temperature: 9 } }, told: always(refused) },
  { title: "a provider refuses a parameter", setup: everywhere(status(400)), told: always(refused) },
  {
    title: "a provider refuses a parameter by 422",
    setup: everywhere(status(422, { shape: "detail" })),
    told: always(refused),
  },
  {
    title: "the timeout is nothing",
    cannotBeAskedBy: "Python 0.28",
    ask: { more: { timeout: 0 } },
    told: always(refused),
  },
  { title: "an unknown provider is asked for", ask: { more: { provider: "nobody" } }, told: always(refused) },
  {
    title: "the model is unknown",
    ask: { model: "gpt-nobody" },
    told: always({ raised: notFound, code: "not_found", statuses: [404] }),
  },
  {
    title: "a provider's own model is unknown",
    ask: { model: "anthropic:gpt-nobody" },
    told: always({ raised: notFound, code: "not_found", statuses: [404] }),
  },
  {
    title: "the key is wrong",
    setup: callers(),
    ask: { key: "sk-test-canary-wrong" },
    told: always({
      raised: raised("AuthenticationError", "AuthenticationError"),
      code: "unauthorized",
      statuses: [401],
    }),
  },
  {
    title: "wrong keys came too often",
    setup: callers(),
    ask: { key: "sk-test-canary-wrong", maxRetries: 0 },
    async prepare(lab) {
      while ((await post(lab, "sk-test-canary-wrong")).status !== 429);
      return () => {};
    },
    told: always({ raised: rateLimit, code: "rate_limit_exceeded", statuses: [429] }),
  },
  {
    title: "the body is too large",
    setup: { config: { server: { limits: { body: "1KiB" } } } },
    ask: { text: "word ".repeat(1000) },
    told: always({
      raised: raised("APIStatusError", "APIError", "APIError"),
      code: "request_too_large",
      statuses: [413],
    }),
  },
  {
    title: "the caller has used up its minute",
    setup: callers({ rpm: 30 }),
    ask: { key: teamKey, maxRetries: 0 },
    prepare: useUp,
    told: always({ raised: rateLimit, code: "rate_limit_exceeded", statuses: [429] }),
  },
  {
    title: "the caller has used up its minute, and waits as it is told",
    setup: callers({ rpm: 20 }),
    ask: { key: teamKey },
    prepare: useUp,
    told: servedAtTheSecondCall,
  },
  {
    title: "the caller has as many calls under way as it may",
    setup: callers({ max_concurrent: 1 }),
    ask: { key: teamKey },
    async prepare(lab) {
      const simulate = { kind: "stall_after", events: 2 };
      const held = await post(lab, teamKey, { stream: true, simulate });
      if (held.status !== 200) throw new Error(`the call that is to be under way was answered by ${held.status}`);
      return () => void held.body?.cancel();
    },
    told: always({ raised: rateLimit, code: "rate_limit_exceeded", statuses: thrice(429) }),
  },
];

async function useUp(lab: Lab): Promise<() => void> {
  for (let left = 1; left > 0; ) {
    const answer = await post(lab, teamKey, { max_tokens: 1 });
    await answer.text();
    left = Number(answer.headers.get("x-ratelimit-remaining-requests"));
  }
  return () => {};
}

/** What breaks once it has begun, and times that pass. */
const breaksOff: readonly FaultCase[] = [
  ...(
    [
      ["is cut off", { kind: "cut_after" }],
      ["is reset", { kind: "reset_after" }],
      ["ends too early", { kind: "end_after" }],
      ["turns to nonsense", { kind: "malformed_after" }],
      ["is cut off amid an event", { kind: "half_event_then_cut" }],
      ["ends in an error", { kind: "error_event_after" }],
    ] as const
  ).map(([title, fault]) => ({
    title: `every answer ${title}`,
    setup: everywhere(fault),
    told: byMode(allFailed, interrupted),
  })),
  {
    title: "every answer falls silent",
    setup: everywhere({ kind: "stall_after" }, { each: quick }),
    told: byMode(allFailed, interrupted),
  },
  {
    title: "the first content is so late that a stream's head has gone out, and then all fail",
    setup: everywhere({ kind: "silence" }, { each: quick, config: { server: { limits: { heartbeat: "50ms" } } } }),
    told: byMode(allFailed, {
      raised: raised("APIError", "APIError"),
      code: "all_providers_failed",
      statuses: [200],
    }),
  },
  {
    title: "the first content is so late that a stream's head has gone out, and then another serves",
    setup: onlyFirst({ kind: "silence" }, { each: quick, config: { server: { limits: { heartbeat: "50ms" } } } }),
    told: always(servedBy("openai-backup")),
  },
  {
    title: "the caller's time in the body is over",
    cannotBeAskedBy: "Python 0.28",
    setup: everywhere({ kind: "silence" }),
    ask: { more: { timeout: 0.4 } },
    told: always({ raised: serverError, code: "deadline_exceeded", statuses: [504], final: true }),
  },
  {
    title: "the SDK's own time is over",
    setup: everywhere({ kind: "silence" }),
    ask: { timeoutSeconds: 0.4 },
    // 0: it left before it was answered.
    told: always({
      raised: raised("APITimeoutError", "Timeout", "APIConnectionTimeoutError"),
      code: null,
      statuses: thrice(0),
    }),
  },
  {
    title: "the gateway leaves in the middle",
    setup: {
      behaviour: { tokensPerSecond: 5, eventPerWrite: true },
    },
    async amid({ calls, providers, leave }, stream) {
      await providers["openai-primary"].arrived(1);
      while (stream && !calls[0]?.status) await new Promise((resolve) => setTimeout(resolve, 5));
      await leave();
    },
    told: (client, stream) => {
      if (stream) return { ...interrupted, code: "service_unavailable" };
      const raisedAtLast = raised("APIConnectionError", "ServiceUnavailableError");
      // The newer ones try again, and where it was nothing listens any more.
      return { raised: raisedAtLast, code: isOldest(client) ? "service_unavailable" : null, statuses: [503] };
    },
  },
];

/** What nobody sees, because another provider answers. */
const moves: readonly FaultCase[] = (
  [
    ["answers 429", status(429)],
    ["answers 401", status(401)],
    ["answers 402", status(402)],
    ["answers 404 for the model", status(404, { code: "model_not_found" })],
    ["answers 200 with a page", { kind: "html" }],
    ["answers with an empty stream", { kind: "empty_stream" }],
    ["answers well, without a word", { kind: "no_content" }],
    ["begins with an error event", { kind: "error_event_first" }],
    ["hangs up", { kind: "reset_before_headers" }],
  ] as const
).map(([title, fault]) => ({
  title: `the first provider ${title}`,
  setup: onlyFirst(fault),
  told: always(servedBy("openai-backup")),
}));

/** All of it. */
export const faultCases: readonly FaultCase[] = [...providersFail, ...requestFails, ...breaksOff, ...moves];
