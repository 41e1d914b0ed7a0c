import { isIP } from "node:net";
import { z } from "zod";
import { checkParams, readParams } from "../providers/openai/check-params.ts";
import { type JsonObject, objectOf } from "../providers/openai/json.ts";
import { hardMaxAttempts, routingDefaults } from "../routing/settings.ts";
import { ConfigError, type ConfigProblem, shownText } from "./config-problem.ts";
import { type Draft, type Origins, originOf, pathText } from "./draft.ts";

export { ConfigError, type ConfigProblem };

/** A duration in the file: a number of seconds, or a text such as `250ms`, `30s`, `10m`, `1h`. Milliseconds once read. */
export const duration = z.union([z.number(), z.string()], expectedDuration()).transform((value, context) => {
  const ms = typeof value === "number" ? value * 1000 : durationMs(value);
  if (ms !== undefined && ms >= 0 && ms <= 24 * 3_600_000) return ms;
  context.addIssue({ code: "custom", message: expectedDuration() });
  return z.NEVER;
});

function expectedDuration(): string {
  return "expected seconds, or a text such as 250ms, 30s or 10m, of at most 24h";
}

/** A duration that is not nothing. */
export const positiveDuration = duration.refine((ms) => ms > 0, "expected more than 0");

function durationMs(text: string): number | undefined {
  // Without a unit: seconds, for what comes out of the environment is a text.
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  return match ? Number(match[1]) * (units[match[2] ?? "s"] ?? 0) : undefined;
}

