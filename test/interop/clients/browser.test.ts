import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { modes } from "../../support/wires.ts";
import { type PageServer, servePage } from "./page.ts";
import type { PageAnswer, PageQuestion } from "./page-script.ts";
import { echo, ports, startPair, trailHeader } from "./pair.ts";

const executablePath = process.env["EVERHOP_CHROMIUM"] ?? "/usr/bin/chromium";
const hasBrowser = existsSync(executablePath);
if (!hasBrowser) console.warn(`SKIPPED: pages of other origins, for there is no browser at ${executablePath}`);

const protocols = ["Connect", "gRPC-Web"] as const;
const calls = protocols.flatMap((protocol) => modes.map((mode) => ({ protocol, mode })));

describe.skipIf(!hasBrowser)("a page of another origin, in a browser,", () => {
  let browser: Browser;
  let page: PageServer;

  beforeAll(async () => {
    page = await servePage();
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-background-networking"] });
  });

  afterAll(async () => {
    await browser?.close();
    page?.close();
  });

  /** Opens the page, in a browser that has seen nothing yet. */
  async function openPage(): Promise<Page> {
    // The certificate is nobody's.
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    onTestFinished(() => context.close());
    const tab = await context.newPage();
    await tab.goto(page.origin);
    return tab;
  }

  /** Asks from inside of the page. */
  const ask = (tab: Page, question: Omit<PageQuestion, "model">, model = "think"): Promise<PageAnswer> =>
    tab.evaluate(`ask(${JSON.stringify({ ...question, model })})`);

  describe.each(ports)("calling $name,", (port) => {
    test.each(calls)("is answered by $protocol, $mode, and reads who answered", async ({ protocol, mode }) => {
      const { address, trails } = await startPair(port, { cors: { origins: [page.origin] } });
      const tab = await openPage();
      const text = `a nonce for a page 🦘 ${protocol}`;
      const told = await ask(tab, { address, protocol, mode, text, requestId: "page-1" });
      expect(told).toMatchObject({ error: undefined, text: echo(text), provider: "healthy" });
      if (mode === "stream") expect(told.pieces).toBeGreaterThan(1);
      expect(told.headers).toMatchObject({ "x-request-id": "page-1", "x-everhop-trail": trailHeader });
      expect(trails.map(({ attempts }) => attempts.length)).toEqual([2]);
    });
  });

  const [clear] = ports;
  test.each(calls)("that is not configured gets nothing by $protocol, $mode, and nobody is asked", async (call) => {
    if (!clear) throw new Error("there is no port");
    for (const origins of [["https://app.example.com"], []]) {
      const { address, providers } = await startPair(clear, { cors: { origins } });
      const tab = await openPage();
      const told = await ask(tab, { address, ...call, text: "a nonce of a stranger", requestId: "page-2" });
      expect(told).toMatchObject({ text: "", provider: "", headers: {} });
      expect(told.error).toMatch(/Failed to fetch/);
      expect([providers.failing.seen.length, providers.healthy.seen.length]).toEqual([0, 0]);
    }
  });

  test.each(calls)("reads what is wrong and which request it was, by $protocol, $mode", async (call) => {
    if (!clear) throw new Error("there is no port");
    const { address } = await startPair(clear, { cors: { origins: [page.origin] } });
    const tab = await openPage();
    const told = await ask(tab, { address, ...call, text: "x", requestId: "page-3" }, "everhop/no-such-model");
    expect(told.error).toMatch(/^\[not_found\] /);
    expect(told.headers).toMatchObject({ "x-request-id": "page-3" });
  });
});
