import { type Logger, pino } from "pino";
import type { RouteObserver } from "../../routing/observer.ts";
import type { AttemptRecord, SkipRecord, Trail, WaitRecord } from "../../routing/trail.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { RequestRecord, RequestWatcher } from "../request-record.ts";
import { type LogGate, type LogLevel, ranks } from "./gate.ts";
import { fullName, type Namespace, namespaces } from "./namespaces.ts";
import { codeWord, hopFields, requestFields, rounded, skipFields } from "./request-fields.ts";
import { requestLevel } from "./request-level.ts";
import { placeOf, switchReason, switchTo } from "./switches.ts";

/** What a log of lines in JSON takes of its surroundings. */
export interface JsonLogSetup {
  readonly clock: Clock;
  readonly gate: LogGate;
  /** @param line with its end */
  write(line: string): void;
}

/** Members of a line that is of no request. */
export type LineFields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/**
 * Everything that happens, a line of JSON each: of every request its end, of every switch to another attempt why, breakers; with `debug`
 * every step. Lines are made by name of what may be in them.
 */
export class JsonLog implements RequestWatcher, RouteObserver {
  readonly #clock: Clock;
  readonly #gate: LogGate;
  readonly #write: (line: string) => void;
  readonly #loggers: Readonly<Record<Namespace, Logger>>;
  /** Requests under way by their spans: a trail does not know whose it is. */
  readonly #requests = new Map<string, RequestRecord>();
  #second = 0;
  #secondText = "";

