import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { echo, type Port, ports, startPair, twoAttemptsInJson } from "./pair.ts";
import { runProgram } from "./program.ts";

const buf = join(import.meta.dirname, "..", "..", "..", "node_modules", ".bin", "buf");
const prompt = { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "a nonce for buf 🦘" }] }] };

/** What it asks with when it knows nothing but an address. */
function flags({ certificate }: Port): string[] {
  return ["curl", "--reflect", ...(certificate ? ["--cacert", certificate.certFile] : ["--http2-prior-knowledge"])];
}

/** Calls a method. @returns its answers, one JSON text after the other: an object that begins a line ends one */
async function call(port: Port, protocol: string, url: string): Promise<unknown[]> {
  const data = ["--protocol", protocol, "--data", JSON.stringify({ prompt })];
  const printed = await runProgram(buf, [...flags(port), ...data, url]);
  return printed.split(/(?<=^\})\n/m).flatMap((text) => (text.trim() ? [JSON.parse(text)] : []));
}

describe.each(ports)("buf curl $name, with nothing but what reflection tells,", (port) => {
  test.each(["grpc", "grpcweb", "connect"])("gets a completion and a stream by %s", async (protocol) => {
    const { address, trails } = await startPair(port);
    const [answer] = await call(port, protocol, `${address}/everhop.v1.ChatService/CompleteChat`);
    expect(answer).toMatchObject({
      completion: {
        provider: "healthy",
        candidates: [{ message: { parts: [{ text: echo("a nonce for buf 🦘") }] } }],
      },
      trail: { attempts: twoAttemptsInJson },
    });
    const events = (await call(port, protocol, `${address}/everhop.v1.ChatService/StreamChat`)) as {
      event: Record<string, { text?: string }>;
    }[]; // by the contract
    expect(events[0]?.event).toHaveProperty("start");
    expect(events.map(({ event }) => event["partDelta"]?.text ?? "").join("")).toBe(echo("a nonce for buf 🦘"));
    expect(events.at(-1)).toMatchObject({ event: { end: { trail: { attempts: twoAttemptsInJson } } } });
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([2, 2]);
  });

  test("lists the methods", async () => {
    const { address } = await startPair(port);
    const listed = await runProgram(buf, [...flags(port), "--list-methods", address]);
    expect(listed.split("\n")).toEqual(expect.arrayContaining(["everhop.v1.ChatService/StreamChat"]));
  });
});
