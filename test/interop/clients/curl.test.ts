import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { echo, type Port, ports, startPair, trailHeader } from "./pair.ts";
import { runProgram } from "./program.ts";

/** curl's flags, and the version of HTTP that the answer is to come by. */
const modes: Readonly<Record<Port["name"], readonly (readonly [flags: string, version: string])[]>> = {
  "in the clear": [
    // What comes to a question in HTTP/1.0 is an answer in HTTP/1.1 that HTTP/1.0 can read.
    ["--http1.0", "1.1"],
    ["--http1.1", "1.1"],
    ["--http2-prior-knowledge", "2"],
    // It offers an upgrade, which a server may leave alone.
    ["--http2", "1.1"],
  ],
  "over TLS": [
    ["", "2"],
    ["--http2", "2"],
    ["--http2-prior-knowledge", "2"],
    ["--http1.1", "1.1"],
    ["--http1.0", "1.1"],
    ["--no-alpn", "1.1"],
  ],
};

const hasCurl = speaksHttp2();
if (!hasCurl) console.warn("SKIPPED: curl in its modes, for there is none that speaks HTTP/2");

function speaksHttp2(): boolean {
  try {
    return execFileSync("curl", ["--version"], { encoding: "utf8" }).includes("HTTP2");
  } catch {
    return false;
  }
}

interface Answer {
  /** HTTP's version and status. */
  readonly head: string;
  readonly trail: string;
  readonly encoding: string;
  readonly body: string;
}

/** Posts JSON. */
async function post(port: Port, flags: string, url: string, body: object): Promise<Answer> {
  const told = "\n%{http_version} %{http_code}\n%header{x-everhop-trail}\n%header{transfer-encoding}";
  const printed = await runProgram("curl", [
    ...["--silent", "--show-error", "--no-buffer", "--max-time", "60", ...flags.split(" ").filter(Boolean)],
    ...(port.certificate ? ["--cacert", port.certificate.certFile] : []),
    ...["--header", "content-type: application/json", "--data-binary", JSON.stringify(body), "--write-out", told, url],
  ]);
  const lines = printed.split("\n");
  const [head = "", trail = "", encoding = ""] = lines.slice(-3);
  return { head, trail, encoding, body: lines.slice(0, -3).join("\n") };
}

const question = { model: "think", messages: [{ role: "user", content: "a nonce for curl 🦘" }] };
const prompt = { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "a nonce for curl 🦘" }] }] };

describe.skipIf(!hasCurl).each(ports)("curl $name", (port) => {
  test.each(modes[port.name])("%s gets a completion by HTTP/%s", async (flags, version) => {
    const { address } = await startPair(port);
    const { head, trail, body } = await post(port, flags, `${address}/v1/chat/completions`, question);
    expect(head).toBe(`${version} 200`);
    expect(trail).toEqual(trailHeader);
    expect(JSON.parse(body)).toMatchObject({ choices: [{ message: { content: echo("a nonce for curl 🦘") } }] });
  });

  test.each(modes[port.name])("%s gets a stream by HTTP/%s", async (flags, version) => {
    const { address } = await startPair(port);
    const answer = await post(port, flags, `${address}/v1/chat/completions`, { ...question, stream: true });
    expect(answer.head).toBe(`${version} 200`);
    expect(answer.trail).toEqual(trailHeader);
    // HTTP/1.0 knows no chunks: there the end of the connection is the end.
    expect(answer.encoding).toBe(version === "1.1" && flags !== "--http1.0" ? "chunked" : "");
    const events = answer.body.split("\n\n").flatMap((event) => event.replace(/^data: /, "").trim() || []);
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event));
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    expect(text).toBe(echo("a nonce for curl 🦘"));
    expect(chunks.length).toBeGreaterThan(2);
  });

  test.each(modes[port.name])("%s gets a completion of Connect by HTTP/%s", async (flags, version) => {
    const { address } = await startPair(port);
    const url = `${address}/everhop.v1.ChatService/CompleteChat`;
    const { head, trail, body } = await post(port, flags, url, { prompt });
    expect(head).toBe(`${version} 200`);
    expect(trail).toEqual(trailHeader);
    const parts = [{ text: echo("a nonce for curl 🦘") }];
    expect(JSON.parse(body)).toMatchObject({ completion: { candidates: [{ message: { parts } }] } });
  });
});
