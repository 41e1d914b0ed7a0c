import type { Draft, DraftWriter, Origin } from "../draft.ts";
import type { Variables } from "../environment.ts";

/** Where a program that is started here finds what other programs are configured by. */
export interface Place {
  readonly variables: Variables;
  /** The folder that it is started in. */
  readonly folder: string;
}

/** What a dialect says. */
export interface Said extends Draft {
  /** For people: `the OPENAI_* environment`. */
  readonly source: string;
  /** Files that it was read from. */
  readonly files: readonly string[];
  readonly notices: readonly string[];
}

/** How another program is configured; whoever has such a set-up can keep it. */
export interface Dialect {
  /** For people, where it is passed over. */
  readonly name: string;
  /** @returns undefined when nothing of it is there */
  read(place: Place): Said | undefined;
}

/** `1`, `yes` and `on` are true as well; whatever else is no switch is left for the check to complain of. */
export function switchOf(text: string | undefined): boolean | string | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^(true|1|yes|on)$/i.test(text.trim())) return true;
  if (/^(false|0|no|off)$/i.test(text.trim())) return false;
  return text;
}

/** A count of retries as a cap on attempts: the first one is no retry. */
export function attemptsOf(retries: string | undefined): number | string | undefined {
  if (retries === undefined || retries === "") return undefined;
  return /^\d{1,6}$/.test(retries) ? Math.min(10, 1 + Number(retries)) : retries;
}

/** Milliseconds as a duration. */
export function msText(ms: string | undefined): string | undefined {
  if (ms === undefined || ms === "") return undefined;
  return /^\d+(\.\d+)?$/.test(ms) ? `${ms}ms` : ms;
}

/** What nobody has said, but what follows from a variable or a file that is there. */
export function impliedBy({ text, at }: Origin): Origin {
  return { text: `implied by ${text}`, at, isImplied: true };
}

/** Sets what a variable says, if it is there. */
export function setFrom(
  writer: DraftWriter,
  { env, originOf }: Variables,
  name: string,
  steps: readonly (string | number)[],
  read: (text: string) => unknown = (text) => text,
): void {
  const text = env[name];
  if (text) writer.set(steps, read(text), originOf(name));
}