/** Names stand in trails, headers and `provider:model`, so they hold nothing that would read as something else there. */
const name = z
  .string()
  .regex(/^(?!\d+$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "expected 1 to 64 of A-Z a-z 0-9 . _ -, not digits alone");

const modelName = z
  .string()
  .min(1, "expected a model's name")
  .max(256, "expected at most 256 characters")
  .regex(/^[^\s\p{Cc}]+$/u, "expected a name without blanks");

const taskName = z.string().regex(/^[a-z][a-z0-9_-]{0,31}$/, "expected a task's name: up to 32 of a-z 0-9 _ -");

const secret = z
  .string()
  .min(1, "expected a key")
  .max(4096, "expected at most 4096 characters")
  .regex(/^[\x21-\x7e]*$/, "expected printable ASCII without blanks")
  // Some readers of .env files leave them there, and the provider then says that there is no such key.
  .refine((key) => !/^(["']).*\1$/.test(key), "expected a key without quotes around it");

const baseUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (plain) return { origin: url.origin, basePath: url.pathname.replace(/\/+$/, "") };
  context.addIssue({ code: "custom", message: "expected an http or https URL without user, query or fragment" });
  return z.NEVER;
});

/** A number or a switch may come out of the environment, where everything is text. */
const fromText = (value: unknown) => {
  if (typeof value !== "string") return value;
  if (value === "true" || value === "false") return value === "true";
  return /^-?\d{1,15}$/.test(value) ? Number(value) : value;
};

/** A whole number in a range; the environment has texts. */
export const wholeNumber = (min: number, max: number) => {
  const expected = `expected a whole number from ${min} to ${max}`;
  return z.preprocess(fromText, z.int(expected).min(min, expected).max(max, expected));
};

const flag = z.preprocess(fromText, z.boolean());

/** A number that is no whole one; the environment has texts. */
export const amount = (min: number, max: number) => {
  const expected = `expected a number from ${min} to ${max}`;
  return z.preprocess(
    (value) => (typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value),
    z.number(expected).min(min, expected).max(max, expected),
  );
};

/** YAML reads `on` and `off` as texts. */
const onOff = z.preprocess((value) => (value === "on" ? true : value === "off" ? false : value), flag);

const priority = wholeNumber(0, 1_000_000);
const weight = wholeNumber(0, 1000);
const maxRps = amount(0.001, 1_000_000);
const maxConcurrent = wholeNumber(1, 1_000_000);

/** Dollars for a thousand tokens. */
const price = amount(0, 1000);

const describedModel = z.strictObject({
  id: modelName,
  context_window: wholeNumber(1, 1_000_000_000).optional(),
  prices: z.strictObject({ input_per_1k: price, output_per_1k: price }).optional(),
  /** It may think for long before its first content. */
  reasoning: flag.optional(),
  /** What a prompt for it may hold beside text; absent: not known, so anything is tried. */
  input: z.array(z.enum(["image", "audio"])).optional(),
  /** How it is asked to go on with a text that it is given. */
  prefill: z.enum(["none", "continue_final_message", "prefix", "assistant"]).optional(),
  max_rps: maxRps.optional(),
  max_concurrent: maxConcurrent.optional(),
});
const providerModel = z.union([modelName.transform((id): z.output<typeof describedModel> => ({ id })), describedModel]);

/** A free check asks `path` below the base URL, or `url`; `kind: chat` is paid: a chat of one token. */
const healthCheck = z
  .strictObject({
    kind: z.enum(["models", "chat"]).default("models"),
    path: z
      .string()
      .regex(/^\/\S*$/, "expected a path that begins with /")
      .optional(),
    url: z
      .url("expected an http or https URL")
      .regex(/^https?:/, "expected an http or https URL")
      .optional(),
    model: modelName.optional(),
    interval: positiveDuration.prefault("60s"),
    timeout: positiveDuration.prefault("10s"),
  })
  .refine(({ kind, model }) => kind !== "chat" || model !== undefined, {
    path: ["model"],
    message: "expected the model that the chat is to ask",
  })
  .refine(({ path, url }) => path === undefined || url === undefined, {
    path: ["url"],
    message: "expected either path or url",
  });

const provider = z.strictObject({
  name,
  /** Any OpenAI-compatible server; the label is what callers may pin to. */
  kind: name.default("openai"),
  base_url: baseUrl,
  keys: z.array(z.union([secret, z.strictObject({ name, value: secret })])).default([]),
  /** One key a line, beside those in `keys`; read at start and at SIGHUP. */
  keys_file: z.string().min(1, "expected a path").optional(),
  priority: priority.default(1),
  weight: weight.default(100),
  enabled: flag.default(true),
  max_rps: maxRps.optional(),
  max_concurrent: maxConcurrent.optional(),
  /** Whether it is told of the trace that a request belongs to. */
  trace_context: flag.default(false),
  timeout: positiveDuration.optional(),
  timeouts: z
    .strictObject({
      connect: positiveDuration.optional(),
      first_token: positiveDuration.optional(),
      idle: positiveDuration.optional(),
      total: positiveDuration.optional(),
    })
    .default({}),
  default_model: modelName.optional(),
  models: z.array(providerModel).default([]),
  health_check: healthCheck.optional(),
});

/** Members of requests; a number or a switch among them may come out of the environment. */
const requestParams = (mayStream: boolean) =>
  z.preprocess(
    (value) => (objectOf(value) ? readParams(value as JsonObject) : value),
    z.record(z.string(), z.json()).superRefine((params, context) => {
      for (const { field, description } of checkParams(params, mayStream)) {
        context.addIssue({ code: "custom", path: [field], message: description });
      }
    }),
  );

const target = z.strictObject({
  provider: name,
  model: modelName,
  priority: priority.optional(),
  weight: weight.optional(),
  timeout: positiveDuration.optional(),
  /** Replace what callers send; `stream` is how the endpoint is asked, whatever they ask. */
  params: requestParams(true).optional(),
});

const model = z.strictObject({
  name: modelName,
  strategy: z.enum(["weighted", "ordered", "least_latency", "least_busy", "cheapest"]).default("weighted"),
  on_context_overflow: z.enum(["larger", "next", "stop"]).default("larger"),
  /** `restart` is for callers to choose: only those of typed streams can be told to discard what they have. */
  stream_recovery: z.enum(["fail", "continue"]).default("fail"),
  targets: z.array(target).min(1, "expected at least one target"),
});

const caller = z.strictObject({
  name,
  key: secret,
  models: z.array(modelName).optional(),
  trail: flag.default(true),
  /** Requests a minute. */
  rpm: wholeNumber(1, 10_000_000).optional(),
  /** Calls under way at once. */
  max_concurrent: maxConcurrent.optional(),
  /** How long it will queue; programs that are in no hurry set more. */
  queue: z.strictObject({ max_wait: duration }).optional(),
});

const { breaker: breakerDefaults, ...defaults } = routingDefaults;

const breaker = z
  .strictObject({
    enabled: flag.default(breakerDefaults.enabled),
    consecutive: wholeNumber(1, 1000).default(breakerDefaults.consecutive),
    error_rate: amount(0.01, 1).default(breakerDefaults.errorRate),
    min_failures: wholeNumber(1, 100_000).default(breakerDefaults.minFailures),
    min_calls: wholeNumber(1, 100_000).default(breakerDefaults.minCalls),
    window: positiveDuration.default(breakerDefaults.windowMs),
    open: positiveDuration.default(breakerDefaults.openMs),
    quick_cap: positiveDuration.default(breakerDefaults.quickCapMs),
    slow_cap: positiveDuration.default(breakerDefaults.slowCapMs),
    sole_cap: positiveDuration.default(breakerDefaults.soleCapMs),
    successes_to_close: wholeNumber(1, 100).default(breakerDefaults.successesToClose),
  })
  .prefault({});

/** A good deal less than the window of today's smaller models, which must hold the answer as well. */
const defaultLongPrompt = 24_000;

const routing = z
  .strictObject({
    failover: onOff.default(defaults.failover),
    max_attempts: wholeNumber(1, hardMaxAttempts).default(defaults.maxAttempts),
    patience: duration.default(defaults.patienceMs),
    last_patience: duration.default(defaults.lastPatienceMs),
    backoff: z
      .strictObject({
        base: positiveDuration.default(defaults.backoff.baseMs),
        max: positiveDuration.default(defaults.backoff.maxMs),
      })
      .prefault({}),
    key_rotations: z
      .strictObject({
        rate: wholeNumber(0, 64).default(defaults.keyRotations.rate),
        auth: wholeNumber(0, 1000).default(defaults.keyRotations.auth),
      })
      .prefault({}),
    breaker,
    retry_budget: amount(0, 1).default(defaults.retryBudget),
    in_flight: z
      .strictObject({
        endpoint: wholeNumber(1, 1_000_000).default(defaults.inFlight.endpoint),
        process: wholeNumber(1, 1_000_000).default(defaults.inFlight.process),
      })
      .prefault({}),
    /** A second attempt beside a slow stream, for at most one stream in twenty. */
    hedge: onOff.default(defaults.hedge.enabled),
    affinity: z.enum(["none", "prompt_cache_key", "caller", "prefix"]).default(defaults.affinity),
    /** Tokens, as far as they can be told beforehand, from which a prompt that names no model goes to `tasks.long`. */
    long_prompt: wholeNumber(1, 1_000_000_000).default(defaultLongPrompt),
    queue: z
      .strictObject({
        max_wait: duration.default(defaults.queue.maxWaitMs),
        bound: wholeNumber(1, 1_000_000).default(defaults.queue.bound),
      })
      .prefault({}),
  })
  .prefault({});

/** Files in PEM; with `client_ca` a client must show a certificate of one of its authorities. */
const tls = z.strictObject({
  cert: z.string().min(1, "expected a path"),
  key: z.string().min(1, "expected a path"),
  client_ca: z.string().min(1, "expected a path").optional(),
});

const origin = z.string().regex(/^(\*|[a-z][a-z\d+.-]*:\/\/[^/?#@\s]+)$/, {
  message: "expected an origin such as https://app.example.com, without a path, or *",
});

const addressRange = z
  .string()
  .refine(isAddressRange, { message: "expected an IP address or a range in CIDR notation" });

function isAddressRange(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  return family > 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most));
}

const leastAdminKey = 32;
const adminKey = secret.refine((key) => key.length >= leastAdminKey, {
  message: `expected at least ${leastAdminKey} characters`,
});

/** A size in the file: bytes, or a text such as `32MiB`. Bytes once read. */
const byteSize = (min: number, max: number) => {
  const expected = `expected ${min} to ${max} bytes, or a text such as 512KiB or 32MiB`;
  return z.union([z.number(), z.string()], expected).transform((value, context) => {
    const bytes = typeof value === "number" ? value : bytesOf(value);
    if (bytes !== undefined && Number.isSafeInteger(bytes) && bytes >= min && bytes <= max) return bytes;
    context.addIssue({ code: "custom", message: expected });
    return z.NEVER;
  });
};

function bytesOf(text: string): number | undefined {
  const match = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(text.trim());
  const units: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };
  return match ? Number(match[1]) * (units[match[2] ?? ""] ?? 1) : undefined;
}

