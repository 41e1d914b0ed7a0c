import { openAiError, page } from "./error-body.ts";
import type { Fault } from "./fault.ts";
import type { Step } from "./step.ts";
import { bodySteps, errorSteps } from "./step.ts";

/**
 * What a fault does when no answer is needed for it.
 * @returns undefined when the fault is one of an answer
 */
export function faultSteps(fault: Fault, stream: boolean): Step[] | undefined {
  switch (fault.kind) {
    case "status":
      return statusSteps(fault);
    case "reset_before_headers":
      return [{ kind: "reset" }];
    case "close_before_headers":
      return [{ kind: "cut" }];
    case "silence":
      return [{ kind: "silence" }];
    case "headers_then_silence":
      return [
        { kind: "head", status: 200, headers: { "content-type": stream ? eventStream : "application/json" } },
        { kind: "silence" },
      ];
    case "redirect":
      return bodySteps(302, "text/plain", "Found", {
        location: fault.location ?? "https://elsewhere.invalid/v1/chat/completions",
      });
    case "wrong_path":
      return bodySteps(404, "text/plain; charset=utf-8", "404 page not found\n");
    case "html":
      return bodySteps(200, "text/html; charset=utf-8", page("Welcome"));
    case "not_json":
      return bodySteps(200, "application/json", "upstream said: {oops");
    case "empty":
      return bodySteps(200, "application/json", "");
    case "empty_stream":
      return stream
        ? [{ kind: "head", status: 200, headers: { "content-type": eventStream } }, { kind: "end" }]
        : bodySteps(200, "application/json", "");
    case "json_error_in_200":
      return bodySteps(200, "application/json", openAiError(500, fault));
    case "error_event_first":
    case "error_event_after":
      // A unary answer has no events; its error comes as its body.
      return stream ? undefined : bodySteps(200, "application/json", openAiError(500, fault));
    default:
      return undefined;
  }
}

/** The media type of event streams, as most servers write it. */
export const eventStream = "text/event-stream; charset=utf-8";

function statusSteps(fault: Extract<Fault, { kind: "status" }>): Step[] {
  const headers = lowerCase(fault.headers ?? {});
  // These two have no body.
  if (fault.status === 204 || fault.status === 304)
    return [{ kind: "head", status: fault.status, headers }, { kind: "end" }];
  return errorSteps(fault.status, fault.shape ?? "openai", fault, headers);
}

/** One header never goes out twice because of its case. */
function lowerCase(headers: { readonly [name: string]: string }): { [name: string]: string } {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
