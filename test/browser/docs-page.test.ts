import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callerKey, startDescribed } from "../docs/described.ts";

const executablePath = process.env["EVERHOP_CHROMIUM"] ?? "/usr/bin/chromium";
const hasBrowser = existsSync(executablePath);
if (!hasBrowser) console.warn(`SKIPPED: the page of the documentation, for there is no browser at ${executablePath}`);

describe.skipIf(!hasBrowser)("the page of the documentation, in a browser,", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-background-networking"] });
  });

  afterAll(() => browser?.close());

  /** Opens the page of a gateway. */
  async function open(address: string, look: { width: number; colorScheme?: "light" | "dark" } = { width: 1280 }) {
    const { width, colorScheme = "light" } = look;
    const tab = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
    /** What it complains of, and whom else it asks. */
    const said: string[] = [];
    tab.on("console", (message) => said.push(message.text()));
    tab.on("pageerror", (error) => said.push(error.message));
    tab.on("request", (request) => {
      if (!request.url().startsWith(address) && !request.url().startsWith("data:")) said.push(request.url());
    });
    // As somebody does who has only the address.
    await tab.goto(address);
    return { tab, said };
  }

  /** Sends what is in the box. @returns how it ended */
  async function send(tab: Page): Promise<string | null> {
    await tab.getByRole("button", { name: "Send" }).click();
    await tab.locator('#try-answer[data-mood="good"], #try-answer[data-mood="bad"]').waitFor();
    return tab.locator("#try-answer").getAttribute("data-mood");
  }

  test.each([
    [1280, "light"],
    [1280, "dark"],
    [820, "light"],
    [390, "dark"],
  ] as const)("asks nobody else, complains of nothing and fits: %d px wide, %s", async (width, colorScheme) => {
    const { address } = await startDescribed();
    const { tab, said } = await open(address, { width, colorScheme });
    expect(tab.url()).toBe(`${address}/docs`);
    for (const more of await tab.locator("details.more summary").all()) await more.click();
    expect(await tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")).toBeLessThanOrEqual(0);
    expect(await tab.locator("section.route h3").count()).toBeGreaterThan(7);
    expect(said).toEqual([]);
    await tab.close();
  });

  test("names its own address in every command, and shows one example at a time", async () => {
    const { address } = await startDescribed();
    const { tab } = await open(address);
    for (const origin of await tab.locator(".origin").allTextContents()) expect(origin).toBe(address);
    const commands = tab.locator("#createChatCompletion pre:visible").filter({ hasText: "curl" });
    expect(await commands.count()).toBe(1);
    await tab.getByRole("button", { name: "Stream", exact: true }).click();
    expect(await commands.innerText()).toContain(`curl --no-buffer ${address}/v1/chat/completions`);
    expect(await tab.locator("#createChatCompletion pre:visible").nth(1).innerText()).toContain("data: [DONE]");
    await tab.close();
  });

  test("copies a command as it is to be pasted", async () => {
    const { address } = await startDescribed();
    const { tab } = await open(address);
    await tab.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const code = tab.locator("#getHealth .code").first();
    await code.getByRole("button", { name: "Copy" }).click();
    await code.getByRole("button", { name: "Copied" }).waitFor();
    expect(await tab.evaluate("navigator.clipboard.readText()")).toBe(`curl ${address}/health`);
    await tab.close();
  });

  test("marks in its list where the reader is", async () => {
    const { address } = await startDescribed();
    const { tab } = await open(address);
    await tab.evaluate("document.getElementById('listModels').scrollIntoView({ behavior: 'instant' })");
    await tab.locator('nav a[href="#listModels"][aria-current]').waitFor();
    expect(await tab.locator("nav a[aria-current]").count()).toBe(1);
    await tab.close();
  });

  test("streams an answer as it comes, and shows the hops that led to it", async () => {
    const { address, providers } = await startDescribed();
    providers["openai-primary"].behave({ schedule: [{ kind: "status", status: 429 }] });
    providers["openai-backup"].behave({ schedule: [{ kind: "stall_after", events: 3 }] });
    const { tab, said } = await open(address);
    await tab.locator("#try-key").fill(callerKey);
    await tab.getByRole("button", { name: "Send" }).click();
    // The stream has said something and is not over.
    await tab.locator("#try-text", { hasText: "You said" }).waitFor();
    expect(await tab.locator("#try-hops li").allTextContents()).toEqual([
      expect.stringMatching(/^openai-primary\/\S+ 429 \d+ms/),
      expect.stringMatching(/^openai-backup\/\S+ (200|open) \d+ms/),
    ]);
    expect(await tab.locator("#try-hops li").first().getAttribute("class")).toBe("bad");
    await tab.getByRole("button", { name: "Stop" }).click();
    await tab.locator("#try-status", { hasText: "Stopped" }).waitFor();
    providers["openai-backup"].behave({ schedule: [] });
    expect(await send(tab)).toBe("good");
    expect(await tab.locator("#try-text").innerText()).toBe("You said: Hello, who answers?");
    expect(await tab.locator("#try-raw code").textContent()).toContain("data: [DONE]");
    expect(said).toEqual([]);
    await tab.close();
  });

  test("shows a whole answer, too", async () => {
    const { address } = await startDescribed();
    const { tab } = await open(address, { width: 390 });
    await tab.locator("#try-key").fill(callerKey);
    await tab.locator("#try-body").fill('{ "messages": [{ "role": "user", "content": "<b>bold</b>" }] }');
    await tab.locator("#try-body").press("Control+Enter");
    await tab.locator('#try-answer[data-mood="good"]').waitFor();
    // What a model says is text, whatever it is.
    expect(await tab.locator("#try-text").innerText()).toBe("You said: <b>bold</b>");
    await tab.close();
  });

  test("shows why there is no answer: no key, no JSON, a stream that broke", async () => {
    const { address, providers } = await startDescribed();
    const { tab } = await open(address);
    const error = tab.locator("#try-text .error");
    expect(await send(tab)).toBe("bad");
    expect(await error.innerText()).toContain("A valid key is needed");
    expect(await tab.locator("#try-status").innerText()).toContain("401");
    await tab.locator("#try-key").fill(callerKey);
    const body = await tab.locator("#try-body").inputValue();
    await tab.locator("#try-body").fill("{");
    await tab.getByRole("button", { name: "Send" }).click();
    await tab.locator("#try-text .error", { hasText: "expected JSON" }).waitFor();
    await tab.locator("#try-body").fill(body);
    providers["openai-primary"].behave({ schedule: [{ kind: "cut_after" }] });
    await tab.getByRole("button", { name: "Send" }).click();
    await tab.locator("#try-text .error", { hasText: "Broken off" }).waitFor();
    expect(await tab.locator("#try-text").innerText()).toContain("You said");
    await tab.close();
  });
});
