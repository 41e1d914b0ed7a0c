import type { Usage } from "./answer.ts";
import { edited, rubbishUsage } from "./edited-json.ts";
import type { Fault } from "./fault.ts";
import type { JsonObject } from "./json.ts";
import { isJsonObject } from "./json.ts";
import type { StreamEvent } from "./stream-events.ts";

/** The events of a complete stream as odd servers put them. Most faults leave them as they are. */
export function quirkyEvents(events: StreamEvent[], fault: Fault, usage: Usage): StreamEvent[] {
  switch (fault.kind) {
    case "no_done":
      return events.filter(({ kind }) => kind !== "done");
    case "usage_in_finish":
      return events
        .filter(({ kind }) => kind !== "usage")
        .map((event) => (event.kind === "finish" ? withFields(event, { usage }) : event));
    case "usage_with_choice":
      return events.map((event) =>
        event.kind === "usage" ? withFields(event, { choices: [{ index: 0, delta: {} }] }) : event,
      );
    case "rubbish_usage":
      return withUsage(events).map((event) =>
        event.kind === "usage" ? withFields(event, { usage: rubbishUsage }) : event,
      );
    case "finish_with_content":
      return finishWithContent(events);
    case "delta_after_finish":
      return events.flatMap((event) =>
        event.kind === "finish" ? [event, withChoice(event, { delta: { content: "" }, finish_reason: null })] : [event],
      );
    case "missing_finish":
      return events.filter((_, index) => index !== events.findLastIndex(({ kind }) => kind === "finish"));
    case "candidates_reversed":
      return candidatesReversed(events);
    case "null_deltas":
      return events.map(nullDelta);
    case "bare_choices":
      return events.map(bareChoice);
    case "empty_choices":
      return events.flatMap((event) =>
        event.kind === "delta" ? [withFields(event, { choices: [] }), event] : [event],
      );
    case "new_ids":
      return events.map((event, index) =>
        event.kind === "done" ? event : withFields(event, { id: `chatcmpl-${index}` }),
      );
    case "data_after_done":
      return events.flatMap((event) => (event.kind === "done" ? [event, ...events.slice(0, 1), event] : [event]));
    case "long_line":
      return edit(events, 1, (event) => withFields(event, { padding: "x".repeat(fault.bytes ?? 2 ** 21) }));
    default:
      return events;
  }
}

function edit(events: StreamEvent[], at: number, change: (event: StreamEvent) => StreamEvent): StreamEvent[] {
  return events.map((event, index) => (index === at ? change(event) : event));
}

function withFields(event: StreamEvent, fields: object): StreamEvent {
  return { kind: event.kind, data: edited(event.data, fields) };
}

/** The only choice of an event; undefined when it has none. */
function choiceOf(event: StreamEvent): JsonObject | undefined {
  if (event.kind === "done") return undefined;
  const chunk: unknown = JSON.parse(event.data);
  const choices = isJsonObject(chunk) ? chunk["choices"] : undefined;
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  return isJsonObject(choice) ? choice : undefined;
}

function withChoice(event: StreamEvent, fields: object): StreamEvent {
  return withFields(event, { choices: [{ ...choiceOf(event), ...fields }] });
}

/** Makes sure that there is an event with the usage. */
function withUsage(events: StreamEvent[]): StreamEvent[] {
  if (events.some(({ kind }) => kind === "usage")) return events;
  const last = events.findLast(({ kind }) => kind === "finish");
  if (!last) return events;
  return events.flatMap((event) =>
    event.kind === "done" ? [{ kind: "usage", data: edited(last.data, { choices: [] }) }, event] : [event],
  );
}

/** Moves each finish reason onto its candidate's last delta, or its role where it has none. */
function finishWithContent(events: StreamEvent[]): StreamEvent[] {
  const reasons = new Map<unknown, unknown>();
  for (const event of events) {
    if (event.kind === "finish") reasons.set(choiceOf(event)?.["index"], choiceOf(event)?.["finish_reason"]);
  }
  const kept: StreamEvent[] = [];
  for (const event of events.toReversed()) {
    if (event.kind === "finish") continue;
    const index = choiceOf(event)?.["index"];
    const reason = reasons.get(index);
    reasons.delete(index);
    kept.push(reason === undefined ? event : withChoice(event, { finish_reason: reason }));
  }
  return kept.toReversed();
}

/** Turns each round of the candidates around: the sort is stable, and a round is a run of falling turns. */
function candidatesReversed(events: StreamEvent[]): StreamEvent[] {
  const turned: StreamEvent[] = [];
  let round: StreamEvent[] = [];
  let previous = -1;
  for (const event of events) {
    const index = choiceOf(event)?.["index"];
    const number = typeof index === "number" ? index : -1;
    if (number <= previous || round[0]?.kind !== event.kind) {
      turned.push(...round.toReversed());
      round = [];
    }
    round.push(event);
    previous = number;
  }
  return [...turned, ...round.toReversed()];
}

function nullDelta(event: StreamEvent): StreamEvent {
  const delta = choiceOf(event)?.["delta"];
  if (!isJsonObject(delta)) return event;
  return withChoice(event, { delta: { role: null, content: null, tool_calls: null, ...delta } });
}

function bareChoice(event: StreamEvent): StreamEvent {
  const choice = choiceOf(event);
  if (!choice) return event;
  const delta = isJsonObject(choice["delta"]) ? withoutNulls(choice["delta"]) : {};
  return withFields(event, { choices: [{ ...withoutNulls(choice), delta }] });
}

function withoutNulls(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
}
