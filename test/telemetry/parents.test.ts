import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { request } from "node:http";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { randomHex, seededRng } from "../../src/runtime/rng.ts";
import { servePage } from "../interop/clients/page.ts";
import { pathOf, record } from "../interop/raw-grpc.ts";
import { treeOf } from "../support/span-tree.ts";
import {
  outsideTheirParents,
  overHttp,
  startCollector,
  startTraced,
  type TracedSetup,
} from "../support/traced-gateway.ts";
import { bodyOf, everywhere, openWire, send } from "../support/wires.ts";

const ask = { text: "who asks?" };
const rng = seededRng(1);

/** A sender's span. */
function newParent(flags = "01") {
  const [traceId, spanId] = [randomHex(rng, 32), randomHex(rng, 16)];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

/** A collector, and a gateway before providers: `first`, which behaves as told, then `second`. */
async function start(setup: TracedSetup = {}, first: Parameters<typeof startTraced>[1][string] = {}) {
  const collector = await startCollector();
  const gateway = await startTraced(overHttp(collector), { first, second: {} }, setup);
  return { ...gateway, collector };
}

type Started = Awaited<ReturnType<typeof start>>;

/** The root of the only trace that there is, which hangs together. */
async function onlyRoot({ sent, collector }: Started) {
  await sent(1);
  const [first] = collector.spans;
  if (!first) throw new Error("nothing has come");
  treeOf(collector.spans, first.traceId);
  expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(1);
  expect(outsideTheirParents(collector.spans)).toEqual([]);
  const root = collector.spans.find(({ kind }) => kind === "SERVER");
  if (!root) throw new Error("no span is a server's");
  return root;
}

const knownAsRemote = 0x300;

describe("the span that a sender names is the parent", () => {
  test.each(everywhere)("$mode over $name", async ({ name, mode }) => {
    const started = await start();
    const { traceId, spanId, traceparent } = newParent();
    const { headers } = await send(openWire(name, started.address), mode, ask, { headers: { traceparent } });
    expect(headers.get("x-everhop-trace-id")).toBe(traceId);
    const root = await onlyRoot(started);
    expect(root).toMatchObject({ traceId, parentSpanId: spanId });
    expect(root.flags & knownAsRemote).toBe(knownAsRemote);
  });

  test("over gRPC without lanes", async () => {
    const started = await start({ rest: { server: { lanes: "off" } } });
    const { traceId, spanId, traceparent } = newParent();
    await openWire("gRPC", started.address).stream(ask, { headers: { traceparent } });
    expect(await onlyRoot(started)).toMatchObject({ traceId, parentSpanId: spanId });
  });

  const hasCurl = speaksHttp2();
  if (!hasCurl) console.warn("SKIPPED: whose parent curl names, for there is none that speaks HTTP/2");

  test.skipIf(!hasCurl).each(["--http1.1", "--http2-prior-knowledge"])("asked by curl %s", async (flag) => {
    const started = await start();
    const { traceId, spanId, traceparent } = newParent();
    const head = await curl(started.address, flag, ["--header", `traceparent: ${traceparent}`]);
    expect(head).toContain(`x-everhop-trace-id: ${traceId}`);
    expect(await onlyRoot(started)).toMatchObject({ traceId, parentSpanId: spanId });
  });

  const executablePath = process.env["EVERHOP_CHROMIUM"] ?? "/usr/bin/chromium";
  const hasBrowser = existsSync(executablePath);
  if (!hasBrowser) console.warn(`SKIPPED: whose parent a page names, for there is no browser at ${executablePath}`);

  test.skipIf(!hasBrowser)("asked by pages, with Connect-Web", async () => {
    const page = await servePage();
    onTestFinished(() => page.close());
    const started = await start({ rest: { server: { cors: { origins: [page.origin] } } } });
    const browser = await chromium.launch({
      executablePath,
      args: ["--no-sandbox", "--disable-background-networking"],
    });
    onTestFinished(() => browser.close());
    const tab = await browser.newPage();
    await tab.goto(page.origin);
    const parents = [newParent(), newParent()];
    for (const [index, protocol] of ["Connect", "gRPC-Web"].entries()) {
      const { traceparent } = parents[index] ?? {};
      const question = {
        address: started.address,
        protocol,
        mode: "stream",
        model: "think",
        text: "x",
        requestId: "p",
        traceparent,
      };
      const told = await tab.evaluate(`ask(${JSON.stringify(question)})`);
      // It may read where its request is to be found.
      expect(told).toMatchObject({ provider: "first", headers: { "x-everhop-trace-id": parents[index]?.traceId } });
    }
    await started.sent(2);
    const roots = started.collector.spans.filter(({ kind }) => kind === "SERVER");
    expect(roots.map(({ traceId, parentSpanId }) => [traceId, parentSpanId])).toEqual(
      parents.map(({ traceId, spanId }) => [traceId, spanId]),
    );
  });
});

describe("the sender's sampled flag", () => {
  const never = { telemetry: { sample_ratio: 0 } };

  test("keeps a trace that nobody else would", async () => {
    const started = await start(never);
    const { traceparent, traceId } = newParent("01");
    await openWire("REST", started.address).complete(ask, { headers: { traceparent } });
    await openWire("REST", started.address).complete(ask);
    const root = await onlyRoot(started);
    expect(root).toMatchObject({ traceId, attributes: { "everhop.kept": "sampled" } });
  });

  test("keeps a quiet trace out, whatever the ratio, and is overruled for one that is not", async () => {
    const started = await start({}, { schedule: (number) => (number === 2 ? { kind: "empty" } : undefined) });
    const [quiet, loud] = [newParent("00"), newParent("00")];
    const wire = openWire("gRPC", started.address);
    await wire.complete(ask, { headers: { traceparent: quiet.traceparent } });
    await wire.complete(ask, { headers: { traceparent: loud.traceparent } });
    expect(await onlyRoot(started)).toMatchObject({
      traceId: loud.traceId,
      parentSpanId: loud.spanId,
      attributes: { "everhop.kept": "failover", "everhop.hops": 2 },
    });
  });
});

describe("a traceparent", () => {
  const { traceId, spanId } = newParent();
  const upper = traceId.toUpperCase().replace(/^./, "A");

  test.each([
    ["of nothing", ""],
    ["of words", "yes please"],
    ["cut short", `00-${traceId}-${spanId}`],
    ["whose trace is all zeros", `00-${"0".repeat(32)}-${spanId}-01`],
    ["whose span is all zeros", `00-${traceId}-${"0".repeat(16)}-01`],
    ["of the version that there never is", `ff-${traceId}-${spanId}-01`],
    ["of the first version with something behind it", `00-${traceId}-${spanId}-01-more`],
    ["of a later version whose flags go on", `01-${traceId}-${spanId}-01more`],
    ["in capitals", `00-${upper}-${spanId}-01`],
    ["with a letter that is no digit", `00-${traceId.slice(1)}g-${spanId}-01`],
    ["with flags of one digit", `00-${traceId}-${spanId}-1`],
    ["with blanks in it", `00-${traceId} -${spanId}-01`],
  ])("%s begins a new trace", async (_, traceparent) => {
    const started = await start();
    const { headers } = await openWire("REST", started.address).complete(ask, {
      headers: { traceparent, tracestate: "vendor=word" },
    });
    const root = await onlyRoot(started);
    expect(root).toMatchObject({ parentSpanId: "", traceState: "" });
    expect(root.traceId).not.toBe(traceId);
    expect(headers.get("x-everhop-trace-id")).toBe(root.traceId);
  });

  test.each([
    ["of a later version", `01-${traceId}-${spanId}-01`],
    ["of a later version that says more", `cc-${traceId}-${spanId}-01-what-the-future-will-be.like`],
    ["with flags that mean nothing yet", `00-${traceId}-${spanId}-ff`],
  ])("%s is followed as far as it is known", async (_, traceparent) => {
    const started = await start({ telemetry: { sample_ratio: 0 } });
    await openWire("REST", started.address).complete(ask, { headers: { traceparent } });
    expect(await onlyRoot(started)).toMatchObject({ traceId, parentSpanId: spanId });
  });

  const prompt = { model: "think", messages: [{ role: "ROLE_USER", parts: [{ text: "x" }] }] };

  test.each([
    ["REST", "on", (port: number, headers: Headers) => postTwice(port, "/v1/chat/completions", bodyOf(ask), headers)],
    ["Connect", "on", (port: number, headers: Headers) => postTwice(port, pathOf("unary"), { prompt }, headers)],
    ["gRPC", "on", (port: number, headers: Headers) => record(port, { headers })],
    ["gRPC, without lanes", "off", (port: number, headers: Headers) => record(port, { headers })],
  ] as const)("that comes twice is none, and two states are one list, over %s", async (_, lanes, askWith) => {
    const collector = await startCollector();
    const gateway = await startTraced(
      overHttp(collector),
      { first: {} },
      { providers: { first: { trace_context: true } }, rest: { server: { lanes } } },
    );
    const [one, other] = [newParent(), newParent()];
    const twice = { traceparent: [one.traceparent, other.traceparent] };
    const states = { traceparent: [one.traceparent], tracestate: ["a=1", "b=2"] };
    await askWith(gateway.port, twice);
    await askWith(gateway.port, states);
    await gateway.sent(2);
    const [root, listed] = collector.spans.filter(({ kind }) => kind === "SERVER");
    expect(root?.parentSpanId).toBe("");
    expect([one.traceId, other.traceId]).not.toContain(root?.traceId);
    expect(listed).toMatchObject({ parentSpanId: one.spanId });
    expect(listed?.traceState.replaceAll(" ", "")).toBe("a=1,b=2");
    expect(String(gateway.providers.first.seen[1]?.headers["tracestate"]).replaceAll(" ", "")).toBe("a=1,b=2");
  });
});

describe("a provider that is to know", () => {
  const told = { providers: { each: { trace_context: true } } };

  test.each(everywhere)(
    "is told of its very hop, each attempt of another one, $mode over $name",
    async ({ name, mode }) => {
      const started = await start(told, { schedule: [{ kind: "empty" }] });
      const { traceId, traceparent } = newParent();
      const headers = { traceparent, tracestate: "vendor=word" };
      await send(openWire(name, started.address), mode, ask, { headers });
      await onlyRoot(started);
      const hops = started.collector.spans.filter(({ kind }) => kind === "CLIENT");
      const seen = [...started.providers.first.seen, ...started.providers.second.seen];
      expect(seen.map(({ headers: got }) => got["traceparent"])).toEqual(
        hops.map(({ spanId }) => `00-${traceId}-${spanId}-01`),
      );
      expect(new Set(hops.map(({ spanId }) => spanId)).size).toBe(2);
      for (const { headers: got } of seen) expect(got["tracestate"]).toBe("vendor=word");
    },
  );

  test("is told of the hop that goes on with a stream", async () => {
    const text = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
    const collector = await startCollector();
    const gateway = await startTraced(
      overHttp(collector),
      { first: { text, schedule: [{ kind: "cut_after", events: 41 }], eventPerWrite: true }, second: { text } },
      told,
    );
    await openWire("Connect", gateway.address).stream({ ...ask, recovery: "continue" });
    await gateway.sent(1);
    const recovering = collector.spans.find(({ attributes }) => attributes["everhop.recovery"]);
    expect(gateway.providers.second.seen[0]?.headers["traceparent"]).toBe(
      `00-${recovering?.traceId}-${recovering?.spanId}-01`,
    );
  });

  test.each([
    ["the ratio's, where the trace begins here", 0, undefined, "00"],
    ["the ratio's, where the trace begins here", 1, undefined, "01"],
    ["its sender's", 1, "00", "00"],
    ["its sender's", 0, "01", "01"],
    ["its sender's, and nothing of what else the sender's says", 0, "ff", "01"],
  ])("is told a flag that is %s (ratio %s, sender's %s)", async (_, ratio, given, flags) => {
    const started = await start({ ...told, telemetry: { sample_ratio: ratio } });
    const headers: Record<string, string> = given ? { traceparent: newParent(given).traceparent } : {};
    await openWire("REST", started.address).complete(ask, { headers });
    expect(started.providers.first.seen[0]?.headers["traceparent"]).toMatch(
      new RegExp(`^00-[\\da-f]{32}-[\\da-f]{16}-${flags}$`),
    );
  });

  test("is no other than one for which it is said", async () => {
    const started = await start({ providers: { second: { trace_context: true } } }, { schedule: [{ kind: "empty" }] });
    const { traceparent } = newParent();
    await openWire("gRPC", started.address).complete(ask, { headers: { traceparent, tracestate: "vendor=word" } });
    const [first, second] = [started.providers.first.seen[0], started.providers.second.seen[0]];
    expect(Object.keys(first?.headers ?? {}).filter((name) => name.startsWith("trace"))).toEqual([]);
    expect(Object.keys(second?.headers ?? {}).filter((name) => name.startsWith("trace"))).toEqual([
      "traceparent",
      "tracestate",
    ]);
  });
});

function speaksHttp2(): boolean {
  try {
    return execFileSync("curl", ["--version"], { encoding: "utf8" }).includes("HTTP2");
  } catch {
    return false;
  }
}

/** Asks with curl. @returns the head of the answer */
async function curl(address: string, flag: string, more: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("curl", [
    ...["--silent", "--show-error", "--max-time", "20", flag, "--dump-header", "-", "--output", "/dev/null", ...more],
    ...["--header", "content-type: application/json", "--data-binary", JSON.stringify(bodyOf(ask))],
    `${address}/v1/chat/completions`,
  ]);
  return stdout;
}

type Headers = Readonly<Record<string, readonly string[]>>;

/** Asks by HTTP/1.1 with headers that may come more than once. */
function postTwice(port: number, path: string, body: object, headers: Headers): Promise<void> {
  return new Promise((resolve, reject) => {
    const lists = Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, [...values]]));
    const asked = request({ port, path, method: "POST", headers: { "content-type": "application/json", ...lists } });
    asked.on("response", (response) => response.resume().on("end", resolve)).on("error", reject);
    asked.end(JSON.stringify(body));
  });
}
