import { describe, expect, test } from "vitest";
import type { Endpoint } from "../../src/routing/endpoint.ts";
import type { TrailWriter } from "../../src/routing/trail.ts";
import { Secret } from "../../src/runtime/secret.ts";
import { createFeed, type Feed } from "../../src/server/cli/live/feed.ts";
import { type LiveState, liveFrame } from "../../src/server/cli/live/frame.ts";
import { lineWidth, plain, textWidth } from "../../src/server/cli/live/line.ts";
import { pulseSeconds } from "../../src/server/cli/live/pulse.ts";
import { createScreen } from "../../src/server/cli/live/screen.ts";
import type { EndpointStanding } from "../../src/server/cli/live/standing.ts";
import { suitsLive } from "../../src/server/cli/live-view.ts";
import { createVirtualClock, type VirtualClock } from "../../src/simulation/virtual-clock.ts";
import { attempt as begun, trail as trailOf } from "../support/routing.ts";
import { createSeenScreen } from "../support/screen.ts";

const noon = Date.UTC(2026, 0, 1, 12);

function endpoint(provider: string, tier = 1, model = "small"): Endpoint {
  return {
    ...{ id: `${provider}/${model}`, provider, upstreamModel: model, tier, weight: 100, enabled: true, keys: [] },
    limits: { firstContentMs: 1000, totalMs: 1000 },
  };
}

function standing(provider: string, changes: Partial<EndpointStanding> = {}): EndpointStanding {
  return {
    ...{ id: `${provider}/small`, provider, tier: 1, breaker: "closed", openMs: undefined, inFlight: 0 },
    beats: Array.from({ length: pulseSeconds }, () => ({ served: 0, failed: 0 })),
    firstContentMs: undefined,
    keys: ["k1", "k2", "k3"].map((name) => ({ name, held: undefined })),
    ...changes,
  };
}

function stateOf(feed: Feed, changes: Partial<LiveState> = {}): LiveState {
  return {
    ...{ address: "http://127.0.0.1:8000", uptimeMs: 65_000, counts: feed.counts, items: feed.items },
    beats: feed.beats(pulseSeconds),
    endpoints: [standing("flaky"), standing("steady", { tier: 2 })],
    callers: undefined,
    footer: "Ctrl-C ends.",
    ...changes,
  };
}

function textOf(state: LiveState, clock: VirtualClock, width = 80, height = 24): string {
  return liveFrame(state, width, height, clock.wallTime()).map(plain).join("\n");
}

function watch() {
  const clock = createVirtualClock(noon);
  const feed = createFeed(clock);
  const key = (name: string) => ({ id: name, name, secret: new Secret(`sk-test-canary-${name}`) });
  const trail = (model = "demo") => trailOf(model);
  /** Begins an attempt, as the router does. */
  function attempt(of: TrailWriter, at: Endpoint, keyName = "k1", purpose?: "recovery" | "hedge") {
    const record = begun(of, at, { key: key(keyName), startTimeMs: clock.wallTime(), ...(purpose && { purpose }) });
    feed.observer.attemptStarted?.(of, record);
    return {
      commits() {
        record.firstContentMs = 1;
        feed.observer.committed?.(of, record);
      },
      ends(outcome: NonNullable<typeof record.outcome>, httpStatus?: number) {
        record.outcome = outcome;
        if (httpStatus !== undefined) record.httpStatus = httpStatus;
        feed.observer.attemptEnded?.(of, record);
      },
    };
  }
  return { clock, feed, trail, attempt };
}

