import { createTraceState, type SpanContext } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import {
  byGrpc,
  byHttp,
  linkedSpan,
  sampleInstant,
  sampleResource,
  sampleTree,
  traceExporters,
  writeSampleTrace,
} from "../../support/sample-trace.ts";
import { hasJaeger, startJaeger } from "./jaeger.ts";
import { asJaegerKeeps, spansOf, treeOfJaeger, warningsOf } from "./jaeger-spans.ts";

const spanCount = 6;
/** Jaeger looks for traces of the last two days. */
const second = Math.floor(Date.now() / 1000) - 60;

describe.skipIf(!hasJaeger)("Jaeger", () => {
  describe.each(traceExporters)("given spans by $name,", (exporter) => {
    test("shows the tree of them as it was written", async () => {
      const jaeger = await startJaeger();
      const { traceId } = await writeSampleTrace(exporter.create(jaeger), second);
      const trace = await jaeger.trace(traceId, spanCount);
      expect(treeOfJaeger(trace)).toEqual(asJaegerKeeps(sampleTree));
      expect(warningsOf(trace)).toEqual([]);
    });

    test("shows whose they are and when they were, to the microsecond", async () => {
      const jaeger = await startJaeger();
      const { traceId, rootId } = await writeSampleTrace(exporter.create(jaeger), second);
      const spans = spansOf(await jaeger.trace(traceId, spanCount));
      for (const span of spans) {
        expect(span).toMatchObject({
          traceId,
          resource: sampleResource,
          scope: { name: "sample-tracer", version: "1.2.3" },
        });
      }
      const [, nanos] = sampleInstant(second, 0);
      const began = BigInt(second) * 1_000_000_000n + BigInt(nanos - (nanos % 1000));
      expect(spans.find(({ spanId }) => spanId === rootId)).toMatchObject({
        parentSpanId: "",
        startNanos: began,
        endNanos: began + 13_000_000n,
      });
    });
  });

  test("keeps the parent in another program, its state, and an identifier that begins with zeros", async () => {
    const jaeger = await startJaeger();
    const parent: SpanContext = {
      ...linkedSpan,
      traceId: "000000000000000000f067aa0ba902b7",
      traceState: createTraceState("vendor=opaque"),
    };
    await writeSampleTrace(byGrpc.create(jaeger), second, parent);
    const trace = await jaeger.trace(parent.traceId, spanCount);
    expect(treeOfJaeger(trace)).toEqual(asJaegerKeeps(sampleTree));
    expect(spansOf(trace).find(({ name }) => name === sampleTree.name)).toMatchObject({
      traceId: parent.traceId,
      parentSpanId: parent.spanId,
      traceState: "vendor=opaque",
    });
  });

  test("finds a trace by its service, the names of its spans and their attributes, and no other", async () => {
    const jaeger = await startJaeger();
    const first = await writeSampleTrace(byHttp.create(jaeger), second);
    const last = await writeSampleTrace(byGrpc.create(jaeger), second + 1);
    await Promise.all([first, last].map(({ traceId }) => jaeger.trace(traceId, spanCount)));
    const service = "sample";
    const found = async (query: Omit<Parameters<typeof jaeger.find>[0], "service">) =>
      (await jaeger.find({ service, ...query })).map(({ traceID }) => traceID);
    expect((await found({})).toSorted()).toEqual([first.traceId, last.traceId].toSorted());
    expect(await found({ limit: 1 })).toEqual([last.traceId]);
    expect(await found({ operation: "wait" })).toHaveLength(2);
    expect(await found({ operation: "wait", minDuration: "2ms" })).toEqual([]);
    expect(await found({ tags: { "sample.whole": "42", "sample.yes": "true" } })).toHaveLength(2);
    expect(await found({ tags: { "error.type": "429", error: "true" } })).toHaveLength(2);
    expect(await found({ tags: { "sample.whole": "43" } })).toEqual([]);
    expect(await jaeger.find({ service: "nobody" })).toEqual([]);
  });

  test("complains of a parent that it does not have", async () => {
    const jaeger = await startJaeger();
    await writeSampleTrace(byHttp.create(jaeger), second, linkedSpan);
    const warnings = warningsOf(await jaeger.trace(linkedSpan.traceId, spanCount));
    expect(warnings).toEqual([expect.stringMatching(`^POST /sample: .*${linkedSpan.spanId}`)]);
  });

  test("is gone once it is closed", async () => {
    const jaeger = await startJaeger();
    expect((await fetch(jaeger.queryAddress)).status).toBe(200);
    await jaeger.close();
    await expect(fetch(jaeger.queryAddress)).rejects.toThrow("fetch failed");
  });
});
