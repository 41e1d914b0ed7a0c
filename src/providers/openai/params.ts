import type { AnswerMode } from "../lane.ts";
import type { Parameter, Target, TargetParams } from "../target.ts";
import type { JsonObject } from "./json.ts";
import { maxTokensName } from "./prompt-body.ts";

/** Two names of one limit: of which only one may go out. */
const otherTokenLimit: Readonly<Record<string, string>> = {
  max_tokens: "max_completion_tokens",
  max_completion_tokens: "max_tokens",
};

/**
 * Makes ready what the configuration sets for a target, so that a request costs as little as it can.
 * @param overrides replace the caller's members of the same names; `stream` says how the endpoint is asked
 * @param defaults are set where the caller sends nothing
 * @returns undefined when there is nothing to set
 */
export function targetParams(
  { origin }: Pick<Target, "origin">,
  overrides: JsonObject = {},
  defaults: JsonObject = {},
): TargetParams | undefined {
  const { stream, ...others } = overrides;
  const isOverridden = (name: string) => name in others || (otherTokenLimit[name] ?? name) in others;
  const params: TargetParams = {
    overrides: Object.entries(others).map(parameter),
    defaults: Object.entries(defaults)
      .filter(([name, value]) => value !== null && !isOverridden(name))
      // Defaults are for every endpoint, and OpenAI's own newer models refuse `max_tokens`.
      .map(([name, value]) => parameter([name === "max_tokens" ? maxTokensName({ origin }) : name, value])),
    stream: typeof stream === "boolean" ? stream : undefined,
  };
  const isEmpty = params.overrides.length + params.defaults.length === 0 && params.stream === undefined;
  return isEmpty ? undefined : params;
}

function parameter([name, value]: readonly [string, unknown]): Parameter {
  return { name, value, text: value === null ? undefined : JSON.stringify(value) };
}

/** How a target is asked by a caller that asks in this way. */
export function askedMode({ params }: Target, mode: AnswerMode): AnswerMode {
  if (params?.stream === undefined) return mode;
  return params.stream ? "stream" : "unary";
}

/** What is to be changed in a request's body. */
export interface BodyChanges {
  readonly set: readonly (Parameter & { readonly text: string })[];
  readonly remove: readonly string[];
}

/** What a target's parameters change in a body; only what is really different then is among it. A null in it says nothing. */
export function changesTo(body: JsonObject, params: TargetParams): BodyChanges {
  const set: (Parameter & { readonly text: string })[] = [];
  const remove: string[] = [];
  for (const { name, value, text } of params.overrides) {
    const other = otherTokenLimit[name];
    if (other !== undefined && Object.hasOwn(body, other)) remove.push(other);
    if (text === undefined && Object.hasOwn(body, name)) remove.push(name);
    const isSame = isSaid(body, name) && JSON.stringify(body[name]) === text;
    if (text !== undefined && !isSame) set.push({ name, value, text });
  }
  for (const { name, value, text } of params.defaults) {
    const other = otherTokenLimit[name];
    const isOwn = isSaid(body, name) || (other !== undefined && isSaid(body, other));
    if (text === undefined || isOwn) continue;
    set.push({ name, value, text });
    // A null under the other name of the limit is a word too many for some.
    if (other !== undefined && Object.hasOwn(body, other)) remove.push(other);
  }
  return { set, remove };
}

/** Whether changes are any. */
export function isChanged({ set, remove }: BodyChanges): boolean {
  return set.length + remove.length > 0;
}

/** A body with what a target's parameters change in it. */
export function bodyAt({ params }: Target, body: JsonObject): JsonObject {
  return params ? changedBody(body, changesTo(body, params)) : body;
}

/** The body with its changes. */
export function changedBody(body: JsonObject, { set, remove }: BodyChanges): JsonObject {
  const kept = Object.entries(body).filter(([name]) => !remove.includes(name));
  return Object.fromEntries([...kept, ...set.map(({ name, value }) => [name, value] as const)]);
}

function isSaid(body: JsonObject, name: string): boolean {
  return Object.hasOwn(body, name) && body[name] !== null && body[name] !== undefined;
}
