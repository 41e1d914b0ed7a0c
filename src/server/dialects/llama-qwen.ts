import { shownText } from "../config-problem.ts";
import { DraftWriter } from "../draft.ts";
import type { Environment } from "../environment.ts";
import { attemptsOf, type Dialect, impliedBy, setFrom, switchOf } from "./dialect.ts";

/** A provider of the pair: where it is, and which of its models does what. */
interface Side {
  readonly name: "llama" | "qwen";
  readonly baseUrl: string;
  /** Model by task; `fallback` is what its tasks end with when nothing else is left. */
  readonly tasks: Readonly<Record<string, string>>;
}

const llama: Side = {
  name: "llama",
  baseUrl: "https://api.llama-api.com/v1",
  tasks: {
    chat: "Llama-3.3-70B-Instruct",
    analysis: "Llama-3.3-70B-Instruct",
    interview: "Llama-3.3-70B-Instruct",
    code: "Llama-3.3-70B-Instruct",
    math: "Llama-3.3-70B-Instruct",
    fallback: "Llama-3.3-8B-Instruct",
  },
};

const qwen: Side = {
  name: "qwen",
  baseUrl: "https://dashscope.aliyuncs.com/compatible-mode/v1",
  tasks: {
    chat: "qwen-plus",
    analysis: "qwen-plus",
    turbo: "qwen-turbo",
    long: "qwen-long",
    audio: "Qwen/Qwen2-Audio-7B-Instruct",
    code: "Qwen/Qwen2.5-Coder-32B-Instruct",
    math: "Qwen/Qwen2.5-Math-72B-Instruct",
    vision: "Qwen/Qwen2-VL-72B-Instruct",
  },
};

/** What a model that is only for chats cannot do. */
const special = new Set(["audio", "vision", "long"]);

/**
 * `LLAMA_API_KEY` and `QWEN_API_KEY`: two providers, each with a model for each task, and switches that say which comes first and
 * whether the other one may help out. `LLAMA_MODEL_CODE`, `QWEN_MODEL_CHAT` and so on name other models than those of the maps.
 *
 * Each task is a model of its own name; so is each model of a map, which fails over to the other provider's model for the same task.
 */
export const llamaQwen: Dialect = {
  name: "the LLAMA_* and QWEN_* environment",
  read({ variables }) {
    const { env, originOf } = variables;
    const present = [llama, qwen].filter(({ name }) => env[`${name.toUpperCase()}_API_KEY`]);
    if (present.length === 0) return undefined;
    const prefersLlama = switchOf(env["PREFER_LLAMA"]) !== false;
    const sides = (prefersLlama ? present : present.toReversed()).map((side) => withOwnModels(side, env));
    // With Qwen in front there is nothing that it would be a fallback for.
    const qwenHelps = switchOf(env["USE_QWEN_FALLBACK"]) !== false || !prefersLlama;
    const writer = new DraftWriter();
    for (const name of ["PREFER_LLAMA", "USE_QWEN_FALLBACK"]) {
      if (typeof switchOf(env[name]) === "string") {
        writer.complain({
          path: name,
          value: shownText(env[name] ?? ""),
          expected: "expected true or false",
          at: name,
        });
      }
    }
    for (const [index, { name, baseUrl }] of sides.entries()) {
      const prefix = name.toUpperCase();
      const implied = impliedBy(originOf(`${prefix}_API_KEY`));
      const at = (field: string) => ["providers", index, field];
      writer.set(at("name"), name, implied);
      writer.set(at("kind"), name, implied);
      writer.set(at("base_url"), baseUrl, implied);
      setFrom(writer, variables, `${prefix}_API_BASE_URL`, at("base_url"));
      setFrom(writer, variables, `${prefix}_API_KEY`, at("keys"), (key) => [key]);
      writer.set(at("priority"), index + 1, env["PREFER_LLAMA"] ? originOf("PREFER_LLAMA") : implied);
      setFrom(writer, variables, "REQUEST_TIMEOUT", at("timeout"));
      writer.set([...at("health_check"), "interval"], "60s", implied);
      setFrom(writer, variables, "HEALTH_CHECK_INTERVAL", [...at("health_check"), "interval"]);
    }
    const implied = impliedBy(originOf(`${(sides[0] ?? llama).name.toUpperCase()}_API_KEY`));
    const models = modelsOf(sides, qwenHelps);
    writer.set(["models"], models, implied);
    const origins = new Map(
      sides.flatMap(({ name, own }) => own.map(({ variable, model }) => [`${name} ${model}`, originOf(variable)])),
    );
    for (const [index, { name, targets }] of models.entries()) {
      for (const [position, { provider, model }] of targets.entries()) {
        const origin = origins.get(`${provider} ${model}`);
        if (!origin) continue;
        writer.set(["models", index, "targets", position, "model"], model, origin);
        if (name === model) writer.set(["models", index, "name"], model, origin);
      }
    }
    const tasks = [...new Set(sides.flatMap(({ tasks: own }) => Object.keys(own)))];
    for (const task of tasks) writer.set(["tasks", task], task, implied);
    writer.set(["defaults", "model"], "chat", implied);
    writer.set(["routing", "breaker", "error_rate"], 0.1, implied);
    setFrom(writer, variables, "ENABLE_AUTO_SWITCH", ["routing", "failover"], switchOf);
    setFrom(writer, variables, "MAX_RETRY_COUNT", ["routing", "max_attempts"], attemptsOf);
    setFrom(writer, variables, "MAX_CONCURRENT_REQUESTS", ["auth", "anyone", "max_concurrent"]);
    setFrom(writer, variables, "RATE_LIMIT_PER_MINUTE", ["auth", "anyone", "rpm"]);
    return { ...writer.draft(), source: "the environment", files: [], notices: [] };
  },
};

