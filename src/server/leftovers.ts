import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigProblem } from "./config-problem.ts";
import type { Variables } from "./environment.ts";

/** Families of variables that set-ups are made of; `\d+` is a provider's number. */
const families = /^(OPENAI|LLAMA|QWEN|MEGALLM)_/;
const known =
  /^(OPENAI_(API_KEY|BASE_URL|PRIORITY|WEIGHT|MAX_RPS|TIMEOUT_MS|ENABLED|HEALTH_CHECK)(_\d+)?|OPENAI_(MODEL|FALLBACK_ENABLED|MAX_RETRIES|BACKOFF_MS|CIRCUIT_BREAKER)|(LLAMA|QWEN)_(API_KEY|API_BASE_URL|MODEL_[A-Z][A-Z0-9_]*)|MEGALLM_(BASE_URL|TIMEOUT|MAX_RETRIES))$/;

/** Variables of `.env` and `.env.local` that belong to a family and that nobody reads: misspelt ones, as a rule. */
export function strangers({ fromFiles, originOf }: Variables): string[] {
  return [...fromFiles]
    .filter((name) => families.test(name) && !known.test(name))
    .map((name) => `${originOf(name).text} is no variable that Everhop knows`);
}

/**
 * What looks as if somebody had meant to configure the gateway, where nothing is configured: then the demo is not what they want, and
 * least of all its answers.
 */
export function leftovers({ fromFiles, originOf, env }: Variables, folder: string): ConfigProblem[] {
  const variables = [...fromFiles].flatMap((name) => {
    if (!families.test(name)) return [];
    const expected = known.test(name) ? "sets no provider up" : "is no variable that Everhop knows";
    const value = env[name] ? "" : "nothing";
    return [{ path: name, value, expected, at: originOf(name).text.replace(/^.*\(|\)$/g, "") }];
  });
  const files = ["everhop.yml", "everhop.json"].filter((name) => existsSync(join(folder, name)));
  return [
    ...variables,
    ...files.map((name) => ({
      path: name,
      value: "",
      expected: "is not read by itself: expected everhop.yaml, or --config",
    })),
    ...groupsLookedFor(join(folder, "config")),
  ];
}

/** Files of a folder that may have been meant as model groups: those that speak of keys and addresses, and those with nothing in them. */
function groupsLookedFor(folder: string): ConfigProblem[] {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const path = join(folder, name);
    let text: string;
    try {
      text = readFileSync(path, "utf8").trim();
    } catch {
      return [];
    }
    if (text.length <= 2) return [{ path, value: "", expected: "holds no model group" }];
    const isMeant = /"(base[_-]?url|api[_-]?key)"/i.test(text);
    return isMeant ? [{ path, value: "", expected: 'looks like a model group, but has no "baseurl"' }] : [];
  });
}
