import { execFileSync, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { describeWorld, type JudgeOptions, judge, smallestForm } from "../../src/simulation/swarm/swarm.ts";
import { type Arguments, jobsOf, readArguments, usage } from "./arguments.ts";

/** What one process tells of its seeds. */
interface Progress {
  readonly seeds: number;
  readonly requests: number;
  readonly seconds: number;
  /** What a failing seed came to, ready to be printed. */
  readonly report?: string;
  readonly log?: string;
}

/** So many failing seeds are made small; the others are only named. */
const mostShrunk = 3;
/** Every so many seeds one is run twice, to see that it does the same again. */
const twiceEvery = 25;

const [first, ...rest] = process.argv.slice(2);
const isWorker = first === "--worker";
const given = readArguments(isWorker ? rest.slice(2) : process.argv.slice(2));
if (typeof given === "string") {
  console.error(`${given}\n${usage}`);
  process.exit(2);
} else if (given.help) {
  console.info(usage);
} else if (isWorker) {
  const send = (progress: Progress) => void process.send?.(progress);
  await work(given, { share: Number(rest[0]), of: Number(rest[1]) }, send);
  process.disconnect();
} else {
  process.exitCode = (await lead(given)) ? 0 : 1;
}

/** Runs every so many-th seed: one share of so many. */
async function work(
  { seeds, from, minutes, requests, log }: Arguments,
  { share, of }: { readonly share: number; readonly of: number },
  tell: (progress: Progress) => void,
): Promise<void> {
  const startedAt = performance.now();
  let failing = 0;
  for (let seed = from + share; seed < from + seeds; seed += of) {
    if (performance.now() - startedAt > minutes * 60_000) return;
    const began = performance.now();
    const options: JudgeOptions = { requests, keepLog: log, twice: seed % twiceEvery === 0 };
    const run = await judge(seed, options);
    const seconds = (performance.now() - began) / 1000;
    const report = run.violations.length > 0 ? await reportOf(seed, options, failing++ < mostShrunk) : undefined;
    tell({
      seeds: 1,
      requests: run.requests,
      seconds,
      ...(report !== undefined && { report }),
      ...(log && { log: run.log }),
    });
  }
}

/** A failing seed: its violations, its smallest form, and what happens there. */
async function reportOf(seed: number, options: JudgeOptions, shrunk: boolean): Promise<string> {
  const { violations } = await judge(seed, options);
  const lines = violations.map(({ at, invariant, what }) => `  ${at.toFixed(1)} ms: ${invariant}: ${what}`);
  const head = `seed ${seed} fails at ${commit()} (npm run sim -- --from ${seed} --seeds 1 --requests ${options.requests} --log):\n${lines.join("\n")}\n`;
  const [violation] = violations;
  if (!shrunk || !violation) return head;
  const { world, run } = await smallestForm(seed, violation.invariant, options);
  return `${head}smallest form that violates “${violation.invariant}”:\n${describeWorld(world)}its hop log:\n${run.log}`;
}

/** Of the code that fails. */
function commit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "an unknown commit";
  }
}

/** Shares the seeds out and tells of them. @returns whether all of them held */
async function lead(options: Arguments): Promise<boolean> {
  const startedAt = performance.now();
  let seeds = 0;
  let requests = 0;
  let seconds = 0;
  let failing = 0;
  const line = () => {
    const rate = seconds > 0 ? Math.round(requests / seconds) : 0;
    const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
    return `${seeds} seeds, ${requests} requests, ${rate} a second and core, ${minutes} min, ${failing} failing`;
  };
  const hear = (progress: Progress) => {
    seeds += progress.seeds;
    requests += progress.requests;
    seconds += progress.seconds;
    if (progress.log !== undefined) process.stdout.write(progress.log);
    if (progress.report !== undefined) {
      failing += 1;
      process.stdout.write(`\n${progress.report}\n`);
    }
    if (process.stderr.isTTY) process.stderr.write(`\r${line()} `);
    else if (seeds % 500 === 0) process.stderr.write(`${line()}\n`);
  };
  let crashed = false;
  const jobs = jobsOf(options, availableParallelism());
  if (jobs === 1) await work(options, { share: 0, of: 1 }, hear);
  else {
    const workers = Array.from(
      { length: jobs },
      (_, share) =>
        new Promise<void>((resolve) => {
          const worker = fork(import.meta.filename, [
            "--worker",
            String(share),
            String(jobs),
            ...process.argv.slice(2),
          ]);
          worker.on("message", (progress) => hear(progress as Progress)); // workers send nothing else
          worker.on("exit", (code) => {
            crashed ||= code !== 0;
            resolve();
          });
        }),
    );
    await Promise.all(workers);
  }
  console.info(`${process.stderr.isTTY ? "\n" : ""}${line()}`);
  if (crashed) console.error("a process of the swarm has died");
  return failing === 0 && !crashed;
}
