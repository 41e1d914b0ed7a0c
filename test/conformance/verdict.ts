import { spawn } from "node:child_process";
import { join } from "node:path";

/** What the judge says of a server. */
export interface Verdict {
  /** How many cases it was asked. */
  readonly total: number;
  /** Why each case failed, by name; those that nobody answered among them. */
  readonly failures: ReadonlyMap<string, string>;
}

/** Where the judge looks and at what. */
export interface Question {
  /** The judge's program. */
  readonly judge: string;
  /** The server, as `server.ts` names it. */
  readonly on: "everhop" | "everhop-without-lane" | "plain";
  /** The judge's own `--run` and `--skip`. */
  readonly cases: readonly string[];
}

/** The judge waits for an answer forever; all that it asks at once takes it some 20 s. */
const patienceMs = 120_000;

/** Has the judge look at a server. @throws Error when it asks nothing or says nothing */
export async function ask({ judge, on, cases }: Question): Promise<Verdict> {
  const features = join(import.meta.dirname, "features.yaml");
  const server = join(import.meta.dirname, "server.ts");
  const flags = ["--mode", "server", "--vv", "--conf", features, ...cases];
  const child = spawn(judge, [...flags, "--", process.execPath, server, "--on", on], {
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own: ended early, the judge leaves its servers behind.
    detached: true,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const impatient = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, "SIGTERM"), patienceMs);
  await new Promise((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", reject);
  });
  clearTimeout(impatient);
  return verdictOf(said);
}

/** Reads what the judge has printed. @throws Error when that is no verdict */
export function verdictOf(said: string): Verdict {
  const asked = /^Filtered tests to (\d+) /m.exec(said) ?? /^Computed (\d+) test case permutation/m.exec(said);
  const total = Number(asked?.[1] ?? 0);
  if (total === 0) throw new Error(`the judge asked nothing:\n${said.slice(-2000)}`);
  const told = [...said.matchAll(/^FAILED: (.*):\n((?:\t.*\n?)*)/gm)];
  const failures = new Map(told.map(([, name = "", reason = ""]) => [name, reason.trim()]));
  const ended = /^(\d+) passed, (\d+) failed$/m.exec(said);
  if (ended) {
    const passed = Number(ended[1]);
    const missing = total - passed - failures.size;
    if (missing > 0) failures.set(`${missing} cases that were not run`, "the judge's client went away");
    return { total, failures };
  }
  // It was ended by us: it has counted nothing, but told of each case.
  const received = new Set(namesIn(said, "Received response for"));
  for (const name of namesIn(said, "Sending request for")) if (!received.has(name)) failures.set(name, "no answer");
  if (failures.size === 0) throw new Error(`the judge came to no end:\n${said.slice(-2000)}`);
  const notAsked = total - received.size - failures.size;
  if (notAsked > 0) failures.set(`${notAsked} cases behind those`, "not asked");
  return { total, failures };
}

function namesIn(said: string, verb: string): string[] {
  return [...said.matchAll(new RegExp(`^${verb} "(.*)"\\.\\.\\.$`, "gm"))].map(([, name = ""]) => name);
}
