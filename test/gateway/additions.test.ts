import { describe, expect, test } from "vitest";
import { FaultError } from "../../src/chat/fault.ts";
import { createAdditionMemory, createAdditions } from "../../src/gateway/additions.ts";
import { createVirtualClock } from "../../src/simulation/virtual-clock.ts";
import { testTarget } from "../providers/target.ts";

const request = { path: "/chat/completions", headers: {}, mode: "stream", altered: true } as const;
const refused = new FaultError({ kind: "refused_request" });

describe("what the gateway asks for by itself", () => {
  test("is left out of the second try of an endpoint that refused it, and of later calls if that was served", async () => {
    const clock = createVirtualClock();
    const memory = createAdditionMemory(clock);
    const target = testTarget();
    const first = createAdditions(memory);
    expect(first.for(target)).toEqual({ usage: true, prefill: true });
    expect(first.blamed(target, request, refused).fault.kind).toBe("addition_refused");
    expect(first.for(target)).toMatchObject({ usage: false });
    // Not served yet: another call finds out by itself.
    expect(createAdditions(memory).for(target)).toEqual({ usage: true, prefill: true });
    first.succeeded(target);
    expect(createAdditions(memory).for(target)).toMatchObject({ usage: false });
    await clock.advance(6 * 3_600_000);
    expect(createAdditions(memory).for(target)).toEqual({ usage: true, prefill: true });
  });

  test("is not to blame for a refusal of a request that holds nothing of it, nor for any other failure", () => {
    const additions = createAdditions(createAdditionMemory(createVirtualClock()));
    const target = testTarget();
    const plain = { ...request, altered: false };
    expect(additions.blamed(target, plain, refused).fault.kind).toBe("refused_request");
    expect(additions.blamed(target, request, new FaultError({ kind: "server_error" })).fault.kind).toBe("server_error");
    expect(additions.for(target)).toEqual({ usage: true, prefill: true });
  });

  test("a text to go on with that is refused is what is remembered, whatever else the request asked for", () => {
    const memory = createAdditionMemory(createVirtualClock());
    const target = testTarget();
    const call = createAdditions(memory);
    const prefilled = { ...request, prefilled: true };
    expect(call.blamed(target, prefilled, refused).fault.kind).toBe("addition_refused");
    expect(call.for(target)).toEqual({ usage: false, prefill: false });
    call.succeeded(target);
    expect(createAdditions(memory).for(target)).toEqual({ usage: true, prefill: false });
  });

  test("is looked for before configured parameters are, which may be to blame for what is refused without it", () => {
    const additions = createAdditions(createAdditionMemory(createVirtualClock()));
    const target = testTarget();
    const both = { ...request, configured: true };
    expect(additions.blamed(target, both, refused).fault.kind).toBe("addition_refused");
    const without = { ...both, altered: false };
    expect(additions.blamed(target, without, refused).fault).toEqual({ kind: "refused_request", configured: true });
    const tooLong = new FaultError({ kind: "context_length_exceeded" });
    expect(additions.blamed(target, without, tooLong)).toBe(tooLong);
  });
});
