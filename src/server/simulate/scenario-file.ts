import { basename } from "node:path";
import { z } from "zod";
import type {
  CallerProfile,
  Phase,
  ProfileEntry,
  Scenario,
  Selection,
  Selector,
  Spread,
} from "../../simulation/scenario.ts";
import { expectedRequests } from "../../simulation/traffic.ts";
import {
  amount,
  type Config,
  ConfigError,
  type ConfigProblem,
  checkConfig,
  duration,
  positiveDuration,
  problemsOf,
  wholeNumber,
} from "../config.ts";
import { originOf } from "../draft.ts";
import type { Environment } from "../environment.ts";
import { readYamlFile } from "../yaml-file.ts";

const text = z.string().min(1, "expected a name").max(100, "expected at most 100 characters");
const share = amount(0, 1);
const times = amount(0.01, 1000);

/** Half lie below the median, one in a hundred above the 99th percentile; a single value: always that. */
const spreadOf = (value: z.ZodType<number>) =>
  z
    .union([
      value.transform((each): Spread => ({ median: each, p99: each })),
      z.strictObject({ median: value, p99: value }),
    ])
    .refine(({ median, p99 }) => p99 >= median, "expected a p99 that is not below the median");

const tokens = wholeNumber(1, 1_000_000);

const selector = z.union([
  z.enum(["all", "first", "last"]).transform((position): Selector => ({ position })),
  z
    .strictObject({
      tier: wholeNumber(1, 1000).optional(),
      priority: wholeNumber(0, 1_000_000).optional(),
      provider: text.optional(),
      kind: text.optional(),
      endpoint: text.optional(),
      key: text.optional(),
      share_of_keys: amount(0.001, 1).optional(),
    })
    .refine((named) => Object.keys(named).length > 0, "expected a tier, provider, kind, endpoint, key or the like")
    .transform(({ share_of_keys: shareOfKeys, ...named }): Selector => ({ ...named, shareOfKeys })),
]);

const selection = z
  .union([selector.transform((one): Selection => [one]), z.array(selector).min(1, "expected at least one selector")])
  .transform((list): Selection => list);

const capacity = z
  .strictObject({
    in_flight: wholeNumber(1, 1_000_000),
    beyond: z.enum(["slower", "overloaded", "rate_limited"]).default("slower"),
  })
  .transform(({ in_flight: inFlight, beyond }) => ({ inFlight, beyond }));

const rateLimit = z
  .strictObject({
    per_second: amount(0.001, 1_000_000),
    burst: wholeNumber(1, 1_000_000).optional(),
    per: z.enum(["key", "endpoint", "provider"]).default("endpoint"),
    retry_after: duration.optional(),
  })
  .transform(({ per_second: perSecond, burst, per, retry_after: retryAfterMs }) => ({
    perSecond,
    burst: burst ?? Math.max(1, Math.ceil(perSecond)),
    per,
    retryAfterMs,
  }));

const profile = z
  .strictObject({
    on: selection.prefault("all"),
    first_content: spreadOf(positiveDuration).optional(),
    tokens_per_second: amount(0.1, 1_000_000).optional(),
    answer_tokens: spreadOf(tokens).optional(),
    capacity: capacity.optional(),
    rate_limit: rateLimit.optional(),
  })
  .refine(({ on }) => on.every(({ key, shareOfKeys }) => key === undefined && shareOfKeys === undefined), {
    path: ["on"],
    message: "expected whole endpoints: in fair weather a provider serves all of its keys alike",
  })
  .transform(
    (each): ProfileEntry => ({
      on: each.on,
      firstContentMs: each.first_content,
      tokensPerSecond: each.tokens_per_second,
      answerTokens: each.answer_tokens,
      capacity: each.capacity,
      rateLimit: each.rate_limit,
    }),
  );

const trouble = z.enum([
  "server_error",
  "overloaded",
  "refused_connection",
  "black_hole",
  "hang",
  "cut",
  "stall",
  "rate_limited",
  "bad_key",
  "no_quota",
  "no_model",
  "wrong_path",
]);

