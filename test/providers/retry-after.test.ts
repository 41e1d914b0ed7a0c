import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { retryAfterMs } from "../../src/providers/retry-after.ts";

const date = "Sun, 01 Nov 2026 08:00:00 GMT";

describe("how long to wait, as headers say it", () => {
  test.each<[Record<string, string | string[]>, number | undefined]>([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "1.5" }, 1500],
    [{ "retry-after": "0" }, 0],
    [{ "retry-after": "20", "retry-after-ms": "300" }, 300],
    [{ "retry-after-ms": "300" }, 300],
    [{ "retry-after-ms": "soon", "retry-after": "9" }, 9000],
    [{ "retry-after": ["3", "9"] }, 3000],
    [{ "retry-after": "-1", date }, undefined],
    [{ "retry-after": "1e9", date }, undefined],
    [{ "retry-after": "1000000000" }, undefined],
    [{ "retry-after": "soon", date }, undefined],
    [{ "retry-after": "" }, undefined],
    [{ "retry-after": "NaN" }, undefined],
    [{ "retry-after": "Sun, 01 Nov 2026 08:00:30 GMT", date }, 30_000],
    [{ "retry-after": "Sun, 01 Nov 2026 07:59:30 GMT", date }, undefined],
    [{ "retry-after": "Wed, 01 Nov 2028 08:00:00 GMT", date }, undefined],
    [{ "retry-after": "Sun, 01 Nov 2026 08:00:30 GMT" }, undefined],
    [{}, undefined],
  ])("%o means %s ms", (headers, ms) => {
    expect(retryAfterMs(headers)).toBe(ms);
  });

  test("is never an error, less than nothing or more than a day, whatever they say", () => {
    const said = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.integer().map(String),
      fc.date({ noInvalidDate: true }).map((moment) => moment.toUTCString()),
      fc.constantFrom("Sun", "Infinity", "0x10", "1e400", "9".repeat(400)),
    );
    const headers = fc.record({ "retry-after": said, "retry-after-ms": said, date: said }, { requiredKeys: [] });
    fc.assert(
      fc.property(headers, (fields) => {
        const ms = retryAfterMs(fields);
        if (ms === undefined) return;
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(24 * 60 * 60_000);
      }),
      { numRuns: 1000 },
    );
  });
});
