import { describe, expect, test } from "vitest";
import { faultKinds, parseFault } from "../../../src/providers/simulated/parse-fault.ts";

describe("a fault is read", () => {
  test.for([
    [429, { kind: "status", status: 429 }],
    ["429", { kind: "status", status: 429 }],
    ["status:503", { kind: "status", status: 503 }],
    ["html", { kind: "html" }],
    ["cut_after:5", { kind: "cut_after", events: 5 }],
    ["drip:20", { kind: "drip", msPerByte: 20 }],
    ["late_usage:20", { kind: "late_usage", ms: 20 }],
    ["hold_open_after_done:0", { kind: "hold_open_after_done", ms: 0 }],
    ["long_line:10", { kind: "long_line", bytes: 10 }],
    ["none:300", { kind: "none", delayMs: 300 }],
    [{ kind: "status", status: 529, shape: "detail", headers: { "retry-after": "1" }, code: 9 }, undefined],
    [{ kind: "error_event_after", events: 0, message: "no", delayMs: 5, tokensPerSecond: 0.5 }, undefined],
  ] as const)("from %j", ([value, fault]) => {
    expect(parseFault(value)).toEqual(fault ?? value);
  });

  test("from every name but that of status, which needs a number", () => {
    for (const kind of faultKinds) expect(parseFault(kind)).toEqual(kind === "status" ? undefined : { kind });
  });
});

describe("no fault is read", () => {
  test.for([
    undefined,
    null,
    true,
    [],
    {},
    "",
    "nonsense",
    "constructor",
    "__proto__",
    "html:5",
    "cut_after:",
    "cut_after:-1",
    "cut_after:x",
    "status",
    "42",
    "4290",
    99,
    103,
    1000,
    429.5,
    Number.NaN,
    { kind: "nonsense" },
    { kind: ["html"] },
    { kind: "constructor" },
    { kind: "status" },
    { kind: "status", status: "429" },
    { kind: "status", status: 429, shape: "xml" },
    { kind: "status", status: 429, headers: { "retry-after": 5 } },
    { kind: "status", status: 429, headers: { "bad name": "x" } },
    { kind: "status", status: 429, headers: { x: "a\r\nb" } },
    { kind: "redirect", location: "a\nb" },
    { kind: "cut_after", events: 1.5 },
    { kind: "cut_after", evnets: 1 },
    { kind: "none", tokensPerSecond: 0 },
    { kind: "none", delayMs: -1 },
    { kind: "long_line", bytes: 1e12 },
  ])("from %j", (value) => {
    expect(parseFault(value)).toBeUndefined();
  });
});
