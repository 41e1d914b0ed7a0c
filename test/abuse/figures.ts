import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2, { type ClientHttp2Session } from "node:http2";
import net, { type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startSimulatedProvider } from "../../src/providers/simulated/simulated-provider.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { seededRng } from "../../src/runtime/rng.ts";

/**
 * What idle connections cost: `node test/abuse/figures.ts [CONNECTIONS]`. The product is a process of its own; this one is its
 * clients and its provider.
 */
const wanted = Number(process.argv[2] ?? 10_000);
const requests = 500;
/** What idle connections may cost in all. */
const mostMiB = 200;
const MiB = 2 ** 20;

/** Files that this process may have open, and so its child. */
const files = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
/** Beside the connections: what a process has open anyway, and calls under way. */
const spare = 200;
// The product takes half of its files for connections.
const count = Math.min(wanted, files - spare, Math.floor(files / 2) - 10);

let passed = 0;
let failed = 0;
function check(what: string, isSo: boolean): void {
  if (isSo) passed += 1;
  else failed += 1;
  console.log(`${isSo ? "ok    " : "FAILED"}  ${what}`);
}

const provider = await startSimulatedProvider({ name: "idle", clock: systemClock, rng: seededRng(7) });
const folder = mkdtempSync(join(tmpdir(), "everhop-figures-"));
const configFile = join(folder, "everhop.yaml");
writeFileSync(
  configFile,
  JSON.stringify({
    server: { port: 0 },
    auth: { admin_keys: ["key-of-an-operator-who-may-do-everything"] },
    providers: [{ name: "only", base_url: provider.baseUrl, models: ["small"] }],
    log: { level: "error" },
  }),
);
const child: ChildProcess = spawn(process.execPath, ["bin/everhop.js", "serve", "--config", configFile], {
  cwd: resolve(import.meta.dirname, "../.."),
  stdio: ["ignore", "pipe", "inherit"],
});
const port = await new Promise<number>((found, lost) => {
  let output = "";
  child.stdout?.on("data", (piece: Buffer) => {
    output += piece.toString();
    const match = /listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(output);
    if (match) found(Number(match[1]));
  });
  child.on("exit", (code) => lost(new Error(`the product ended with ${code}:\n${output}`)));
});

/** The product's resident memory, in MiB. */
function rss(): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
/** One chat; resolves with its status. */
function chat(): Promise<number> {
  return new Promise((done) => {
    const request = http.request({
      agent,
      port,
      host: "127.0.0.1",
      method: "POST",
      path: "/v1/chat/completions",
      headers: { "content-type": "application/json" },
    });
    request.on("response", (response) => {
      response.resume();
      response.on("end", () => done(response.statusCode ?? 0));
    });
    request.on("error", () => done(0));
    request.end('{"model":"small","messages":[{"role":"user","content":"hello"}]}');
  });
}

/** Asks one after another, and tells how it went. */
async function measure(what: string): Promise<void> {
  const latencies: number[] = [];
  let served = 0;
  for (let index = 0; index < requests; index += 1) {
    const begunAt = performance.now();
    if ((await chat()) === 200) served += 1;
    latencies.push(performance.now() - begunAt);
  }
  latencies.sort((a, b) => a - b);
  const at = (share: number) => (latencies[Math.floor(latencies.length * share)] ?? Number.NaN).toFixed(2);
  console.log(`${what}: ${served} of ${requests} requests served, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
  check(`all requests were served ${what}`, served === requests);
}

/** Opens so many, some at a time. */
async function openAll<T>(many: number, open: () => Promise<T>): Promise<T[]> {
  const opened: T[] = [];
  let next = 0;
  const work = async () => {
    while (next < many) {
      next += 1;
      opened.push(await open());
    }
  };
  await Promise.all(Array.from({ length: 200 }, work));
  return opened;
}

const sockets = new Set<Socket>();
function connect(): Promise<Socket> {
  return new Promise((done, lost) => {
    const socket = net.connect({ port, host: "127.0.0.1" });
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", lost);
    socket.on("connect", () => {
      socket.off("error", lost);
      socket.on("error", () => {});
      done(socket);
    });
  });
}

const silent = () => connect();
async function afterOne(): Promise<Socket> {
  const socket = await connect();
  socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await new Promise((done) => socket.once("data", done));
  socket.resume();
  return socket;
}
async function session(): Promise<ClientHttp2Session> {
  const socket = await connect();
  const opened = http2.connect(`http://127.0.0.1:${port}`, { createConnection: () => socket });
  opened.on("error", () => {});
  const stream = opened.request({ ":path": "/health" });
  stream.resume();
  await new Promise((done) => stream.on("close", done));
  return opened;
}

try {
  console.log(
    `${count} connections (asked for ${wanted}; ulimit -n is ${files}${count < wanted ? ", so there are fewer" : ""}), Node ${process.version}`,
  );
  await measure("warming up");
  await measure("before");
  const before = rss();
  // The silent ones last: the product lets them be for ten seconds.
  const third = Math.floor(count / 3);
  for (const [what, many, open] of [
    ["HTTP/2 with no open stream, after one", third, session],
    ["HTTP/1.1, after one request", third, afterOne],
    ["silent", count - 2 * third, silent],
  ] as const) {
    const earlier = rss();
    await openAll<unknown>(many, open);
    const grown = rss() - earlier;
    console.log(`${many} ${what}: RSS +${grown.toFixed(1)} MiB, ${((grown * 1024) / many).toFixed(1)} KiB each`);
  }
  const open = sockets.size;
  const after = rss();
  await measure(`while ${open} idle connections are open`);
  const most = Math.max(after, rss());
  console.log(
    `RSS ${before.toFixed(1)} → ${most.toFixed(1)} MiB: +${(most - before).toFixed(1)} MiB, ${(((most - before) * 1024) / open).toFixed(1)} KiB per connection; ${sockets.size} still open afterwards`,
  );
  check(`there were ${count} connections at once (the cap costs a few of them for the requests)`, open >= count - 10);
  check("they were open while the requests were served", sockets.size >= count - 10);
  check(`they cost ${mostMiB} MB at most`, ((most - before) * MiB) / 1e6 <= mostMiB);
} finally {
  for (const socket of sockets) socket.destroy();
  child.kill("SIGKILL");
  agent.destroy();
  await provider.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
