import type { Fault } from "./fault.ts";
import type { JsonObject } from "./json.ts";
import { faultKinds, parseFault } from "./parse-fault.ts";
import { Refusal } from "./refusal.ts";

/** The fault a request asks for, and the model without it. */
export interface Choice {
  /** Undefined when the request asks for none. */
  fault: Fault | undefined;
  /** Undefined when no model is named. */
  model: string | undefined;
}

/**
 * Reads which fault a request asks for: its field `simulate`, or else what follows the last `!` of its model's name.
 * @throws Refusal when there is no such fault
 */
export function chooseFault(body: JsonObject): Choice {
  const name = body["model"];
  const asked: unknown = body["simulate"] ?? undefined;
  const mark = typeof name === "string" ? name.lastIndexOf("!") : -1;
  const model = typeof name !== "string" ? undefined : mark < 0 ? name : name.slice(0, mark);
  if (asked !== undefined) return { fault: known(asked, "simulate"), model };
  if (typeof name === "string" && mark >= 0) return { fault: known(name.slice(mark + 1), "model"), model };
  return { fault: undefined, model };
}

function known(value: unknown, param: string): Fault {
  const fault = parseFault(value);
  if (fault) return fault;
  const shown = JSON.stringify(value).slice(0, 200);
  throw new Refusal(
    400,
    `Unknown fault ${shown}, or a parameter that it does not take. Faults: a status such as 429, or ${faultKinds.join(", ")}.`,
    {
      param,
      code: "unknown_fault",
    },
  );
}
