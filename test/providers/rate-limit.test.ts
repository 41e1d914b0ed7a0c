import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { remainingReset } from "../../src/providers/rate-limit.ts";

const date = "Sun, 01 Nov 2026 08:00:00 GMT";
const sentAt = Date.parse(date);
const requests = (reset: string, more: Record<string, string> = {}) => ({
  "x-ratelimit-remaining-requests": "0",
  "x-ratelimit-reset-requests": reset,
  ...more,
});

describe("how long until a provider takes requests again", () => {
  test.each<[string, Record<string, string>, number | undefined]>([
    ["a second", requests("1s"), 1000],
    ["a fraction", requests("7.66s"), 7660],
    ["milliseconds", requests("120ms"), 120],
    ["several units", requests("1m3.5s"), 63_500],
    ["many units, at most five minutes", requests("1h2m3.5s"), 300_000],
    ["exactly five minutes less a second", requests("4m59s"), 299_000],
    ["plain seconds", requests("12"), 12_000],
    ["a fraction of plain seconds", requests("0.25"), 250],
    ["at once", requests("0s"), 0],
    ["a moment in seconds", requests(String(sentAt / 1000 + 20), { date }), 20_000],
    ["a moment in milliseconds", requests(String(sentAt + 1500), { date }), 1500],
    ["a moment that has passed", requests(String(sentAt / 1000 - 9), { date }), 0],
    ["a moment, but nobody says what time it is", requests(String(sentAt / 1000 + 20)), undefined],
    ["an ISO stamp", requests("2026-11-01T08:00:42Z", { date }), 42_000],
    ["an ISO stamp, but nobody says what time it is", requests("2026-11-01T08:00:42Z"), undefined],
    ["tokens", { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3s" }, 3000],
    ["whatever is counted", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "3" }, 3000],
    [
      "the one that takes longest of two that are exhausted",
      { ...requests("2s"), "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3s" },
      3000,
    ],
    [
      "only the one that is exhausted",
      { ...requests("2s"), "x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "30s" },
      2000,
    ],
    ["something left", { "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1s" }, undefined],
    ["no limit: -1", { "x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "1s" }, undefined],
    ["no reset", { "x-ratelimit-remaining-requests": "0" }, undefined],
    ["nonsense", requests("soon"), undefined],
    ["less than nothing", requests("-5"), undefined],
    ["half a duration", requests("5s3"), undefined],
    ["nothing at all", {}, undefined],
  ])("%s", (_, headers, ms) => {
    expect(remainingReset(headers)).toBe(ms);
  });

  test("is never an error, less than nothing or more than five minutes, whatever they say", () => {
    const said = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.nat().map(String),
      fc.bigInt({ min: 0n, max: 10n ** 20n }).map(String),
      fc.stringMatching(/^(\d{1,400}(\.\d+)?(ms|s|m|h|d))+$/),
      fc.date({ noInvalidDate: true }).map((moment) => moment.toISOString()),
    );
    const headers = fc.record(
      {
        "x-ratelimit-remaining": fc.oneof(fc.constant("0"), said),
        "x-ratelimit-reset": said,
        "x-ratelimit-remaining-tokens": fc.oneof(fc.constant("0"), said),
        "x-ratelimit-reset-tokens": said,
        date: fc.oneof(fc.constant(date), said),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(headers, (fields) => {
        const ms = remainingReset(fields);
        if (ms === undefined) return;
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(300_000);
      }),
      { numRuns: 1000 },
    );
  });
});
