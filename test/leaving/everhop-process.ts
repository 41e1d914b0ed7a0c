import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { onTestFinished } from "vitest";
import { stringify } from "yaml";
import { withLanes } from "../support/gateway.ts";

const root = resolve(import.meta.dirname, "../..");

/** A gateway in a process of its own. It ends with the test. */
export interface EverhopProcess {
  readonly child: ChildProcess;
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
  /** Everything that it has said. */
  output(): string;
  /** Resolves when it has said something. */
  said(pattern: RegExp): Promise<void>;
  /** Resolves with its exit code; null when a signal has ended it. */
  readonly exited: Promise<number | null>;
  /** Memory that is resident now, bytes. */
  residentBytes(): number;
}

/**
 * Starts `everhop serve`.
 * @param config as the file has it
 * @param options `port` to listen on, any by default; `preload`: code that the process runs first
 */
export async function startEverhop(
  config: object,
  { port = 0, preload }: { readonly port?: number; readonly preload?: string } = {},
): Promise<EverhopProcess> {
  const folder = mkdtempSync(join(tmpdir(), "everhop-leaving-"));
  const file = join(folder, "everhop.yaml");
  writeFileSync(file, stringify(withLanes(config)));
  const imports = preload === undefined ? [] : ["--import", join(folder, "preload.mjs")];
  if (preload !== undefined) writeFileSync(join(folder, "preload.mjs"), preload);
  const env = Object.entries(process.env).filter(
    ([name]) => !/^(OPENAI_|EVERHOP_|NO_COLOR|FORCE_COLOR|NODE_OPTIONS)/.test(name),
  );
  const args = [...imports, "bin/everhop.js", "serve", "--config", file, "--port", String(port)];
  const child = spawn(process.execPath, args, { cwd: root, env: { ...Object.fromEntries(env), NO_COLOR: "1" } });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      output += bytes.toString();
      for (const look of waiting) look();
    });
  }
  const exited = new Promise<number | null>((done) => child.on("close", done));
  const said = (pattern: RegExp) =>
    new Promise<void>((done, fail) => {
      const look = () => {
        if (!pattern.test(output)) return;
        waiting.delete(look);
        done();
      };
      waiting.add(look);
      look();
      void exited.then((code) => fail(new Error(`it ended with ${code} before it said ${pattern}:\n${output}`)));
    });
  await said(/listens on http:\S+/);
  const address = /listens on (http:\S+)/.exec(output)?.[1] ?? "";
  return {
    child,
    address,
    port: Number(new URL(address).port),
    output: () => output,
    said,
    exited,
    residentBytes() {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    },
  };
}
