import { withInvalidUtf8 } from "./edited-json.ts";
import { openAiError } from "./error-body.ts";
import type { Fault } from "./fault.ts";
import { eventStream } from "./fault-steps.ts";
import type { Headers, Step } from "./step.ts";
import type { StreamEvent } from "./stream-events.ts";

/** How a stream goes out, with the fault in it. */
export function streamSteps(events: StreamEvent[], fault: Fault, headers: Headers): Step[] {
  const head: Step = {
    kind: "head",
    status: 200,
    headers: { "content-type": contentType(fault), "cache-control": "no-cache", ...headers },
  };
  const cut = Math.min(
    eventsBefore(fault),
    events.findIndex(({ kind }) => kind === "finish"),
  );
  const start = events.slice(0, cut).map(write);
  switch (fault.kind) {
    case "error_event_first":
      return [head, errorEvent(fault), { kind: "end" }];
    case "error_event_after":
      return [head, ...start, errorEvent(fault), { kind: "end" }];
    case "cut_after":
      return [head, ...start, { kind: "cut" }];
    case "reset_after":
      return [head, ...start, { kind: "reset" }];
    case "end_after":
      return [head, ...start, { kind: "end" }];
    case "stall_after":
      return [head, ...start, { kind: "silence" }];
    case "malformed_after":
      return [
        head,
        ...start,
        { kind: "write", bytes: `data: {"choices":[{"index":0,"delta":{"content":oops\n\n` },
        ...events.slice(cut).map(write),
        { kind: "end" },
      ];
    case "half_event_then_cut":
      return [head, ...start, halfOf(events[cut]), { kind: "cut" }];
    case "short_content_length":
      return shortened(head, events, start);
    case "drip":
      return [
        head,
        ...events.map((event): Step => ({ kind: "drip", bytes: sse(event.data), msPerByte: fault.msPerByte ?? 1 })),
        { kind: "end" },
      ];
    case "hold_open_after_done":
      return [head, ...events.map(write), { kind: "wait", ms: fault.ms ?? 6000 }, { kind: "end" }];
    case "late_usage":
      return [
        head,
        ...events.flatMap((event): Step[] =>
          event.kind === "usage" ? [{ kind: "wait", ms: fault.ms ?? 200 }, write(event)] : [write(event)],
        ),
        { kind: "end" },
      ];
    case "comments":
      return [
        head,
        ...events.flatMap((event): Step[] => [{ kind: "write", bytes: ": ping\n\n" }, write(event)]),
        { kind: "end" },
      ];
    case "crlf":
      return [
        head,
        ...events.map(
          (event): Step => ({ kind: "write", bytes: `data:${event.data}\r\n\r\n`, paced: event.kind === "delta" }),
        ),
        { kind: "end" },
      ];
    case "invalid_utf8":
      return [
        head,
        ...events.map((event, index) => (index === 1 ? invalidUtf8(event) : write(event))),
        { kind: "end" },
      ];
    case "processing":
      return [{ kind: "processing" }, head, ...events.map(write), { kind: "end" }];
    default:
      return [head, ...events.map(write), { kind: "end" }];
  }
}

/** How many events come before the fault, as far as there are so many before the finish reason. */
function eventsBefore(fault: Fault): number {
  if (fault.kind === "short_content_length") return Infinity;
  return "events" in fault ? (fault.events ?? 3) : 3;
}

function contentType(fault: Fault): string {
  return fault.kind === "text_plain" ? "text/plain; charset=utf-8" : eventStream;
}

function sse(data: string): string {
  return `data: ${data}\n\n`;
}

function write(event: StreamEvent): Step {
  return { kind: "write", bytes: sse(event.data), paced: event.kind === "delta" };
}

function errorEvent(fault: Extract<Fault, { kind: "error_event_first" | "error_event_after" }>): Step {
  return { kind: "write", bytes: sse(openAiError(500, fault)) };
}

function halfOf(event: StreamEvent | undefined): Step {
  const text = sse(event?.data ?? "");
  return { kind: "write", bytes: text.slice(0, text.length / 2) };
}

/** A stream that promises its length, which only proxies do, and ends before its finish reason. */
function shortened(head: Extract<Step, { kind: "head" }>, events: StreamEvent[], start: Step[]): Step[] {
  const length = events.reduce((sum, { data }) => sum + Buffer.byteLength(sse(data)), 0);
  return [{ ...head, headers: { ...head.headers, "content-length": String(length) } }, ...start, { kind: "cut" }];
}

function invalidUtf8(event: StreamEvent): Step {
  return {
    kind: "write",
    bytes: Buffer.concat([Buffer.from("data: "), withInvalidUtf8(event.data), Buffer.from("\n\n")]),
  };
}
