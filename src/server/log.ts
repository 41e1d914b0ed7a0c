import { inspect } from "node:util";
import type { RouteObserver } from "../routing/observer.ts";
import type { Clock } from "../runtime/clock.ts";
import { closedGate, type LogGate, setGate } from "../telemetry/log/gate.ts";
import { JsonLog, type LineFields } from "../telemetry/log/json-log.ts";
import { type LineCounts, LineWriter } from "../telemetry/log/line-writer.ts";
import { fullName, type Namespace, namespaces, readDebugPatterns } from "../telemetry/log/namespaces.ts";
import type { RequestWatcher } from "../telemetry/request-record.ts";
import { bothObservers } from "./both-observers.ts";
import { bothWatchers } from "./both-watchers.ts";
import { createTextLog } from "./cli/text-log.ts";
import type { Config } from "./config.ts";
import type { Environment } from "./environment.ts";
import { LogFileSink, sumOf } from "./log-file-sink.ts";
import { standardOutlet } from "./log-outlets.ts";
import type { Redact } from "./secrets.ts";

/** All that the process prints and writes down. Nobody ever waits for it. */
export interface ServerLog {
  readonly watcher: RequestWatcher;
  readonly observer: RouteObserver;
  /** What has become of lines, wherever they were to go. */
  readonly counts: Readonly<LineCounts>;
  /** Says something for people, whatever the level; where everything is JSON, as a line of it. */
  say(line: string, namespace?: Namespace, fields?: LineFields): void;
  /** Says what a person should know of the configuration. */
  note(notice: string): void;
  /** Says on standard error what went wrong. */
  complain(line: string, namespace?: Namespace): void;
  /** Something an operator should know. */
  warn(message: string): void;
  /** A bug of ours: all of it on standard error, in the log where it was. */
  reportBug(error: unknown, requestId?: string): void;
  /** One that nobody has foreseen, so that the gateway leaves. */
  reportCrash(error: unknown): void;
  /** Opens what a configuration wants to be opened. @throws ConfigError */
  prepare(config: Config, source: string): void;
  /** Goes on as a configuration says that was prepared. */
  adopt(config: Config): void;
  /** Writes what is left, for a second at most. */
  close(): Promise<void>;
}

/** What a log takes of its surroundings. */
export interface LogSetup {
  readonly clock: Clock;
  readonly env: Environment;
  /** Takes secrets out of what was said by others. */
  readonly redact: Redact;
  /** Whether it is a demo, which speaks to people. */
  readonly isDemo: boolean;
  /** Whether a view of what happens has the terminal. */
  readonly isLive: boolean;
}

const lastFlushMs = 1000;
/** Of the calls that led to a bug. */
const maxFrames = 8;

