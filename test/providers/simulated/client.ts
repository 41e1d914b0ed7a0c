import { connect } from "node:net";
import { onTestFinished } from "vitest";
import {
  type SimulatedProvider,
  type SimulatedProviderOptions,
  startSimulatedProvider,
} from "../../../src/providers/simulated/simulated-provider.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { seededRng } from "../../../src/runtime/rng.ts";

/** A provider for one test, closed after it. */
export async function started(options: Partial<SimulatedProviderOptions> = {}): Promise<SimulatedProvider> {
  const provider = await startSimulatedProvider({ clock: systemClock, rng: seededRng(7), ...options });
  onTestFinished(() => provider.close());
  return provider;
}

/** A chat request that says `text`. */
export function saying(text: string, more: object = {}): Record<string, unknown> {
  return { model: "m", messages: [{ role: "user", content: text }], ...more };
}

/** What came back over a connection of its own. */
export interface Received {
  status: number;
  headers: Record<string, string>;
  /** Without the framing of chunks. */
  body: Buffer;
  /** As it came off the socket, a string per read. */
  reads: string[];
  /** How it ended: as HTTP says, by FIN in the middle, by RST, or by this client, which lost its patience. */
  end: "whole" | "cut" | "reset" | "left";
}

/** What a test says of a request besides its body. */
interface Sending {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  /** Leaves as soon as this has been received. */
  leaveAfter?: string;
  /** Leaves when this many milliseconds have passed. */
  leaveAfterMs?: number;
}

/** Sends a request over a socket of its own, and says exactly how the answer came and ended. */
export function send(provider: SimulatedProvider, body: unknown, sending: Sending = {}): Promise<Received> {
  const url = new URL(provider.baseUrl);
  const text = typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body);
  const { method = "POST", path = "/v1/chat/completions", headers = {} } = sending;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `${method} ${path} HTTP/1.1\r\nhost: x\r\n${lines.join("")}content-length: ${Buffer.byteLength(text)}\r\n\r\n`;
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const socket = connect(Number(url.port), url.hostname, () => socket.write(head + text));
    const finish = (end: Received["end"]) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...parsed(Buffer.concat(pieces)), reads: pieces.map(String), end });
    };
    const timer =
      sending.leaveAfterMs === undefined ? undefined : setTimeout(() => finish("left"), sending.leaveAfterMs);
    socket.on("data", (piece) => {
      pieces.push(piece);
      const all = Buffer.concat(pieces);
      if (sending.leaveAfter !== undefined && all.includes(sending.leaveAfter)) finish("left");
      else if (parsed(all).whole) finish("whole");
    });
    socket.on("error", () => finish("reset"));
    socket.on("close", () => finish("cut"));
  });
}

/** The part of HTTP/1.1 that the provider speaks. */
function parsed(raw: Buffer): Omit<Received, "reads" | "end"> & { whole: boolean } {
  const split = raw.indexOf("\r\n\r\n");
  if (split < 0) return { status: 0, headers: {}, body: Buffer.alloc(0), whole: false };
  const [first = "", ...lines] = raw.subarray(0, split).toString().split("\r\n");
  const status = Number(first.split(" ")[1]);
  if (status < 200) return parsed(raw.subarray(split + 4));
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]),
  );
  let rest = raw.subarray(split + 4);
  if (headers["transfer-encoding"] !== "chunked") {
    return { status, headers, body: rest, whole: rest.length >= Number(headers["content-length"] ?? 0) };
  }
  const chunks: Buffer[] = [];
  for (;;) {
    const line = rest.indexOf("\r\n");
    const size = line < 0 ? Number.NaN : Number.parseInt(rest.subarray(0, line).toString(), 16);
    if (size === 0) return { status, headers, body: Buffer.concat(chunks), whole: true };
    const data = rest.subarray(line + 2, line + 2 + size);
    if (Number.isNaN(size) || data.length < size) {
      return {
        status,
        headers,
        body: Buffer.concat([...chunks, Number.isNaN(size) ? Buffer.alloc(0) : data]),
        whole: false,
      };
    }
    chunks.push(data);
    rest = rest.subarray(line + 2 + size + 2);
  }
}

/** A JSON object, freely looked into: tests fail where it is not what they expect. */
export interface Loose {
  [field: string]: Loose;
  [index: number]: Loose;
}

/** The body as JSON. */
export function json({ body }: Received): Loose {
  return JSON.parse(body.toString()) as Loose;
}

/** The data of the events of a stream that has arrived. */
export function eventData({ body }: Received): string[] {
  return body
    .toString()
    .split(/\r?\n\r?\n/)
    .filter((event) => event.startsWith("data:"))
    .map((event) => event.replace(/^data: ?/, ""));
}

/** The chunks of a stream, `[DONE]` left out. */
export function chunks(received: Received): Loose[] {
  return eventData(received)
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data) as Loose);
}

/** What one candidate of a stream comes to. */
export interface Folded {
  role: unknown;
  content: string | null;
  reasoning: string;
  call: { id: unknown; name: unknown; arguments: string } | undefined;
  logprobs: unknown[];
  finish: unknown;
}

/** Puts a candidate's deltas together, as any client does. */
export function fold(stream: Loose[], index = 0): Folded {
  const folded: Folded = { role: undefined, content: null, reasoning: "", call: undefined, logprobs: [], finish: null };
  for (const chunk of stream) {
    const choice = (chunk["choices"] as unknown as Loose[]).find((one) => (one["index"] as unknown) === index);
    if (!choice) continue;
    const delta = choice["delta"] as unknown as Record<string, unknown>;
    folded.role ??= delta["role"];
    if (typeof delta["content"] === "string") folded.content = (folded.content ?? "") + delta["content"];
    if (typeof delta["reasoning_content"] === "string") folded.reasoning += delta["reasoning_content"];
    const call = (delta["tool_calls"] as Loose[] | null | undefined)?.[0];
    if (call) {
      const part = call["function"] as unknown as { name?: string; arguments: string };
      folded.call ??= { id: call["id"], name: part.name, arguments: "" };
      folded.call.arguments += part.arguments;
    }
    const logprobs = choice["logprobs"] as unknown as { content: unknown[] } | null;
    if (logprobs) folded.logprobs.push(...logprobs.content);
    folded.finish = choice["finish_reason"] ?? folded.finish;
  }
  return folded;
}
