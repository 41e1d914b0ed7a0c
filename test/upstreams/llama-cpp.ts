import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { root } from "../support/program.ts";

const python = join(root, ".cache", "upstreams", "venv", "bin", "python");

/** Whether llama.cpp's own server is there: `.ci/upstreams` installs it. Says so when it is not. */
export const hasLlamaCpp: boolean = existsSync(python);
if (!hasLlamaCpp) {
  if (process.env["EVERHOP_LLAMA_CPP"] === "required") throw new Error(`there is no llama.cpp at ${python}`);
  console.warn(
    "SKIPPED: llama.cpp's own server is not installed (.ci/upstreams does it), so nothing was tested with it",
  );
}

/** What its model says to everything. */
export const sentence = "Kangaroos hop on two legs 🦘, say they in café.";

/** A running server of llama.cpp. */
export interface LlamaCpp {
  readonly address: string;
  readonly baseUrl: string;
  /** Keeps its connections open and does nothing any more. */
  freeze(): void;
  /** Ends it at once, as a crash does. */
  stop(): void;
}

/**
 * Starts one; whoever has started it stops it.
 * @param slots how many requests it works on at once; the others wait
 * @param context tokens of prompt and answer
 * @param keys whom it lets in; none: everybody
 */
export async function startLlamaCpp({
  slots = 4,
  context = 512,
  keys = [] as readonly string[],
} = {}): Promise<LlamaCpp> {
  const child = spawn(
    python,
    [join(import.meta.dirname, "llama_cpp_server.py"), String(slots), String(context), ...keys],
    { stdio: ["pipe", "pipe", "pipe"] },
  );
  // Two streams: what is written to one may come in the middle of a line of the other.
  let said = "";
  let logged = "";
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      const found = /^listening on (\S+)$/m.exec(said)?.[1];
      if (found) resolve(found);
    });
    child.stderr.on("data", (bytes: Buffer) => {
      logged += bytes.toString();
    });
    child.on("exit", (code) => reject(new Error(`llama.cpp ended with ${code}:\n${logged}`)));
  });
  return {
    address,
    baseUrl: `${address}/v1`,
    freeze: () => void child.kill("SIGSTOP"),
    stop: () => void child.kill("SIGKILL"),
  };
}

/** Starts one that ends with the test. */
export async function startOwnLlamaCpp(options: Parameters<typeof startLlamaCpp>[0]): Promise<LlamaCpp> {
  const server = await startLlamaCpp(options);
  onTestFinished(() => server.stop());
  return server;
}
