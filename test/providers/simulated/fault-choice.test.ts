import { describe, expect, test } from "vitest";
import type { Fault } from "../../../src/providers/simulated/fault.ts";
import { json, saying, send, started } from "./client.ts";

describe("which fault is played", () => {
  test("is said by the field `simulate` before the model's name, and by that before the schedule", async () => {
    const provider = await started({ schedule: [{ kind: "status", status: 500 }] });
    const status = async (more: object) => (await send(provider, saying("hi", more))).status;
    expect(await status({})).toBe(500);
    expect(await status({ model: "m!429" })).toBe(429);
    expect(await status({ model: "m!429", simulate: 503 })).toBe(503);
    expect(await status({ simulate: { kind: "none" } })).toBe(200);
    expect(await status({ simulate: null })).toBe(500);
    expect(provider.seen.map(({ fault }) => fault)).toEqual([
      { kind: "status", status: 500 },
      { kind: "status", status: 429 },
      { kind: "status", status: 503 },
      { kind: "none" },
      { kind: "status", status: 500 },
    ]);
  });

  test("may be part of a model's name, which is answered without it", async () => {
    const provider = await started({ models: ["org/m:free"] });
    expect(json(await send(provider, saying("hi", { model: "org/m:free!late_usage:0" })))["model"]).toBe("org/m:free");
    expect((await send(provider, saying("hi", { model: "org/m:free!cut_after:2", stream: true }))).end).toBe("cut");
    expect(provider.seen.map(({ model }) => model)).toEqual(["org/m:free", "org/m:free"]);
  });

  test.for([
    { simulate: "nonsense" },
    { simulate: { kind: "html", events: 3 } },
    { simulate: [] },
    { model: "m!nonsense" },
    { model: "m!" },
  ])("is refused when it is none: %j", async (more) => {
    const received = await send(await started(), saying("hi", more));
    expect(received.status).toBe(400);
    expect(json(received)["error"]).toMatchObject({ type: "invalid_request_error", code: "unknown_fault" });
    expect(json(received)["error"]?.["message"]).toContain("reset_before_headers");
  });
});

describe("a schedule", () => {
  const busy: Fault = { kind: "status", status: 429 };
  const broken: Fault = { kind: "status", status: 500 };

  test("begins anew at its end, and when it is set", async () => {
    const provider = await started({ schedule: [busy, broken, { kind: "none" }] });
    const status = async (more = {}) => (await send(provider, saying("hi", more))).status;
    expect([await status(), await status(), await status(), await status()]).toEqual([429, 500, 200, 429]);
    // One that chooses for itself takes no place.
    expect([await status({ simulate: 418 }), await status()]).toEqual([418, 500]);
    provider.behave({ schedule: [broken, busy] });
    expect([await status(), await status()]).toEqual([500, 429]);
    provider.behave({ latencyMs: 1 });
    expect(await status()).toBe(500);
    provider.behave({ schedule: [] });
    expect(await status()).toBe(200);
  });

  test("may be a function of the request's number", async () => {
    const provider = await started({ schedule: (number) => (number % 2 === 0 ? busy : undefined) });
    const status = async () => (await send(provider, saying("hi"))).status;
    expect([await status(), await status(), await status()]).toEqual([200, 429, 200]);
  });

  test("is refused at once when it is wrong", async () => {
    const wrong: Fault = { kind: "status", status: 99 };
    await expect(started({ schedule: [wrong] })).rejects.toThrow(TypeError);
    const provider = await started();
    expect(() => provider.behave({ schedule: [wrong] })).toThrow(TypeError);
    expect(() => provider.behave({ modelsFault: wrong })).toThrow(TypeError);
    provider.behave({ schedule: () => wrong });
    expect((await send(provider, saying("hi"))).status).toBe(500);
  });
});