  constructor({ clock, gate, write }: JsonLogSetup) {
    this.#clock = clock;
    this.#gate = gate;
    this.#write = write;
    const logger = pino(
      {
        base: null,
        // What is written, the gate decides.
        level: "debug",
        timestamp: () => `,"time":"${this.#time()}"`,
        formatters: { level: (level) => ({ level }) },
      },
      { write },
    );
    this.#loggers = Object.fromEntries(
      namespaces.map((each) => [each, logger.child({ ns: fullName(each) })]),
    ) as unknown as Record<Namespace, Logger>; // one for each name
  }

  /** Writes a line that is of no request. @param message without anything secret: it is written as it is */
  tell(level: LogLevel, namespace: Namespace, message: string, fields: LineFields = {}): void {
    if (ranks[level] >= this.#gate[namespace]) this.#loggers[namespace][level](fields, message);
  }

  /** The line that tells how many lines are missing before it. */
  missing(lines: number): string {
    const said = { level: "warn", time: this.#time(), ns: fullName("telemetry"), dropped: lines };
    return `${JSON.stringify({ ...said, msg: "lines are missing here: nobody took them" })}\n`;
  }

  began(record: RequestRecord): void {
    const gate = this.#gate;
    // Whoever opens the gate later finds those that begin later.
    if (ranks.warn >= gate.hop || ranks.debug >= gate.routing) this.#requests.set(record.head.spanId, record);
    if (ranks.debug < gate.request) return;
    const { requestId, traceId, wire, method } = record.head;
    const fields = { request_id: requestId, trace_id: traceId, protocol: wire, method };
    this.#loggers.request.debug(fields, "request began");
  }

  ended(record: RequestRecord): void {
    if (this.#requests.size > 0) this.#requests.delete(record.head.spanId);
    const gate = this.#gate;
    if (gate.request > ranks.error) return;
    const level = requestLevel(record);
    if (ranks[level] < gate.request) return;
    // By hand, for it is the one line that every request has: half of what a logger would take.
    const fields = JSON.stringify(requestFields(record));
    const message = messageOf(record, level);
    this.#write(
      `{"level":"${level}","time":"${this.#time()}","ns":"everhop:request",${fields.slice(1, -1)},"msg":"${message}"}\n`,
    );
  }

  abandoned(record: RequestRecord): void {
    this.#requests.delete(record.head.spanId);
  }

  attemptStarted(trail: Trail, attempt: AttemptRecord): void {
    const gate = this.#gate;
    if (attempt.index > 1 && ranks.warn >= gate.hop) this.#tellSwitch(trail, attempt);
    if (ranks.debug < gate.routing) return;
    const { index, endpoint, keyName, tier, permit, purpose, waitMs, waitReason } = attempt;
    this.#loggers.routing.debug(
      {
        ...this.#idsOf(trail),
        attempt: index,
        endpoint,
        key: keyName || undefined,
        tier,
        breaker: permit === "normal" ? undefined : permit,
        purpose,
        wait_ms: waitMs === undefined ? undefined : rounded(waitMs),
        wait_reason: waitReason,
      },
      "picked",
    );
  }

  committed(trail: Trail, { index, endpoint, firstContentMs = 0 }: AttemptRecord): void {
    if (ranks.debug < this.#gate.hop) return;
    const fields = { ...this.#idsOf(trail), attempt: index, endpoint, first_token_ms: rounded(firstContentMs) };
    this.#loggers.hop.debug(fields, "first content");
  }

  attemptEnded(trail: Trail, attempt: AttemptRecord): void {
    if (ranks.debug < this.#gate.hop) return;
    const { start_ms: _, ...fields } = hopFields(attempt, attempt.startedAt);
    this.#loggers.hop.debug({ ...this.#idsOf(trail), ...fields }, "hop ended");
  }

  skipped(trail: Trail, skip: SkipRecord): void {
    if (ranks.debug < this.#gate.routing) return;
    this.#loggers.routing.debug({ ...this.#idsOf(trail), ...skipFields(skip) }, "skipped");
  }

  waited(trail: Trail, { reason, durationMs, beforeAttempt }: WaitRecord): void {
    if (ranks.debug < this.#gate.routing) return;
    const wait = { reason, duration_ms: rounded(durationMs), before_attempt: beforeAttempt };
    this.#loggers.routing.debug({ ...this.#idsOf(trail), ...wait }, "waited");
  }

  breakerChanged(
    endpoint: string,
    state: Parameters<NonNullable<RouteObserver["breakerChanged"]>>[1],
    untilTimeMs: number | undefined,
  ): void {
    const level = state === "open" ? "warn" : "info";
    if (ranks[level] < this.#gate.breaker) return;
    const until = untilTimeMs === undefined ? undefined : new Date(untilTimeMs).toISOString();
    this.#loggers.breaker[level]({ endpoint, state, until }, `breaker ${state.replace("_", " ")}`);
  }

  #tellSwitch(trail: Trail, to: AttemptRecord): void {
    const change = switchTo(trail, to);
    if (!change) return;
    const { kind, from } = change;
    const [fromPlace, toPlace] = [placeOf(from), placeOf(to)];
    const reason = switchReason(change);
    this.#loggers.hop.warn(
      {
        ...this.#idsOf(trail),
        from: fromPlace,
        to: toPlace,
        attempt: to.index,
        switch: kind,
        class: from.outcome,
        http_status: from.httpStatus,
        provider_code: codeWord(from.providerCode),
        reason,
        fix: from.hint,
        wait_ms: to.waitMs === undefined ? undefined : rounded(to.waitMs),
        wait_reason: to.waitReason,
      },
      `${fromPlace} → ${toPlace}: ${reason}`,
    );
  }

  #idsOf({ traceId, spanId, model }: Trail) {
    const record = this.#requests.get(spanId);
    return { request_id: record?.requestId, trace_id: traceId, caller: record?.caller, model };
  }

  /** Of one second only the milliseconds differ. */
  #time(): string {
    const now = this.#clock.wallTime();
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 20);
    }
    return `${this.#secondText}${String(Math.floor(now) - second * 1000).padStart(3, "0")}Z`;
  }
}

function messageOf({ failure, trail, httpStatus }: RequestRecord, level: LogLevel): string {
  if (!failure) return httpStatus >= 500 ? "request not served" : "request served";
  if (trail?.partial) return "request broken off";
  if (failure.rpc === "canceled") return "request given up";
  return level === "info" || level === "debug" ? "request refused" : "request not served";
}
