import type { ConfigProblem } from "./config-problem.ts";

/** Where a value stands. */
export interface Origin {
  /** For people: `everhop.yaml:12`, `OPENAI_API_KEY_2`, `--port`. */
  readonly text: string;
  /** For a problem with the value: line and column, or a variable's name. */
  readonly at: string;
  /** For a problem with the name of the value. */
  readonly nameAt?: string;
  /** Nobody has said it in so many words: whoever does is right. */
  readonly isImplied?: boolean;
}

/** Where each value stands, by its path: `providers[0].base_url`. */
export type Origins = ReadonlyMap<string, Origin>;

/** A configuration as it is written somewhere, not checked yet. */
export interface Draft {
  readonly value: Readonly<Record<string, unknown>>;
  readonly origins: Origins;
  /** What was wrong already when it was read. */
  readonly problems: readonly ConfigProblem[];
}

type Step = string | number;

/** Steps as the path that people read. */
export function pathText(steps: readonly PropertyKey[]): string {
  const text = steps.map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`)).join("");
  return text.replace(/^\./, "");
}

/** The path of what a value stands in. */
export function parentPath(path: string): string {
  return path.replace(/(?:^|\.)[^.[\]]*$|\[\d+\]$/, "");
}

/** The path itself if its value has an origin, else the nearest one around it that has. */
export function originPath(origins: Origins, path: string): string | undefined {
  for (let at = path; at !== ""; at = parentPath(at)) if (origins.has(at)) return at;
  return undefined;
}

/** The origin of a value, else that of what it stands in. */
export function originOf(origins: Origins, path: string): Origin | undefined {
  return origins.get(originPath(origins, path) ?? "");
}

/** Writes a draft value by value. */
export class DraftWriter {
  readonly #value: Record<string, unknown> = {};
  readonly #origins = new Map<string, Origin>();
  readonly #problems: ConfigProblem[] = [];

  /** Sets a value; lists and objects on the way to it come into being. Undefined sets nothing. */
  set(steps: readonly Step[], value: unknown, origin: Origin): void {
    if (value === undefined) return;
    let place: Record<Step, unknown> = this.#value;
    for (const [index, step] of steps.slice(0, -1).entries()) {
      place[step] ??= typeof steps[index + 1] === "number" ? [] : {};
      place = place[step] as Record<Step, unknown>; // made in the line above, or by an earlier value
    }
    place[steps.at(-1) ?? ""] = value;
    this.#origins.set(pathText(steps), origin);
  }

  complain(problem: ConfigProblem): void {
    this.#problems.push(problem);
  }

  draft(): Draft {
    return { value: this.#value, origins: this.#origins, problems: this.#problems };
  }
}

/**
 * Two drafts as one. What the first says in so many words counts; what it only implies does not count against the second. Objects are
 * merged, lists are taken whole.
 */
export function merged(first: Draft, second: Draft): Draft {
  const origins = new Map<string, Origin>();
  const take = (from: Draft, path: string) => {
    for (const [at, origin] of from.origins) {
      if (at === path || at.startsWith(`${path}.`) || at.startsWith(`${path}[`)) origins.set(at, origin);
    }
  };
  const merge = (a: unknown, b: unknown, path: string): unknown => {
    if (a === undefined || b === undefined) {
      take(a === undefined ? second : first, path);
      return a ?? b;
    }
    if (isObject(a) && isObject(b)) {
      const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
      return Object.fromEntries(names.map((name) => [name, merge(a[name], b[name], path ? `${path}.${name}` : name)]));
    }
    const firstCounts = !originOf(first.origins, path)?.isImplied;
    take(firstCounts ? first : second, path);
    return firstCounts ? a : b;
  };
  return {
    value: merge(first.value, second.value, "") as Record<string, unknown>, // two objects make one
    origins,
    problems: [...first.problems, ...second.problems],
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
