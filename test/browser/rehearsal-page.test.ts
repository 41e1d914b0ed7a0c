import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const executablePath = process.env["EVERHOP_CHROMIUM"] ?? "/usr/bin/chromium";
const hasBrowser = existsSync(executablePath);
if (!hasBrowser) console.warn(`SKIPPED: the pages of rehearsals, for there is no browser at ${executablePath}`);

const everhop = join(import.meta.dirname, "../../bin/everhop.js");
const folder = mkdtempSync(join(tmpdir(), "everhop-page-"));
const hostile = "</script><b>x";

const provider = (name: string, priority: number) => ({
  ...{ name, priority, base_url: "http://127.0.0.1:1/v1", keys: [`sk-test-canary-${name}`] },
  models: ["m"],
});
const scenario = {
  name: hostile,
  duration: "4m",
  phases: [{ name: hostile, from: "1m", for: "1m", on: "first", fails: "server_error" }],
  callers: [{ name: hostile, per_second: 5 }],
  config: {
    providers: [provider("a", 1), provider("b", 2)],
    models: [
      {
        name: "think",
        targets: [
          { provider: "a", model: "m" },
          { provider: "b", model: "m" },
        ],
      },
    ],
  },
};

/** Rehearses and draws. @returns the page's address */
function page(...flags: string[]): string {
  const html = join(folder, `${flags.length}.html`);
  const file = join(folder, "scenario.yaml");
  writeFileSync(file, JSON.stringify(scenario)); // JSON is YAML
  execFileSync(process.execPath, [everhop, "simulate", file, "--html", html, ...flags], { cwd: folder });
  return pathToFileURL(html).href;
}

describe.skipIf(!hasBrowser)("the page of a rehearsal, in a browser,", () => {
  let browser: Browser;
  const addresses: Record<"one" | "two", string> = { one: "", two: "" };

  beforeAll(async () => {
    const other = join(folder, "other.yaml");
    writeFileSync(other, JSON.stringify({ ...scenario.config, routing: { failover: "off" } }));
    addresses.one = page();
    addresses.two = page("--compare", other);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-background-networking"] });
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ["light", 1200, "one"],
    ["dark", 1200, "two"],
    ["light", 390, "two"],
    ["dark", 390, "one"],
  ] as const)(
    "asks for nothing, complains of nothing and fits: %s, %d px wide, %s",
    async (colorScheme, width, which) => {
      const tab = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      const said: string[] = [];
      tab.on("console", (message) => said.push(message.text()));
      tab.on("pageerror", (error) => said.push(error.message));
      tab.on("request", (request) => {
        if (!request.url().startsWith("file:")) said.push(request.url());
      });
      await tab.goto(addresses[which]);
      expect(said).toEqual([]);
      expect(await tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")).toBeLessThanOrEqual(0);
      expect(await tab.locator(".plot").count()).toBeGreaterThanOrEqual(4);
      // The names stand there as they are, and are no markup.
      expect(await tab.locator("b", { hasText: /^x/ }).count()).toBe(0);
      expect(await tab.locator("h1").innerText()).toContain(hostile);
      await tab.close();
    },
  );

  test("shows differences on a phone, and cards that fill their rows at any width", async () => {
    const tab = await browser.newPage({ viewport: { width: 390, height: 900 } });
    await tab.goto(addresses.two);
    expect(
      await tab.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('.compared .scroll'))",
      ),
    ).toBeLessThanOrEqual(0);
    await tab.goto(addresses.one);
    for (const width of [390, 700, 850, 900, 1000, 1200]) {
      await tab.setViewportSize({ width, height: 900 });
      const right = (which: string) => `document.querySelector('${which}').getBoundingClientRect().right`;
      const gap = await tab.evaluate(`${right(".cards")} - ${right(".cards > div:last-child")}`);
      expect(gap, `${width} px`).toBeLessThanOrEqual(2);
    }
    await tab.close();
  });

  test("tells the figures under the pointer", async () => {
    const tab = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    await tab.goto(addresses.one);
    await tab.locator(".plot").first().hover();
    expect(await tab.locator("#tip").isVisible()).toBe(true);
    expect(await tab.locator("#tip").innerText()).toMatch(/\d/);
    await tab.close();
  });
});
