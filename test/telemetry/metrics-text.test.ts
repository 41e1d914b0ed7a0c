import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MetricFamily } from "../../src/telemetry/metrics/family.ts";
import { callSeconds, Histogram } from "../../src/telemetry/metrics/histogram.ts";
import { prometheusName, prometheusText } from "../../src/telemetry/metrics/prometheus-text.ts";
import { parseFigures } from "../support/prometheus.ts";
import { hasPromtool, promtool } from "../support/promtool.ts";

const gauge = { name: "everhop.some", help: "Some.", unit: "1", type: "gauge" } as const;
const seconds = { name: "everhop.took", help: "Took.", unit: "s", type: "histogram" } as const;

/** As Prometheus reads it. */
const read = (...families: MetricFamily[]) => parseFigures(prometheusText(families));

describe("figures in Prometheus' format", () => {
  test.each([
    [{ name: "everhop.requests", unit: "{request}", type: "counter" }, "everhop_requests_total"],
    [{ name: "everhop.request.duration", unit: "s", type: "histogram" }, "everhop_request_duration_seconds"],
    [{ name: "process.cpu", unit: "s", type: "counter" }, "process_cpu_seconds_total"],
    [{ name: "process.resident_memory", unit: "By", type: "gauge" }, "process_resident_memory_bytes"],
    [{ name: "everhop.breaker.state", unit: "1", type: "gauge" }, "everhop_breaker_state"],
  ] as const)("have the name that a collector makes of OpenTelemetry's: %j", (definition, name) => {
    expect(prometheusName(definition)).toBe(name);
  });

  test("hold whatever text a label has", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const { samples } = read({ ...gauge, points: [{ labels: { "a.b": text }, value: 1 }] });
        expect(samples).toEqual([{ name: "everhop_some", labels: { a_b: text }, value: 1 }]);
      }),
    );
  });

  test("hold whatever number there is", () => {
    const values = [0, -1, 0.1, 1e21, 5e-324, 2 ** 53, Number.NaN, Infinity, -Infinity];
    const { samples } = read({ ...gauge, points: values.map((value, index) => ({ labels: { index }, value })) });
    expect(samples.map(({ value }) => value)).toEqual(values);
  });

  test("count a histogram's values up to each bound, inclusive, and all of them in the last bucket", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.double({ min: 0, max: 200, noNaN: true }), fc.constantFrom(...callSeconds))),
        (values) => {
          const histogram = new Histogram(callSeconds);
          for (const value of values) histogram.add(value);
          const figures = read({ ...seconds, points: [histogram.point({ of: "it" })] });
          for (const bound of [...callSeconds, Infinity]) {
            const le = bound === Infinity ? "+Inf" : String(bound);
            const expected = values.filter((value) => value <= bound).length;
            expect(figures.sum("everhop_took_seconds_bucket", { of: "it", le })).toBe(expected);
          }
          expect(figures.sum("everhop_took_seconds_count")).toBe(values.length);
          expect(figures.sum("everhop_took_seconds_sum")).toBeCloseTo(
            values.reduce((sum, value) => sum + value, 0),
            6,
          );
        },
      ),
    );
  });

  test("are what they were when they were collected, whatever is counted meanwhile", () => {
    const histogram = new Histogram(callSeconds);
    const point = histogram.point({});
    histogram.add(1);
    expect([point.count, point.sum, Math.max(...point.counts)]).toEqual([0, 0, 0]);
  });

  test.skipIf(!hasPromtool)("are what Prometheus' own judge takes", () => {
    const histogram = new Histogram(callSeconds);
    histogram.add(3);
    const text = prometheusText([
      {
        ...gauge,
        help: 'A "line"\nand a back\\slash.',
        points: [{ labels: { label: 'a "b"\n\\' }, value: Number.NaN }],
      },
      { ...seconds, points: [histogram.point({}), histogram.point({ of: "it" })] },
    ]);
    expect(promtool(["check", "metrics"], text)).toEqual({ code: 0, said: "" });
    // It is a judge: it finds what is wrong.
    expect(promtool(["check", "metrics"], text.replace('"it"', "it")).code).not.toBe(0);
  });
});
