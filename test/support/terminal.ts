import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { onTestFailed, onTestFinished } from "vitest";
import { createSeenScreen, type SeenScreen } from "./screen.ts";

/** A program at a terminal that somebody watches. */
export interface WatchedProgram {
  readonly screen: SeenScreen;
  /** All bytes that it has written. */
  bytes(): string;
  /** Resolves as soon as the screen shows something. */
  shows(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves as soon as something can be found by somebody who scrolls up. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  press(key: string): void;
  resize(columns: number, rows: number): void;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
}

const root = resolve(import.meta.dirname, "../..");

/** Starts a program at a pseudo-terminal; it is killed when the test is over. */
export function watchProgram(
  size: { readonly columns: number; readonly rows: number },
  args: readonly string[],
  env: Record<string, string> = {},
): WatchedProgram {
  const driver = resolve(import.meta.dirname, "pseudo_terminal.py");
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(OPENAI_|EVERHOP_|NO_COLOR|FORCE_COLOR|CI$)/.test(name),
  );
  const child = spawn(
    "python3",
    [driver, `${size.columns}`, `${size.rows}`, process.execPath, "bin/everhop.js", ...args],
    {
      cwd: root,
      env: { ...Object.fromEntries(inherited), TERM: "xterm-256color", ...env },
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  // Without its terminal a program ends by itself.
  onTestFinished(() => void child.kill("SIGKILL"));
  const screen = createSeenScreen(size.columns, size.rows);
  onTestFailed(() => console.error(`what was on the screen:\n${screen.rows().join("\n")}`));
  const waiting = new Set<() => void>();
  let bytes = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    bytes += chunk;
    screen.write(chunk);
    for (const look of waiting) look();
  });
  const exited = new Promise<number | null>((done) => child.on("close", done));
  const found = (text: () => string, pattern: RegExp) =>
    new Promise<RegExpExecArray>((done, fail) => {
      const look = () => {
        const match = pattern.exec(text());
        if (!match) return;
        waiting.delete(look);
        done(match);
      };
      waiting.add(look);
      look();
      void exited.then((code) => fail(new Error(`it ended with ${code} before it showed ${pattern}:\n${text()}`)));
    });
  return {
    screen,
    bytes: () => bytes,
    exited,
    shows: (pattern) => found(() => screen.rows().join("\n"), pattern),
    said: (pattern) => found(() => [...screen.scrolledOff, ...screen.rows()].join("\n"), pattern),
    press: (key) => void child.stdin.write(`key ${Buffer.from(key).toString("hex")}\n`),
    resize(columns, rows) {
      screen.resize(columns, rows);
      child.stdin.write(`size ${columns} ${rows}\n`);
    },
  };
}

/** Whether programs can be watched here. */
export const canWatch = await new Promise<boolean>((resolveIt) => {
  const child = spawn("python3", ["-c", "import pty, termios"], { stdio: "ignore" });
  child.on("error", () => resolveIt(false));
  child.on("exit", (code) => resolveIt(code === 0));
});
