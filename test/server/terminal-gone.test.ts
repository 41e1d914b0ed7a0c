import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configFile, root, start } from "../support/program.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;
if (!hasPython) console.warn("SKIPPED: a terminal that is closed, for there is no python3");

/** Starts a program at a terminal, sends SIGHUP although the terminal is there, and then closes it. */
const script = `
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen = b""
def until(words):
    global seen
    while words not in seen:
        seen += os.read(terminal, 65536)
until(b"only.")
os.kill(pid, signal.SIGHUP)
until(b"was read again")
print("reads again", flush=True)
os.close(terminal)
_, status = os.waitpid(pid, 0)
print("ended with", os.waitstatus_to_exitcode(status))
`;

const yaml = `server: { port: 0 }
drain: { pre_stop: 0s }
providers: [{ name: only, base_url: "http://127.0.0.1:1/v1", models: [m] }]
`;

test.skipIf(!hasPython)(
  "a gateway leaves when its terminal is closed, and reads its files again when it is not",
  async () => {
    const program = [process.execPath, join(root, "bin/everhop.js"), "serve", "--config", configFile(yaml)];
    const { exited, output } = start("python3", ["-c", script, ...program]);
    expect(await exited).toBe(0);
    expect(output()).toBe("reads again\nended with 0\n");
  },
);