/** @throws ConfigError when the log file cannot be opened */
export function createServerLog(first: Config, source: string, setup: LogSetup): ServerLog {
  const { clock, redact, isDemo, isLive } = setup;
  const debug = readDebugPatterns(setup.env["DEBUG"]);
  // Of what happens in JSON, of what is said in JSON, and of what happens for people.
  const gates = { json: closedGate(), said: closedGate(), text: closedGate() };
  let form = formOf(first, setup);
  const missing = (lines: number) => (form.isText ? `${lines} lines are missing here.\n` : json.missing(lines));
  const out = printer(process.stdout, console.log);
  const err = printer(process.stderr, console.error);
  const file = new LogFileSink(clock, (lines) => json.missing(lines), warn);
  const json = jsonLog(gates.json, () => form.isJson);
  const said = jsonLog(gates.said, () => form.isAllJson);
  const text = createTextLog({ clock, gate: gates.text, write: out.write }, { servedToo: !isDemo });

  /** The file has all of it, whatever is printed. */
  function jsonLog(gate: LogGate, isPrinted: () => boolean): JsonLog {
    const write = (line: string) => {
      if (isPrinted()) out.write(line);
      file.write(line);
    };
    return new JsonLog({ clock, gate, write });
  }

  /** A live view puts above itself what is printed, and must be told of it at once. */
  function printer(stream: NodeJS.WriteStream & { readonly fd: 1 | 2 }, print: (line: string) => void) {
    const writer = new LineWriter(clock, standardOutlet(stream), missing);
    const write = (line: string) => writer.write(line);
    return { writer, write, print: isLive ? print : (line: string) => write(`${line}\n`) };
  }

  function adopt(config: Config): void {
    file.adopt(config);
    form = formOf(config, setup);
    const { level } = config.log;
    setGate(gates.json, form.isJson || file.isThere ? level : undefined, debug);
    setGate(gates.said, form.isAllJson || file.isThere ? level : undefined, debug);
    setGate(gates.text, form.isText && !isLive ? level : undefined, debug);
  }

  function warn(message: string): void {
    if (isLive) out.print(message);
    text.tell("warn", "telemetry", redact(message));
    json.tell("warn", "telemetry", redact(message));
  }

  /** @param fields not what it says, which may be anything: where it was */
  function report(words: string, message: string, fields: LineFields): void {
    err.print(redact(words));
    json.tell("error", "server", message, fields);
  }

  file.prepare(first, source);
  adopt(first);

  return {
    watcher: bothWatchers(text, json),
    observer: bothObservers(text, json),
    get counts() {
      return [out.writer.counts, err.writer.counts, file.counts].reduce(sumOf);
    },
    say(line, namespace = "server", fields = {}) {
      if (!form.isAllJson) out.print(line);
      said.tell("info", namespace, redact(line), fields);
    },
    note(notice) {
      if (!form.isAllJson) out.print(`Note: ${notice}.`);
      said.tell("warn", "config", redact(notice));
    },
    complain(line, namespace = "server") {
      if (!form.isAllJson) err.print(redact(line));
      said.tell("error", namespace, redact(line));
    },
    warn,
    reportBug(error, requestId) {
      const fields = { request_id: requestId, ...placeOf(error) };
      report(`bug ${requestId ?? ""} ${inspect(error)}`, "a bug of the gateway", fields);
    },
    reportCrash(error) {
      const words = `crash: ${inspect(error)}\nThe gateway leaves; calls in flight may end.`;
      report(words, "a bug of the gateway, which leaves", placeOf(error));
    },
    prepare: (config, from) => file.prepare(config, from),
    adopt,
    async close() {
      await Promise.all([out.writer.flush(lastFlushMs), err.writer.flush(lastFlushMs), file.close()]);
    },
  };
}

/** In what form what happens is printed: for people, in JSON; and whether what is said is JSON as well. */
function formOf({ log: { format } }: Config, { isDemo, isLive }: LogSetup) {
  const isForPeople = isDemo || isLive;
  const isText = isForPeople || format === "text" || (format === "auto" && process.stdout.isTTY === true);
  return { isText, isJson: !isText, isAllJson: !isForPeople && format === "json" };
}

/** What `DEBUG` names of ours that is not there, for people. */
export function debugNotices(env: Environment): string[] {
  const { unknown } = readDebugPatterns(env["DEBUG"]);
  const known = namespaces.map(fullName).join(", ");
  return unknown.map(
    (each) => `DEBUG asks for ${JSON.stringify(each)}, and there is no such namespace: there are ${known}`,
  );
}

/** An error's name and the calls that led to it, without its message. */
function placeOf(error: unknown): { readonly error: string; readonly at?: readonly string[] } {
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = (error.stack ?? "")
    .split("\n")
    .filter((line) => /^ {4}at (?:[\w.<>#$[\] ]{1,100} \()?(?:node:|file:\/\/|\/)[^\s()]{1,300}:\d+:\d+\)?$/.test(line))
    .map((line) => line.slice(7))
    .slice(0, maxFrames);
  return { error: /^\w{1,64}$/.test(error.name) ? error.name : "Error", at: frames };
}