const phase = z
  .strictObject({
    name: text.optional(),
    from: duration.prefault(0),
    for: positiveDuration.optional(),
    on: selection.optional(),
    fails: z.union([trouble.transform((one) => [one]), z.array(trouble).min(1, "expected at least one")]).default([]),
    share: share.default(1),
    after: duration.prefault("30ms"),
    retry_after: duration.optional(),
    slower: times.default(1),
    capacity: capacity.optional(),
    rate_limit: rateLimit.optional(),
    flapping: z
      .strictObject({ down: positiveDuration, up: positiveDuration })
      .transform(({ down: downMs, up: upMs }) => ({ downMs, upMs }))
      .optional(),
    cold_start: z
      .strictObject({ for: positiveDuration, slower: times.default(1), capacity: capacity.optional() })
      .transform(({ for: forMs, slower, capacity: limited }) => ({ forMs, slower, capacity: limited }))
      .optional(),
    traffic: amount(0, 1000).default(1),
  })
  .refine(
    ({ on, fails, slower, capacity: limited, rate_limit: wall, cold_start: cold }) =>
      on !== undefined || (fails.length === 0 && slower === 1 && !limited && !wall && !cold),
    { path: ["on"], message: "expected whom it concerns: all, first, last, or { tier: 1 } and the like" },
  )
  .refine(
    ({ fails, slower, capacity: limited, rate_limit: wall, cold_start: cold, traffic }) =>
      fails.length > 0 || slower !== 1 || limited || wall || cold || traffic !== 1,
    "expected something that is different: fails, slower, capacity, rate_limit, cold_start or traffic",
  );

const burst = z
  .strictObject({ at: duration, requests: wholeNumber(1, 1_000_000), over: duration.prefault("1s") })
  .transform(({ at: atMs, requests, over: overMs }) => ({ atMs, requests, overMs }));

const caller = z
  .strictObject({
    name: text,
    model: text.optional(),
    per_second: amount(0, 100_000).optional(),
    bursts: z.array(burst).default([]),
    users: wholeNumber(1, 100_000).optional(),
    think: duration.prefault("10s"),
    streaming: share.default(0.8),
    prompt_tokens: spreadOf(tokens).prefault({ median: 800, p99: 6000 }),
    answer_tokens: spreadOf(tokens).prefault({ median: 200, p99: 900 }),
    deadline: positiveDuration.optional(),
    patience: positiveDuration.optional(),
    leaves: share.default(0),
    retry_count: wholeNumber(0, 100).optional(),
    repeatable: share.default(0),
    prefixes: wholeNumber(1, 1_000_000).default(20),
  })
  .refine(
    ({ per_second: rate, users, bursts }) => (users === undefined) !== (rate === undefined && bursts.length === 0),
    {
      path: ["per_second"],
      message: "expected either per_second (and bursts) or users",
    },
  );

const fileSchema = z.strictObject({
  name: text.optional(),
  model: z.string().default(""),
  duration: z.preprocess((value) => value ?? "", positiveDuration),
  seed: wholeNumber(0, 4_294_967_295).default(1),
  providers: z.array(profile).max(1000, "expected at most 1000").default([]),
  phases: z.array(phase).max(1000, "expected at most 1000").default([]),
  callers: z
    .array(caller)
    .min(1, "expected at least one caller")
    .max(1000, "expected at most 1000")
    .prefault([{ name: "anyone", per_second: 10 }]),
  config: z.record(z.string(), z.unknown()).optional(),
});

/** A scenario as it was read. */
export interface ScenarioFile {
  readonly scenario: Scenario;
  readonly seed: number;
  /** What callers ask who do not say; empty: the configuration's default. */
  readonly model: string;
  /** What is wrong with it, though it can be read. */
  readonly problems: readonly ConfigProblem[];
  /** The configuration that it brings along. */
  readonly config: Config | undefined;
}

/** More than these would take a long time, and be meant for something else. */
const mostRequests = 5_000_000;

