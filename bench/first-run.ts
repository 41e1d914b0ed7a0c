import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/**
 * How long somebody waits who sees the project for the first time: clone, `npm ci`, `npm start`, and requests until one was seen to
 * fail somewhere and to be served elsewhere. Clones what is committed.
 *
 *   node bench/first-run.ts
 */
const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "everhop-first-run-"));
const begun = performance.now();
let last = begun;

try {
  await finished(spawn("git", ["clone", "--quiet", root, folder], { stdio: "inherit" }));
  tell("clone");
  await finished(
    spawn("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] }),
  );
  tell("npm ci");
  await watchFailover();
  console.log(`${"together".padEnd(36)} ${seconds(performance.now() - begun)}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function watchFailover(): Promise<void> {
  const gateway = spawn("npm", ["start", "--", "--port", "0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  const said = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolveIt, reject) => {
      const look = () => {
        const match = pattern.exec(output);
        if (match) resolveIt(match);
      };
      gateway.stdout?.on("data", look);
      gateway.on("exit", (code) => reject(new Error(`npm start ended with ${code}:\n${output}`)));
      look();
    });
  gateway.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  try {
    const [, address = ""] = await said(/listens on (http:\S+)/);
    tell("npm start listens");
    // Of one request: its beginning tells it.
    const watched = said(
      / {2}([0-9a-f]{8}) {2}demo {2}hop \d+ +\S+ +(?:429|5\d\d|-) [\s\S]* \1 {2}demo {2}hop \d+ +\S+ +200 ok/,
    );
    let isSeen = false;
    void watched.then(() => {
      isSeen = true;
    });
    while (!isSeen) {
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello, who answers?" }] }),
      });
      await response.text();
    }
    tell("a request that failed and was served");
  } finally {
    gateway.removeAllListeners("exit");
    const exited = finished(gateway).catch(() => undefined);
    gateway.kill("SIGTERM");
    await exited;
  }
}

function finished(child: ChildProcess): Promise<void> {
  return new Promise((resolveIt, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolveIt() : reject(new Error(`${child.spawnargs.join(" ")}: ${code}`))));
  });
}

function tell(step: string): void {
  const now = performance.now();
  console.log(`${step.padEnd(36)} ${seconds(now - last)}`);
  last = now;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
