import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { onTestFinished } from "vitest";

/** The project's folder. */
export const root = resolve(import.meta.dirname, "../..");

/** A program under test and what it has printed. */
export interface Program {
  readonly child: ChildProcess;
  /** All it has written to its standard output and error. */
  output(): string;
  /** Resolves with the match as soon as the output has one. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with the exit code. */
  exited: Promise<number | null>;
}

/**
 * Starts a program in the project's folder; it is killed when the test is over.
 * @param detached in a process group of its own, as a terminal has it
 * @param cwd default: the project's folder
 */
export function start(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
  detached = false,
  cwd = root,
): Program {
  const inherited = Object.entries(process.env).filter(
    // Whoever runs the tests of a machine's own says so by CI, and Node then shows no colours at a terminal.
    ([name]) =>
      !/^(OPENAI_|EVERHOP_|OTEL_|DEBUG$|LLAMA_|QWEN_|MEGALLM_|LOG_LEVEL|HOST$|PORT$|CI$|NO_COLOR|FORCE_COLOR)/.test(
        name,
      ),
  );
  const child = spawn(command, args, {
    detached,
    cwd,
    env: { ...Object.fromEntries(inherited), NO_COLOR: "1", ...env },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  const waiting = new Set<() => void>();
  const take = (chunk: Buffer) => {
    output += chunk.toString();
    for (const look of waiting) look();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  const exited = new Promise<number | null>((done) => child.on("exit", done));
  const said = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((done, fail) => {
      const look = () => {
        const match = pattern.exec(output);
        if (match) {
          waiting.delete(look);
          done(match);
        }
      };
      waiting.add(look);
      look();
      void exited.then((code) => fail(new Error(`it ended with ${code} before it said ${pattern}:\n${output}`)));
    });
  return { child, output: () => output, said, exited };
}

/** Writes a configuration. @returns its path */
export function configFile(yaml: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "everhop-test-")), "everhop.yaml");
  writeFileSync(path, yaml);
  return path;
}

/** Makes a folder with files in it. @returns its path */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "everhop-test-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** Runs a command of the product in a folder. */
export function everhopIn(folder: string, args: readonly string[], env: Record<string, string> = {}): Program {
  return start(process.execPath, [join(root, "bin/everhop.js"), ...args], env, false, folder);
}

/** Starts the product as it is served. */
export function serve(args: readonly string[], env: Record<string, string> = {}): Program {
  return start(process.execPath, ["bin/everhop.js", "serve", ...args], env);
}
