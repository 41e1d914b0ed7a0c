import { describe, expect, test } from "vitest";
import { startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";
import { textWidth } from "../../src/server/cli/live/line.ts";
import { configFile, start } from "../support/program.ts";
import { canWatch, watchProgram } from "../support/terminal.ts";

const ctrlC = "\x03";
const sizes = [
  { columns: 80, rows: 24 },
  { columns: 60, rows: 20 },
  { columns: 120, rows: 40 },
];

describe.skipIf(!canWatch)("the demo at a terminal", () => {
  test.each(sizes)(
    "of $columns × $rows shows hops, keys and calls, and leaves the terminal as it was",
    async (size) => {
      const demo = watchProgram(size, ["demo", "--port", "0", "--traffic", "3"]);
      await demo.shows(/Everhop {2}http:\/\/127\.0\.0\.1:\d+ +up 0:\d\d\n\d+ requests? /);
      await demo.shows(/✓ \d\d:\d\d:\d\d {2}flaky\S* 429 → .*200 +[\d.]+ m?s\n/);
      await demo.shows(/▸ \d\d:\d\d:\d\d {2}.*(streams|…) +\d\.\d s\n/);
      await demo.shows(/1 flaky +\S.* 429 \d+s/);
      await demo.shows(/2 steady +closed .* k1 ✓ {2}k2 ✓/);
      await demo.shows(/Ctrl-C ends\. /);
      // Nothing has wrapped or stands where it should not: each row of the view begins with what a row of it begins with.
      const rows = demo.screen.rows();
      const view = rows.slice(rows.findIndex((row) => row.startsWith("Everhop  ")));
      for (const row of view)
        expect(row).toMatch(/^($|Everhop {2}|\d+ requests? |endpoint|[12] \w|[✓▸↻✗●] \d\d:|Ctrl-C ends)/);
      for (const row of rows) expect(textWidth(row)).toBeLessThanOrEqual(size.columns);
      demo.press(ctrlC);
      expect(await demo.exited).toBe(0);
      expect(
        demo.screen
          .rows()
          .filter((row) => row !== "")
          .slice(-2),
      ).toEqual([
        expect.stringMatching(
          /^Callers: \d+ served \(\d+ of them gone on with after a break\), 0 not served\.$|not served\.$/,
        ),
        "Stopped.",
      ]);
      expect([demo.screen.cursorVisible, demo.screen.wraps]).toEqual([true, true]);
    },
  );

  test("prints its commands once, above the view, where they can be scrolled to", async () => {
    const demo = watchProgram({ columns: 80, rows: 24 }, ["demo", "--port", "0"]);
    await demo.shows(/No request has come yet/);
    const seen = [...demo.screen.scrolledOff, ...demo.screen.rows()].join("");
    expect(seen.match(/Paste into another terminal/g)).toHaveLength(1);
    for (const program of ["npx everhop chat", "curl -si", "curl -sN", "node --input-type=module", "npx buf curl"]) {
      expect(seen).toContain(program);
    }
  });

  test("draws itself anew when the terminal gets another size, with the commands where there is room for them", async () => {
    const demo = watchProgram({ columns: 80, rows: 24 }, ["demo", "--port", "0", "--traffic", "4"]);
    await demo.shows(/✓ /);
    demo.resize(60, 14);
    await demo.shows(/^Everhop {2}http.*\n\d+ requests? [\s\S]*✓ /);
    for (const row of demo.screen.rows()) expect(textWidth(row)).toBeLessThanOrEqual(60);
    demo.resize(130, 50);
    await demo.shows(/Paste into another terminal[\s\S]*npx everhop chat[\s\S]*\nEverhop {2}http[\s\S]*✓ /);
    expect(
      demo.screen
        .rows()
        .join("\n")
        .match(/Everhop {2}http/g),
    ).toHaveLength(1);
  });

  test("writes one line for each hop where that is wanted, and where nobody looks: then without a single escape", async () => {
    const wanted = watchProgram({ columns: 120, rows: 40 }, ["demo", "--no-live", "--port", "0", "--traffic", "5"]);
    await wanted.said(/hop 2 {2}flaky/);
    expect(wanted.bytes()).not.toContain("\x1b[K");
    const colourless = watchProgram({ columns: 120, rows: 40 }, ["demo", "--port", "0", "--traffic", "5"], {
      NO_COLOR: "1",
    });
    await colourless.said(/hop 2 {2}flaky/);
    expect(colourless.bytes()).not.toContain("\x1b");
    const piped = start(process.execPath, ["bin/everhop.js", "demo", "--port", "0", "--traffic", "5"], {
      NO_COLOR: "",
    });
    await piped.said(/hop 2 {2}flaky/);
    expect(piped.output()).not.toContain("\x1b");
  });
});

describe.skipIf(!canWatch)("everhop serve --live", () => {
  test("shows real providers, stands below whatever is printed meanwhile, and ends at once on a second signal", async () => {
    const provider = await startSimulatedProvider({
      clock: systemClock,
      rng: seededRng(1),
      schedule: [{ kind: "silence" }],
    });
    const config = configFile(
      `providers: [{ name: quiet, base_url: "${provider.baseUrl}", keys: [sk-test-canary-1], models: [small] }]\ndrain: { grace: 1h }\n`,
    );
    const served = watchProgram({ columns: 80, rows: 24 }, ["serve", "--config", config, "--port", "0", "--live"]);
    const [, address = ""] = await served.shows(/Everhop {2}(http:\S+)/);
    await served.shows(/1 quiet +closed +· .* k1 ✓/);
    const call = fetch(`${address}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ messages: [{ role: "user", content: "Hi" }] }),
    });
    await served.shows(/1 quiet +closed +1 [\s\S]*▸ .* quiet#k1 …/);
    served.press(ctrlC);
    await served.said(/SIGINT: leaving; calls in flight may end\.\nEverhop {2}http/);
    // The first ones are taken for echoes of the first.
    const pressing = setInterval(() => served.press(ctrlC), 100);
    await Promise.all([served.exited, expect(call).rejects.toThrow()]);
    clearInterval(pressing);
    expect([served.screen.cursorVisible, served.screen.wraps]).toEqual([true, true]);
    await provider.close();
  });
});
