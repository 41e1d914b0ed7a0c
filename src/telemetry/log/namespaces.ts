/** What lines are about. Each says it with `everhop:` before it. */
export const namespaces = ["request", "routing", "hop", "breaker", "config", "telemetry", "server"] as const;

export type Namespace = (typeof namespaces)[number];

/** A namespace as lines and `DEBUG` name it. */
export function fullName(namespace: Namespace): string {
  return `everhop:${namespace}`;
}

/** What `DEBUG` asks for. */
export interface DebugPatterns {
  includes(namespace: Namespace): boolean;
  excludes(namespace: Namespace): boolean;
  /** Those that mean us, and none of our namespaces. */
  readonly unknown: readonly string[];
}

/**
 * Reads `DEBUG` as the package `debug` does: patterns between commas or blanks, in which `*` stands for anything, and which exclude
 * after a `-`. Other programs have patterns there, too.
 */
export function readDebugPatterns(text: string | undefined): DebugPatterns {
  const patterns = (text ?? "")
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((word) => {
      const isExclusion = word.startsWith("-");
      const pattern = isExclusion ? word.slice(1) : word;
      return { word, isExclusion, isUnder: /^everhop\b/i.test(pattern), matches: matcherOf(pattern) };
    });
  const some = (isExclusion: boolean, namespace: Namespace) =>
    patterns.some((each) => each.isExclusion === isExclusion && each.matches(fullName(namespace)));
  return {
    includes: (namespace) => some(false, namespace),
    excludes: (namespace) => some(true, namespace),
    unknown: patterns
      .filter(({ isUnder, matches }) => isUnder && !namespaces.some((each) => matches(fullName(each))))
      .map(({ word }) => word),
  };
}

function matcherOf(pattern: string): (name: string) => boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  const whole = new RegExp(`^${parts.join(".*")}$`);
  return (name) => whole.test(name);
}
