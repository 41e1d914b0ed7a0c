import { join } from "node:path";
import { everhopIn, folderWith, type Program } from "../support/program.ts";

/** One line of the log. */
export type LogLine = Readonly<Record<string, unknown>>;

/** The product, as it is served from a folder, and what it has logged. */
export interface LoggedProgram extends Program {
  readonly folder: string;
  readonly address: string;
  /** The lines of its standard output that are JSON. */
  lines(): LogLine[];
  /** Resolves with the first line of JSON that says so. */
  logged(wanted: LogLine): Promise<LogLine>;
  /** Asks for a chat, and reads the whole answer. */
  chat(
    body?: Readonly<Record<string, unknown>>,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly headers: Headers; readonly text: string }>;
  /** Ends it, and resolves with its exit code once all its output has been read. */
  stop(): Promise<number | null>;
}

/** Serves a configuration on a port of its own. @param format default: as where nobody looks */
export async function serveLogged(
  config: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string>> = {},
): Promise<LoggedProgram> {
  const whole = { server: { port: 0 }, drain: { pre_stop: 0 }, ...config };
  const folder = folderWith({ "everhop.yaml": JSON.stringify(whole) }); // JSON is YAML, too
  const program = everhopIn(folder, ["serve"], env);
  const [, address = ""] = await program.said(/listens on (http:[^\s"]+)/);
  const lines = () => jsonLines(program.output());
  const closed = new Promise<void>((resolve) => program.child.on("close", () => resolve()));
  return {
    ...program,
    folder,
    address,
    lines,
    async logged(wanted) {
      for (;;) {
        const found = lines().find((line) => says(line, wanted));
        if (found) return found;
        const length = program.output().length;
        await program.said(new RegExp(`^[\\s\\S]{${length}}[\\s\\S]*\\n`));
      }
    },
    async chat(body = {}, headers = {}) {
      const response = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], ...body }),
      });
      return { status: response.status, headers: response.headers, text: await response.text().catch(String) };
    },
    async stop() {
      program.child.kill("SIGTERM");
      const code = await program.exited;
      await closed;
      return code;
    },
  };
}

/** The lines of a text that are JSON, each whole. */
export function jsonLines(text: string): LogLine[] {
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as LogLine); // a line of the log is an object
}

/** The path of a file beside the configuration. */
export function besides({ folder }: LoggedProgram, name: string): string {
  return join(folder, name);
}

/** Lines without what is different every time, and the names of what is left out. */
export function says(line: LogLine, wanted: LogLine): boolean {
  return Object.entries(wanted).every(([name, value]) => line[name] === value);
}

/** A pool of providers behind one model, `think`, each a tier of its own unless it says otherwise. */
export function pool(
  providers: Readonly<Record<string, { readonly baseUrl: string }>>,
  each: Readonly<Record<string, unknown>> = {},
) {
  const names = Object.keys(providers);
  return {
    providers: names.map((name, index) => ({
      name,
      base_url: providers[name]?.baseUrl,
      keys: [`sk-test-canary-${name}-1`],
      models: ["m"],
      priority: index + 1,
      ...each,
    })),
    models: [{ name: "think", targets: names.map((provider) => ({ provider, model: "m" })) }],
  };
}