/** Reads a scenario. @throws ConfigError when it cannot be read, with everything that is wrong with its shape */
export function readScenario(path: string, env: Environment): ScenarioFile {
  const {
    value: input,
    origins,
    problems: unread,
  } = readYamlFile(path, {
    env,
    originOf: (name) => ({ text: name, at: name }),
  });
  const placed = (problems: readonly ConfigProblem[]) =>
    problems.map((problem) => ({ at: originOf(origins, problem.path)?.at, ...problem }));
  const result = fileSchema.safeParse(input);
  if (!result.success || unread.length > 0) {
    const found = result.success ? [] : result.error.issues.flatMap((issue) => problemsOf(issue, input));
    throw new ConfigError(path, placed([...unread, ...found]));
  }
  const { name = basename(path).replace(/\.ya?ml$/, ""), duration: durationMs, seed, model } = result.data;
  const phases = result.data.phases.map((each, index) => phaseOf(each, index, durationMs));
  const callers = result.data.callers.map((each) => callerOf(each, model));
  const { providers: profiles } = result.data;
  const problems = [
    ...lateProblems(phases, callers, durationMs),
    ...crowdProblems({ callers, phases, profiles, durationMs }),
  ];
  const names = callers.map((each) => each.name);
  for (const [index, each] of names.entries()) {
    if (names.indexOf(each) < index) {
      problems.push({
        path: `callers[${index}].name`,
        value: JSON.stringify(each),
        expected: "expected a name of its own",
      });
    }
  }
  const config = result.data.config && checkConfig(result.data.config, `${path}: config`);
  if (config?.providers.length === 0) {
    problems.push({ path: "config.providers", value: "none", expected: "expected at least one provider" });
    throw new ConfigError(path, problems);
  }
  return { scenario: { name, durationMs, profiles, phases, callers }, seed, model, problems, config };
}

function phaseOf(each: z.output<typeof phase>, index: number, durationMs: number): Phase {
  const { from: fromMs, for: forMs } = each;
  return {
    name: each.name ?? `phase ${index + 1}`,
    fromMs,
    toMs: forMs === undefined ? durationMs : fromMs + forMs,
    on: each.on,
    fails: each.fails,
    share: each.share,
    afterMs: each.after,
    retryAfterMs: each.retry_after,
    slower: each.slower,
    capacity: each.capacity,
    rateLimit: each.rate_limit,
    flapping: each.flapping,
    coldStart: each.cold_start,
    traffic: each.traffic,
  };
}

function callerOf(each: z.output<typeof caller>, model: string): CallerProfile {
  return {
    name: each.name,
    model: each.model ?? model,
    pattern:
      each.users === undefined
        ? { kind: "open", perSecond: each.per_second ?? 0, bursts: each.bursts }
        : { kind: "closed", users: each.users, thinkMs: each.think },
    streaming: each.streaming,
    promptTokens: each.prompt_tokens,
    answerTokens: each.answer_tokens,
    deadlineMs: each.deadline,
    patienceMs: each.patience,
    leaves: each.leaves,
    retryCount: each.retry_count,
    repeatable: each.repeatable,
    prefixes: each.prefixes,
  };
}

function lateProblems(phases: readonly Phase[], callers: readonly CallerProfile[], durationMs: number) {
  const begins = [
    ...phases.map(({ fromMs }, index) => ({ path: `phases[${index}].from`, at: fromMs })),
    ...callers.flatMap(({ pattern }, index) =>
      pattern.kind === "closed"
        ? []
        : pattern.bursts.map(({ atMs }, burst) => ({ path: `callers[${index}].bursts[${burst}].at`, at: atMs })),
    ),
  ];
  return begins
    .filter(({ at }) => at >= durationMs)
    .map(({ path, at }) => ({ path, value: `${at / 1000}s`, expected: "expected a time before the end" }));
}

function crowdProblems(scenario: Omit<Scenario, "name">) {
  const requests = expectedRequests(scenario);
  if (requests <= mostRequests) return [];
  const expected = `expected at most ${mostRequests.toLocaleString("en-US")} requests in all`;
  return [{ path: "callers", value: `about ${Math.round(requests).toLocaleString("en-US")}`, expected }];
}