/** A model that a variable names for a task. */
interface OwnModel {
  readonly variable: string;
  readonly task: string;
  readonly model: string;
}

function withOwnModels(side: Side, env: Environment): Side & { readonly own: readonly OwnModel[] } {
  const own = Object.entries(env).flatMap(([variable, model]) => {
    const [, prefix = "", task = ""] = /^(LLAMA|QWEN)_MODEL_([A-Z][A-Z0-9_]{0,31})$/.exec(variable) ?? [];
    return prefix.toLowerCase() === side.name && model ? [{ variable, task: task.toLowerCase(), model }] : [];
  });
  const named = Object.fromEntries(own.map(({ task, model }) => [task, model]));
  return { ...side, own, tasks: { ...side.tasks, ...named } };
}

interface TargetDraft {
  readonly provider: string;
  readonly model: string;
  readonly priority: number;
}

/** A model for each task, and one for each model that a map names, with itself in front. */
function modelsOf(sides: readonly Side[], qwenHelps: boolean): { name: string; targets: TargetDraft[] }[] {
  const tasks = [...new Set(sides.flatMap((side) => Object.keys(side.tasks)))];
  const models = tasks.map((name) => ({ name, targets: ranked(name, sides, qwenHelps) }));
  const taken = new Set(tasks);
  for (const side of sides) {
    for (const [task, model] of Object.entries(side.tasks)) {
      if (taken.has(model)) continue;
      taken.add(model);
      const itsOwnFirst = [side, ...sides.filter((other) => other !== side)];
      models.push({ name: model, targets: ranked(task, itsOwnFirst, qwenHelps) });
    }
  }
  return models;
}

/**
 * Who serves a task, in order: each side's model for it, then the chat of a side that has none, then whoever is a fallback. Where Qwen
 * is not to help out it serves only what it comes first for.
 */
function ranked(task: string, sides: readonly Side[], qwenHelps: boolean): TargetDraft[] {
  const modelFor = (wanted: string, who: readonly Side[]) =>
    who.flatMap(({ name: provider, tasks }) => (tasks[wanted] ? [{ provider, model: tasks[wanted] }] : []));
  const standIns =
    task === "fallback"
      ? []
      : modelFor(
          "chat",
          sides.filter(({ tasks }) => !tasks[task]),
        );
  const others = special.has(task) ? [] : [...standIns, ...modelFor("fallback", sides)];
  const targets = [...modelFor(task, sides), ...others];
  return [...new Map(targets.map((target) => [`${target.provider} ${target.model}`, target])).values()]
    .filter(({ provider }, index) => index === 0 || provider !== "qwen" || qwenHelps)
    .map((target, index) => ({ ...target, priority: index + 1 }));
}