/** What clients may take of the process. */
const serverLimits = z
  .strictObject({
    /** A request's body, unpacked: images and audio travel inside. */
    body: byteSize(1024, 2 ** 30).prefault("32MiB"),
    /** Requests and answers held at once; absent: a quarter of the memory there is. */
    buffered: byteSize(2 ** 20, 2 ** 46).optional(),
    /** Connections at once; absent: as many as there are files for. */
    connections: wholeNumber(1, 1_000_000).optional(),
    /** How long a client may take nothing of what it is sent. */
    stalled: positiveDuration.prefault("30s"),
    /** Silence after which a stream of events says that it is alive. */
    heartbeat: positiveDuration.prefault("15s"),
    /** All of a stream after its first content. */
    stream_total: positiveDuration.prefault("30m"),
    stream_size: byteSize(1024, 2 ** 40).prefault("64MiB"),
  })
  .prefault({});

const expectedAddress = "expected an http or https URL without user, query or fragment";
const webAddress = z.url(expectedAddress).regex(/^https?:\/\/[^@?#]+$/, expectedAddress);

/** Where traces and metrics are sent, over OTLP. */
const otlp = z
  .strictObject({
    /** As OpenTelemetry has it: of HTTP the base, to which `/v1/traces` and `/v1/metrics` are added. */
    endpoint: webAddress,
    protocol: z.enum(["http/protobuf", "grpc"]).default("http/protobuf"),
    /** What a collector wants to be told, such as a key of its own. */
    headers: z
      .record(
        z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/, "expected the name of a header"),
        z.string().regex(/^[\x20-\x7e]*$/, "expected printable ASCII"),
      )
      .default({}),
    timeout: positiveDuration.prefault("10s"),
    traces: flag.default(true),
    metrics: flag.default(true),
    metrics_interval: duration.refine((ms) => ms >= 10, "expected 10ms at least").prefault("60s"),
  })
  .superRefine(({ endpoint, protocol }, context) => {
    const { pathname } = new URL(endpoint);
    const complain = (message: string) => context.addIssue({ code: "custom", path: ["endpoint"], message });
    if (/\/v1\/(traces|metrics)\/*$/.test(pathname))
      complain("expected the address without /v1/traces, which is added");
    else if (protocol === "grpc" && pathname !== "/") complain("expected an address without a path: protocol is grpc");
  });

const telemetry = z
  .strictObject({
    service_name: z.string().min(1, "expected a name").max(255, "expected at most 255 characters").default("everhop"),
    /** Attributes of the process beside its name and version. */
    resource: z.record(z.string().min(1).max(255), z.string().max(4096)).default({}),
    otlp: otlp.optional(),
    /** Of the traces that are quiet. */
    sample_ratio: amount(0, 1).default(1),
    /** Whether a trace is kept whatever the ratio when a request hopped, failed, or had its first token late. */
    keep_failovers: flag.default(true),
    slow_first_token: positiveDuration.prefault("10s"),
    /** Whether prompts and answers stand in traces. */
    content: flag.default(false),
    /** Where people read traces: for links to them. */
    jaeger_ui: webAddress.optional(),
  })
  .prefault({});

const log = z
  .strictObject({
    level: z.enum(["debug", "info", "warn", "error"]).default("info"),
    /** `auto`: for people where there is a terminal, else JSON. */
    format: z.enum(["auto", "json", "text"]).default("auto"),
    file: z.string().min(1, "expected a path").optional(),
    max_size: byteSize(64 * 1024, 2 ** 40).prefault("64MiB"),
    keep: wholeNumber(1, 1000).default(5),
  })
  .prefault({});

/** The configuration file. Whatever it does not know is an error: a misspelt key must not silently mean its default. */
export const fileSchema = z.strictObject({
  server: z
    .strictObject({
      host: z.string().min(1, "expected an address").default("127.0.0.1"),
      port: wholeNumber(0, 65_535).default(8000),
      tls: tls.optional(),
      cors: z.strictObject({ origins: z.array(origin).default([]) }).prefault({}),
      lanes: onOff.default(true),
      /** Proxies that may say in X-Real-IP or X-Forwarded-For whose request it is. */
      trusted_proxies: z.array(addressRange).default([]),
      limits: serverLimits,
      /** Whether the code of requests is run before the port is open. */
      warm_up: flag.default(true),
    })
    .prefault({}),
  auth: z
    .strictObject({
      open: flag.default(false),
      /** Limits of all whom no key tells apart, together. */
      anyone: z
        .strictObject({ rpm: wholeNumber(1, 10_000_000).optional(), max_concurrent: maxConcurrent.optional() })
        .prefault({}),
      callers: z.array(caller).default([]),
      /** Without any, one is made when the gateway starts. */
      admin_keys: z.array(adminKey).default([]),
    })
    .prefault({}),
  providers: z.array(provider).default([]),
  models: z.array(model).default([]),
  defaults: z
    .strictObject({
      model: modelName.optional(),
      /** Set where callers send nothing. */
      params: requestParams(false).optional(),
    })
    .prefault({}),
  /** What callers may ask for by `task`, and where prompts with images, with audio and long ones go that name no model. */
  tasks: z.record(taskName, modelName).default({}),
  routing,
  drain: z.strictObject({ pre_stop: duration.prefault("5s"), grace: duration.prefault("30s") }).prefault({}),
  telemetry,
  metrics: z.strictObject({ public: flag.default(false) }).prefault({}),
  log,
});

/** The whole configuration, checked, every default filled in. Durations are milliseconds. */
export type Config = z.output<typeof fileSchema>;

/**
 * Checks a configuration as it was read.
 * @param source what it came from, for the message
 * @param reading where its values stand, and what was wrong when it was read
 * @throws ConfigError with all problems at once
 */
export function checkConfig(
  input: unknown,
  source: string,
  { origins, problems: known }: Pick<Draft, "origins" | "problems"> = { origins: new Map(), problems: [] },
): Config {
  const fail = (problems: readonly ConfigProblem[]): never => {
    throw new ConfigError(
      source,
      problems.map((problem) => ({ ...placeOf(problem, origins), ...problem })),
    );
  };
  const result = fileSchema.safeParse(input);
  if (!result.success || known.length > 0) {
    const found = result.success ? [] : result.error.issues.flatMap((issue) => problemsOf(issue, input));
    // A value that is wrong in one way, or could not be read, need not be told to be wrong in another.
    const byPath = Map.groupBy([...known, ...found], ({ path }) => path);
    return fail([...byPath.values()].flatMap(([first]) => first ?? []));
  }
  const problems = crossCheck(result.data);
  return problems.length > 0 ? fail(problems) : result.data;
}

function placeOf({ path, expected }: ConfigProblem, origins: Origins): { at?: string } {
  const origin = originOf(origins, path);
  if (!origin) return {};
  return { at: expected === unknownKey ? (origin.nameAt ?? origin.at) : origin.at };
}

const unknownKey = "unknown key";

/** What an issue of a schema means, with the value that stands in the input. */
export function problemsOf(
  issue: z.core.$ZodIssue,
  input: unknown,
  base: readonly PropertyKey[] = [],
): ConfigProblem[] {
  const path = [...base, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => {
      const at = [...path, key];
      // Its value is not shown: a misspelt `key` holds a key all the same.
      return { path: pathText(at), value: "", expected: unknownKey };
    });
  }
  if (issue.code === "invalid_key") {
    const [first] = issue.issues;
    return [{ path: pathText(path), value: "", expected: first ? expectation(first) : "expected another name" }];
  }
  if (issue.code === "invalid_union" && !issue.message.startsWith("expected")) {
    // Of the alternatives the one that got furthest tells most.
    const [furthest] = issue.errors
      .map((issues) => issues.flatMap((each) => problemsOf(each, input, path)))
      .sort((a, b) => Math.max(...b.map((p) => p.path.length)) - Math.max(...a.map((p) => p.path.length)));
    if (furthest) return furthest;
  }
  return [{ path: pathText(path) || "(the whole)", value: valueText(path, input), expected: expectation(issue) }];
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.message.startsWith("expected")) return issue.message;
  if (issue.code === "invalid_type") return `expected ${plainTypes[issue.expected] ?? issue.expected}`;
  if (issue.code === "invalid_value") return `expected one of ${issue.values.map(String).join(", ")}`;
  return issue.message.replace(/^./, (letter) => letter.toLowerCase());
}

