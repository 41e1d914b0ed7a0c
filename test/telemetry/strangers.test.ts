import { expect, test } from "vitest";
import { startGateway, startProviders } from "../support/gateway.ts";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";

const key = "sk-test-canary-team-5e8f";
const given = (digit: string) => `00-${digit.repeat(32)}-${"b".repeat(16)}-01`;

test("a sender's flag counts once it is let in, and a key that it repeats elsewhere is not written down", async () => {
  const receiver = await startOtlpReceiver();
  try {
    const { only } = await startProviders({ only: {} });
    const { address } = await startGateway(
      {
        auth: { callers: [{ name: "team", key }] },
        providers: [{ name: "only", base_url: only.baseUrl, models: ["m"] }],
        telemetry: { otlp: { endpoint: receiver.httpEndpoint, metrics: false }, sample_ratio: 0 },
      },
      { only },
    );
    const ask = (path: string, headers: Record<string, string>) => fetch(address + path, { headers });
    expect((await ask("/v1/models", { traceparent: given("1") })).status).toBe(401);
    const known = { authorization: `Bearer ${key}`, traceparent: given("2"), tracestate: `vendor=${key}` };
    expect((await ask(`/v1/models/${key}`, known)).status).toBe(404);
    await receiver.waitForTrace("2".repeat(32));
    // Both were over before anything was sent.
    expect(receiver.spans.map(({ traceId }) => traceId)).toEqual(["2".repeat(32)]);
    const text = JSON.stringify(receiver.spans, (_, value) => (typeof value === "bigint" ? String(value) : value));
    expect(text).toContain("/v1/models/[key]");
    expect(text).not.toContain(key);
  } finally {
    await receiver.close();
  }
});
