import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { connect } from "node:http2";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { adminKey, callerKey, startDescribed } from "./described.ts";

const run = promisify(execFile);

/** What the browser shows of an element's source: entities become what they stand for, tags vanish. */
const textOf = (source: string) =>
  source.replace(/<[^>]+>/g, "").replace(/&(amp|lt|gt|quot|#39);/g, (_, name: keyof typeof entities) => entities[name]);
const entities = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

const commandsOf = (page: string) =>
  [...page.matchAll(/<pre tabindex="0"><code>(curl[\s\S]+?)<\/code>/g)].map(([, source = ""]) => textOf(source));

describe("the page of the documentation", () => {
  test("is HTML for whoever asks, and lets a browser run what is in it and nothing else", async () => {
    const { address } = await startDescribed();
    const response = await fetch(`${address}/docs`);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    const page = await response.text();
    const policy = new Map(
      (response.headers.get("content-security-policy") ?? "").split("; ").map((rule) => {
        const [name = "", ...values] = rule.split(" ");
        return [name, values.join(" ")] as const;
      }),
    );
    const hashOf = (tag: string) => {
      const [, inside = ""] = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(page) ?? [];
      return `'sha256-${createHash("sha256").update(inside).digest("base64")}'`;
    };
    expect(Object.fromEntries(policy)).toEqual({
      "default-src": "'none'",
      "style-src": hashOf("style"),
      "script-src": hashOf("script"),
      "connect-src": "'self'",
      "img-src": "data:",
      "base-uri": "'none'",
      "form-action": "'none'",
      "frame-ancestors": "'none'",
    });
    expect(page).not.toMatch(/\b(?:src|href)="(?:https?:)?\/\//);
  });

  test("names no secret, no provider and no model that is configured", async () => {
    const { address, providers } = await startDescribed({ defaults: { model: "gpt-4" } });
    const both =
      (await (await fetch(`${address}/docs`)).text()) + (await (await fetch(`${address}/openapi.json`)).text());
    const secrets = [callerKey, adminKey, "canary-nobody", providers.openai.baseUrl];
    expect(secrets.filter((secret) => both.includes(secret))).toEqual([]);
  });

  test.each(["/docs", "/openapi.json"])("has a head without a body when only that is asked for: %s", async (path) => {
    const { address } = await startDescribed();
    const plain = await fetch(address + path);
    const length = plain.headers.get("content-length");
    expect(Number(length)).toBe((await plain.arrayBuffer()).byteLength);
    const head = await fetch(address + path, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, length, ""]);
    const session = connect(address);
    const stream = session.request({ ":path": path, ":method": "HEAD" });
    const status = await new Promise((resolve, reject) => {
      stream.on("response", (headers) => resolve(headers[":status"]));
      stream.on("error", reject);
    });
    stream.resume();
    await new Promise((resolve) => stream.on("close", resolve));
    session.close();
    expect(status).toBe(200);
  });

  test("comes whole over HTTP/2, too", async () => {
    const { address } = await startDescribed();
    const { stdout } = await run("curl", ["-s", "--http2-prior-knowledge", `${address}/docs`]);
    expect(stdout).toBe(await (await fetch(`${address}/docs`)).text());
  });

  test("is where a browser is sent that opens the gateway's address, and nobody else is", async () => {
    const { address } = await startDescribed();
    const open = (accept: string, method = "GET", path = "/") =>
      fetch(address + path, { method, headers: { accept }, redirect: "manual" });
    const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    const sent = await open(browser);
    expect([sent.status, sent.headers.get("location")]).toEqual([302, "/docs"]);
    expect((await open(browser, "HEAD")).status).toBe(302);
    for (const others of [open("*/*"), open("application/json"), open(browser, "POST"), open(browser, "GET", "/x")]) {
      expect((await others).status).toBe(404);
    }
  });

  test("shows commands that work as they stand", async () => {
    const { address } = await startDescribed();
    const commands = commandsOf(await (await fetch(`${address}/docs`)).text());
    expect(commands.length).toBeGreaterThan(12);
    const keys = { ...process.env, EVERHOP_API_KEY: callerKey, EVERHOP_ADMIN_KEY: adminKey };
    for (const command of commands) {
      const pasted = command.replace("http://127.0.0.1:8000", address).replace("curl ", "curl -s --fail-with-body ");
      const { stdout } = await run("bash", ["-c", pasted], { env: keys });
      expect([command, stdout.length > 0]).toEqual([command, true]);
    }
  });

  test("asks for no key in its commands where the gateway is open", async () => {
    const { address } = await startDescribed({ auth: {} });
    const page = await (await fetch(`${address}/docs`)).text();
    expect(commandsOf(page).join("\n")).not.toContain("EVERHOP_API_KEY");
    expect(page).toContain("This gateway is open");
  });
});