/** What people call the types of values. */
const plainTypes: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

/** A collector's key may have any name. */
const otlpHeaders = "telemetry.otlp.headers";

/** Members that hold keys, also those of other programs' files and of vendors' parameters. */
const holdsSecret = /^(?!(.*_)?first_token$)(.*[_-])?(apikey|keys?|value|secret|token|password|authorization)$/i;

function valueText(path: readonly PropertyKey[], input: unknown): string {
  let value = input;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !(step in value)) return "nothing";
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "a mapping";
  if (typeof value !== "string" && typeof value !== "number") return String(value);
  const secret = path.some((step) => holdsSecret.test(String(step))) || pathText(path).startsWith(otlpHeaders);
  // A URL that is refused may be refused for the password in it.
  if (secret || (/^(.*url|endpoint|jaeger_ui)$/.test(String(path.at(-1))) && /[@?#]/.test(String(value))))
    return "[secret]";
  return typeof value === "number" ? String(value) : shownText(value);
}

/** What no field can tell by itself: names that must be unique, names that must exist. */
function crossCheck(config: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const complain = (path: string, value: string, expected: string) =>
    problems.push({ path, value: shownText(value), expected });
  const unique = (list: readonly { readonly name: string }[], path: string) => {
    for (const [index, entry] of list.entries()) {
      if (list.findIndex((other) => other.name === entry.name) < index)
        complain(`${path}[${index}].name`, entry.name, "expected a name of its own");
    }
  };
  unique(config.providers, "providers");
  unique(config.models, "models");
  unique(config.auth.callers, "auth.callers");
  const byName = new Map(config.providers.map((each) => [each.name, each]));
  for (const [index, { targets }] of config.models.entries()) {
    for (const [position, { provider: wanted, model }] of targets.entries()) {
      const path = `models[${index}].targets[${position}]`;
      if (targets.findIndex((other) => other.provider === wanted && other.model === model) < position) {
        complain(path, `${wanted}/${model}`, "expected each target once");
      }
      const found = byName.get(wanted);
      if (!found) complain(`${path}.provider`, wanted, "expected the name of a configured provider");
      else if (found.models.length > 0 && !found.models.some(({ id }) => id === model)) {
        complain(`${path}.model`, model, `expected one of the models that ${wanted} declares`);
      }
    }
  }
  for (const [index, { key }] of config.auth.callers.entries()) {
    if (config.auth.admin_keys.includes(key)) {
      problems.push({ path: `auth.callers[${index}].key`, value: "[secret]", expected: "expected no admin's key" });
    }
    if (config.auth.callers.findIndex((other) => other.key === key) < index) {
      problems.push({ path: `auth.callers[${index}].key`, value: "[secret]", expected: "expected a key of its own" });
    }
  }
  const declared = config.providers.flatMap((each) => each.models.map(({ id }) => id));
  const publicNames = new Set([
    ...(config.models.length > 0 ? config.models.map((model) => model.name) : declared),
    ...config.providers.flatMap((each) => each.models.map(({ id }) => `${each.name}:${id}`)),
  ]);
  const forwards = config.providers.some((each) => each.models.length === 0);
  for (const [index, { models }] of config.auth.callers.entries()) {
    for (const [position, model] of (models ?? []).entries()) {
      // A provider's own model may be asked for by a pin.
      if (!publicNames.has(model) && !declared.includes(model) && !forwards) {
        complain(`auth.callers[${index}].models[${position}]`, model, "expected a model that is configured");
      }
    }
  }
  for (const [index, { keys, models, default_model: fallback }] of config.providers.entries()) {
    const names = keys.map((key, position) => (typeof key === "string" ? `k${position + 1}` : key.name));
    for (const [position, keyName] of names.entries()) {
      if (names.indexOf(keyName) < position)
        complain(`providers[${index}].keys[${position}].name`, keyName, "expected a name of its own");
    }
    const ids = models.map(({ id }) => id);
    if (fallback !== undefined && ids.length > 0 && !ids.includes(fallback)) {
      complain(`providers[${index}].default_model`, fallback, "expected one of the provider's models");
    }
    const targeted = config.models.some(({ targets }) =>
      targets.some((each) => each.provider === config.providers[index]?.name),
    );
    if (config.providers[index]?.health_check && ids.length === 0 && !targeted) {
      complain(
        `providers[${index}].health_check`,
        config.providers[index].name,
        "expected models of it, or a target: nothing would be checked",
      );
    }
    for (const [position, id] of ids.entries()) {
      if (ids.indexOf(id) < position)
        complain(`providers[${index}].models[${position}]`, id, "expected each model once");
    }
  }
  for (const [task, model] of Object.entries(config.tasks)) {
    if (!publicNames.has(model) && !declared.includes(model) && !forwards) {
      complain(`tasks.${task}`, model, "expected a model that is configured");
    }
  }
  const wanted = config.defaults.model;
  if (wanted !== undefined && !publicNames.has(wanted) && !forwards) {
    complain("defaults.model", wanted, "expected a model that is configured");
  }
  return problems;
}
