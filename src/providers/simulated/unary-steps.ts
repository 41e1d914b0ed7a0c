import { edited, rubbishUsage, withInvalidUtf8 } from "./edited-json.ts";
import type { Fault } from "./fault.ts";
import type { Headers, Step } from "./step.ts";
import { bodySteps } from "./step.ts";

const json = "application/json";

/** How a unary answer goes out, with the fault in it. A fault that only a stream can have leaves the answer whole. */
export function unarySteps(body: string, fault: Fault, headers: Headers): Step[] {
  const length = Buffer.byteLength(body);
  const half = body.slice(0, body.length / 2);
  const head = (more: Headers): Step => ({
    kind: "head",
    status: 200,
    headers: { "content-type": json, ...more, ...headers },
  });
  const promised = head({ "content-length": String(length) });
  switch (fault.kind) {
    case "cut_after":
    case "half_event_then_cut":
      return [promised, { kind: "write", bytes: half }, { kind: "cut" }];
    case "reset_after":
      return [promised, { kind: "write", bytes: half }, { kind: "reset" }];
    case "stall_after":
      return [promised, { kind: "write", bytes: half }, { kind: "silence" }];
    case "end_after":
      return bodySteps(200, json, half, headers);
    case "malformed_after":
      // Line breaks, as even inside of a text those are not JSON.
      return bodySteps(200, json, `${half}\n<<not json>>\n${body.slice(half.length)}`, headers);
    case "short_content_length":
      return [head({ "content-length": String(length + 64) }), { kind: "write", bytes: body }, { kind: "cut" }];
    case "drip":
      return [promised, { kind: "drip", bytes: body, msPerByte: fault.msPerByte ?? 1 }, { kind: "end" }];
    case "hold_open_after_done":
      // Without a length, as otherwise the client knows that it has it all.
      return [head({}), { kind: "write", bytes: body }, { kind: "wait", ms: fault.ms ?? 6000 }, { kind: "end" }];
    case "rubbish_usage":
      return bodySteps(200, json, edited(body, { usage: rubbishUsage }), headers);
    case "long_line":
      return bodySteps(200, json, edited(body, { padding: "x".repeat(fault.bytes ?? 2 ** 21) }), headers);
    case "invalid_utf8":
      return [head({}), { kind: "write", bytes: withInvalidUtf8(body) }, { kind: "end" }];
    case "processing":
      return [{ kind: "processing" }, ...bodySteps(200, json, body, headers)];
    default:
      return [promised, { kind: "write", bytes: body }, { kind: "end" }];
  }
}
