import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cases, openCases } from "./cases.ts";
import { circumstances } from "./machine.ts";
import { measure } from "./measure.ts";
import { measureOpenStreams, type Starters } from "./open-streams.ts";
import { type Options, OptionsError, readOptions, usage } from "./options.ts";
import { peers } from "./peers/peers.ts";
import { startProgram } from "./peers/program.ts";
import { startChild } from "./processes/child.ts";
import { startGateway } from "./processes/gateway.ts";
import type { Tested } from "./processes/tested.ts";
import { reportText } from "./report.ts";
import { keepResult, newestEarlier, resultOf } from "./results.ts";
import { openRowsOf, rowsOf } from "./summary.ts";
import { verdictsOf } from "./verdicts.ts";
import type { Via } from "./via.ts";

const running = new Set<Tested>();
const folder = mkdtempSync(join(tmpdir(), "everhop-bench-"));
const skipped: string[] = [];

/** Whatever happens, no process and no file stays behind. */
function leaveNothing(): void {
  for (const each of running) each.kill();
  rmSync(folder, { recursive: true, force: true });
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

function skip(line: string): void {
  skipped.push(line);
  progress(line);
}

async function started(starting: Promise<Tested>): Promise<Tested> {
  const tested = await starting;
  running.add(tested);
  return tested;
}

async function stopped(tested: Tested): Promise<void> {
  await tested.stop();
  running.delete(tested);
}

/** The cases of a name, or else those whose names contain it. */
function chosen<Of extends { readonly name: string }>(all: readonly Of[], only: string): Of[] {
  const exact = all.filter(({ name }) => name === only);
  return exact.length > 0 ? exact : all.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
}

let folders = 0;
function newFolder(): string {
  const path = join(folder, String(folders++));
  mkdirSync(path);
  return path;
}

/** How each program that there is starts before an upstream, and which version it is of. */
function programs(upstream: Tested, { quick, profileFolder }: Options) {
  const starters: Partial<Record<Via, () => Promise<Tested>>> = {
    floor: () => started(startChild(join(import.meta.dirname, "processes/floor.ts"), [upstream.origin])),
    gateway: () => started(startGateway(newFolder(), upstream.origin, { profileFolder })),
  };
  const versions: Record<string, string> = {};
  for (const peer of quick ? [] : peers) {
    const found = peer.find();
    if (!found) {
      skip(`${peer.name}: SKIPPED, not installed (bench/install-peers)`);
      continue;
    }
    versions[peer.name] = found.version;
    starters[peer.name] = async () =>
      started(startProgram(await peer.prepare(found.path, newFolder(), upstream.origin)));
  }
  return { starters, versions };
}

async function measureAll(options: Options) {
  const { extent, quick, only } = options;
  const comeAndGo = chosen(quick ? cases.filter(({ isQuick }) => isQuick) : cases, only);
  const stay = quick ? [] : chosen(openCases, only);
  if (comeAndGo.length + stay.length === 0) throw new OptionsError(`no case is called ${only}`);
  const direct = await started(startChild(join(import.meta.dirname, "processes/upstream.ts"), []));
  const { starters, versions } = programs(direct, options);
  const on = circumstances(extent, versions);
  const legs = comeAndGo.length === 0 ? [] : await measureComing(comeAndGo, direct, starters, options);
  const openRounds = stay.length === 0 ? 0 : extent.openRounds;
  const openLegs = await measureOpenStreams(stay, starters, direct, openRounds, progress, skip);
  await stopped(direct);
  const rows = rowsOf(legs);
  const openRows = openRowsOf(openLegs);
  const verdicts = verdictsOf(legs, rows, openRows);
  return resultOf({ circumstances: on, skipped, verdicts, rows, openRows, legs, openLegs });
}

async function measureComing(of: typeof cases, direct: Tested, starters: Starters, { extent }: Options) {
  const needed = new Set(of.flatMap(({ via }) => via));
  const processes: Partial<Record<Via, Tested>> = { direct };
  for (const [via, start] of Object.entries(starters) as [Via, () => Promise<Tested>][])
    if (needed.has(via)) processes[via] = await start();
  const legs = await measure(of, processes, extent, progress);
  await Promise.all(Object.values(processes).map((each) => (each === direct ? undefined : stopped(each))));
  return legs;
}

async function run(options: Options): Promise<void> {
  const result = await measureAll(options);
  const earlier = newestEarlier(result.circumstances);
  if (options.json) console.log(JSON.stringify(result, null, 2));
  else console.log(`\n${reportText(result, earlier)}`);
  if (options.keep) progress(`kept as bench/results/${keepResult(result)}`);
}

process.on("exit", leaveNothing);
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));
try {
  await run(readOptions(process.argv.slice(2)));
} catch (error) {
  if (error instanceof OptionsError) console.error(`${error.message}\n${usage}`);
  else console.error(error instanceof Error ? error.message : error);
  process.exit(error instanceof OptionsError ? 2 : 1);
}