describe("the live view tells a request's way", () => {
  test("as it happens: where it is asked, what came of that, and how long it took", async () => {
    const { clock, feed, trail, attempt } = watch();
    const way = trail();
    const first = attempt(way, endpoint("flaky"));
    await clock.advance(300);
    expect(textOf(stateOf(feed), clock)).toMatch(/▸ 12:00:00 {2}flaky#k1 … +0\.3 s/);
    first.ends("rate_limited", 429);
    const second = attempt(way, endpoint("steady", 2));
    second.commits();
    expect(textOf(stateOf(feed), clock)).toMatch(/▸ 12:00:00 {2}flaky#k1 429 → steady#k1 streams +0\.3 s/);
    await clock.advance(900);
    second.ends("ok", 200);
    await clock.advance(5000);
    expect(textOf(stateOf(feed), clock)).toMatch(/✓ 12:00:00 {2}flaky#k1 429 → steady#k1 200 +1\.2 s/);
  });

  test("marking the one that broke off and was gone on with", () => {
    const { clock, feed, trail, attempt } = watch();
    const way = trail();
    const broken = attempt(way, endpoint("flaky"));
    broken.commits();
    broken.ends("transient_fault", 200);
    expect(textOf(stateOf(feed), clock)).toMatch(/▸ .* flaky#k1 broke off/);
    const next = attempt(way, endpoint("steady", 2), "k2", "recovery");
    next.commits();
    next.ends("ok", 200);
    expect(textOf(stateOf(feed), clock)).toMatch(/↻ 12:00:00 {2}flaky#k1 broke off ↻ steady#k2 200/);
    expect(textOf(stateOf(feed), clock)).toMatch(/1 request .* 1 served {2}0 failed {2}1 went on ↻/);
  });

  test("to a bad end, which is not the same as its caller's leaving", () => {
    const { clock, feed, trail, attempt } = watch();
    const lost = trail();
    attempt(lost, endpoint("flaky")).ends("transient_fault");
    feed.observer.failed?.(lost);
    attempt(trail(), endpoint("steady", 2)).ends("caller_gone");
    const shown = textOf(stateOf(feed), clock);
    expect(shown).toMatch(/✗ 12:00:00 {2}flaky#k1 no answer/);
    expect(shown).toMatch(/– 12:00:00 {2}steady#k1 caller left/);
    expect(shown).toMatch(/2 requests .* 0 served {2}1 failed {2}1 left/);
  });

  test("with what was passed over, as long as there is room, and at last with its end only", () => {
    const { clock, feed, trail, attempt } = watch();
    const way = trail();
    feed.observer.skipped?.(way, { endpoint: "sleepy/small", reason: "breaker_open", at: 0, beforeAttempt: 1 });
    way.skip("sleepy/small", "breaker_open", 0);
    for (const key of ["k1", "k2", "k3"]) attempt(way, endpoint("flaky"), key).ends("rate_limited", 429);
    attempt(way, endpoint("steady", 2)).ends("ok", 200);
    const state = stateOf(feed, { endpoints: [standing("flaky"), standing("sleepy"), standing("steady")] });
    expect(textOf(state, clock, 100)).toContain(
      "(sleepy open) flaky#k1 429 → flaky#k2 429 → flaky#k3 429 → steady#k1 200",
    );
    expect(textOf(state, clock, 78)).toContain("12:00:00  flaky#k1 429 → flaky#k2 429 → flaky#k3 429 → steady#k1 200");
    expect(textOf(state, clock, 66)).toContain("12:00:00  flaky 429 → flaky 429 → flaky 429 → steady 200");
    expect(textOf(state, clock, 46)).toContain("… → flaky 429 → steady 200");
  });

  test("beside breakers that open and close, in the order in which things began", async () => {
    const { clock, feed, trail, attempt } = watch();
    attempt(trail(), endpoint("flaky")).ends("transient_fault", 500);
    await clock.advance(1000);
    feed.observer.breakerChanged?.("flaky/small", "open", clock.wallTime() + 2900);
    await clock.advance(3000);
    feed.observer.breakerChanged?.("flaky/small", "half_open", undefined);
    feed.observer.breakerChanged?.("flaky/small", "closed", undefined);
    expect(textOf(stateOf(feed), clock)).toMatch(
      /flaky#k1 500[\s\S]*● 12:00:01 {2}flaky breaker opens for 2\.9 s\n● 12:00:04 {2}flaky breaker lets one call through\n● 12:00:04 {2}flaky breaker closes/,
    );
  });
});

describe("the live view's table of endpoints", () => {
  const rowOf = (state: LiveState, clock: VirtualClock, name: string, width = 100) =>
    textOf(state, clock, width)
      .split("\n")
      .find((row) => row.includes(` ${name} `)) ?? "";

  test("counts open breakers and resting keys down", () => {
    const { clock, feed } = watch();
    const held = { reason: "rate_limited", leftMs: 2400 } as const;
    const keys = [
      { name: "k1", held: undefined },
      { name: "k2", held },
    ];
    const endpoints = [
      standing("east", { breaker: "open", openMs: 2001, keys }),
      standing("west", { breaker: "half_open", inFlight: 1 }),
    ];
    const state = stateOf(feed, { endpoints });
    expect(rowOf(state, clock, "east")).toMatch(/1 east {2,}open 3s .* k1 ✓ {2}k2 429 3s$/);
    expect(rowOf(state, clock, "west")).toMatch(/1 west {2,}half open +1 .* k1 ✓ {2}k2 ✓ {2}k3 ✓$/);
  });

  test("only counts the keys where they would not fit", () => {
    const { clock, feed } = watch();
    const keys = Array.from({ length: 40 }, (_, index) => ({
      name: `k${index}`,
      held: index < 3 ? ({ reason: "key_refused", leftMs: 600_000 - index } as const) : undefined,
    }));
    const state = stateOf(feed, { endpoints: [standing("east", { keys })] });
    expect(rowOf(state, clock, "east", 80)).toMatch(/37\/40 refused 10min$/);
  });

  test("shows calls of the last seconds as bars, the highest for the most, and tells how many failed", async () => {
    const { clock, feed, trail, attempt } = watch();
    for (const outcome of ["ok", "ok", "ok", "transient_fault"] as const)
      attempt(trail(), endpoint("east")).ends(outcome);
    await clock.advance(1000);
    attempt(trail(), endpoint("east")).ends("ok");
    await clock.advance(1000);
    const beats = feed.endpoints.get("east/small")?.pulse.beats(clock.now()) ?? [];
    const row = rowOf(stateOf(feed, { endpoints: [standing("east", { beats })] }), clock, "east");
    expect(row).toMatch(/ 1 .*·█▂· /);
  });

  test("keeps its columns where they are, whatever happens in them", () => {
    const { clock, feed } = watch();
    const calm = [standing("east"), standing("west")];
    const held = { reason: "rate_limited", leftMs: 119_000 } as const;
    const stormy = [
      standing("east", { breaker: "half_open", firstContentMs: 999, inFlight: 250 }),
      standing("west", {
        breaker: "open",
        openMs: 59_000,
        keys: calm[0]?.keys.map(({ name }) => ({ name, held })) ?? [],
      }),
    ];
    for (let width = 40; width < 130; width++) {
      const titles = [calm, stormy].map((endpoints) =>
        textOf(stateOf(feed, { endpoints }), clock, width)
          .split("\n")
          .find((row) => row.startsWith("endpoint")),
      );
      expect(titles[0]).toBe(titles[1]);
    }
  });

  test("names endpoints of one provider apart, and leaves the quiet ones out where there are too many", () => {
    const { clock, feed } = watch();
    const many = Array.from({ length: 30 }, (_, index) => standing(`p${index}`));
    const endpoints = [
      ...many,
      standing("pair"),
      { ...standing("pair", { breaker: "open" as const }), id: "pair/large" },
    ];
    const shown = textOf(stateOf(feed, { endpoints }), clock, 80, 16);
    expect(shown).toContain("pair/large");
    expect(shown).toMatch(/and \d+ more endpoints/);
  });
});

describe("the live view fits", () => {
  test("every terminal: no line is wider, and there are not more of them", async () => {
    const { clock, feed, trail, attempt } = watch();
    for (let index = 0; index < 60; index++) {
      const way = trail("模型".repeat(index % 5));
      attempt(way, endpoint(`p${index % 7}`), "key-with-a-long-name").ends("transient_fault", 500);
      if (index % 3 === 0) feed.observer.breakerChanged?.(`p${index % 7}/small`, "open", clock.wallTime() + 4000);
      if (index % 2 === 0) attempt(way, endpoint("漢字-👩‍👩‍👧-provider", 2)).ends("ok", 200);
      await clock.advance(100);
    }
    const names = ["flaky", "漢字-👩‍👩‍👧-provider", "a-provider-with-a-name-that-nobody-would-want-to-read"];
    const endpoints = names.map((name) => standing(name, { breaker: "open", openMs: 9000 }));
    for (const callers of [undefined, { served: 12_345, resumed: 1, failed: 2 }]) {
      const state = stateOf(feed, { endpoints, callers, footer: "What to do. ".repeat(20) });
      for (let width = 1; width <= 140; width += 9) {
        for (let height = 1; height <= 50; height += 3) {
          const lines = liveFrame(state, width, height, clock.wallTime());
          expect(lines.length).toBe(height);
          for (const each of lines) expect(lineWidth(each)).toBeLessThanOrEqual(width);
        }
      }
    }
  });

  test("and hands no name on that a terminal would obey", () => {
    const { clock, feed, trail, attempt } = watch();
    const evil = endpoint("evil", 1, "\x1b]0;owned\x07\x1b[2J\u202e\n");
    attempt(trail(), evil, "\x1b[31m").ends("ok");
    feed.observer.breakerChanged?.(evil.id, "open", undefined);
    const endpoints = [
      { ...standing("evil"), id: evil.id },
      { ...standing("evil"), id: "evil/other" },
    ];
    for (const shown of [textOf(stateOf(feed), clock), textOf(stateOf(feed, { endpoints }), clock)]) {
      expect(shown).toContain("evil");
      expect(shown.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      expect(shown.split("\n")).toHaveLength(24);
    }
  });

  test("measuring texts as terminals do", () => {
    const widths = { plain: 5, "✓ → ↻": 5, 模型: 4, é: 1, "👩‍👩‍👧": 2, "▃▆·": 3, 한글: 4, ＡＢ: 4, "…": 1 };
    for (const [text, width] of Object.entries(widths)) expect([text, textWidth(text)]).toEqual([text, width]);
  });
});

describe("the screen below which a view is drawn", () => {
  function terminal(columns = 20, rows = 6) {
    const seen = createSeenScreen(columns, rows);
    let written = 0;
    const screen = createScreen({
      write(text) {
        written += text.length;
        seen.write(text);
        return true;
      },
    });
    return { seen, screen, written: () => written };
  }

  test("redraws in place, below what was there before", () => {
    const { seen, screen } = terminal();
    seen.write("before\r\n");
    screen.draw(["one", "two", "three"]);
    screen.draw(["one", "2", "three"]);
    expect(seen.rows()).toEqual(["before", "one", "2", "three", "", ""]);
    screen.draw(["one"]);
    expect(seen.rows()).toEqual(["before", "one", "", "", "", ""]);
    screen.draw(["one", "two", "three", "four", "five", "six"]);
    expect(seen.rows()).toEqual(["one", "two", "three", "four", "five", "six"]);
    expect(seen.scrolledOff).toEqual(["before"]);
  });

  test("writes nothing when nothing has changed, and only the lines that have", () => {
    const { screen, written } = terminal();
    screen.draw(["one", "x".repeat(500), "three"]);
    const first = written();
    screen.draw(["one", "x".repeat(500), "three"]);
    expect(written()).toBe(first);
    screen.draw(["one", "x".repeat(500), "drei"]);
    expect(written() - first).toBeLessThan(100);
  });

  test("makes room for what else is printed, and leaves the terminal as it was", () => {
    const { seen, screen } = terminal();
    screen.draw(["one", "two"]);
    screen.erase();
    seen.write("a notice\r\n");
    screen.draw(["one", "two"]);
    expect(seen.rows()).toEqual(["a notice", "one", "two", "", "", ""]);
    screen.leave();
    seen.write("$ ");
    expect(seen.rows()).toEqual(["a notice", "one", "two", "$", "", ""]);
    expect([seen.cursorVisible, seen.wraps]).toEqual([true, true]);
  });
});

test("a view suits whoever looks at a terminal that can show it", () => {
  expect(suitsLive({ isTTY: true }, { TERM: "xterm-256color" })).toBe(true);
  expect(suitsLive({}, { TERM: "xterm" })).toBe(false);
  for (const env of [{ TERM: "dumb" }, { CI: "true" }, { NO_COLOR: "1" }])
    expect(suitsLive({ isTTY: true }, env)).toBe(false);
});
