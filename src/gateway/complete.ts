import { type Fault, FaultError } from "../chat/fault.ts";
import type { AnswerFacts, AnswerFold, HttpAnswer, Lane, ReadMeaning } from "../providers/lane.ts";
import { remainingReset } from "../providers/rate-limit.ts";
import { header } from "../providers/retry-after.ts";
import type { Target } from "../providers/target.ts";
import type { UpstreamAnswer, UpstreamBody } from "../providers/upstream.ts";
import type { Key } from "../routing/endpoint.ts";
import type { Lease } from "../routing/lease.ts";
import { RouteError } from "../routing/router.ts";
import type { TokenCounts, Trail } from "../routing/trail.ts";
import type { Clock } from "../runtime/clock.ts";
import { type CallAdditions, createAdditions } from "./additions.ts";
import type { ByteAccount } from "./byte-budget.ts";
import { type Call, CallError, enter, type Machine } from "./call.ts";
import { LateReads } from "./late-reads.ts";
import { withTrace } from "./trace-headers.ts";

/** Answers larger than this are not taken: 64 MiB. */
const maxAnswerBytes = 64 << 20;
/** Of an answer that is no success no more is read than this: 64 KiB. */
const maxErrorBytes = 64 << 10;

/** A whole answer and the way to it. */
export interface Completed<Answer> {
  readonly value: Answer;
  /** The provider that served. */
  readonly provider: string;
  readonly trail: Trail;
  /** From the call's arrival to its answer. */
  readonly latencyMs: number;
}

/**
 * Answers a call at once, whatever its payload is.
 * @throws CallError (rejects)
 */
export function complete<Answer>(
  machine: Machine,
  call: Call,
  lane: Lane<Answer, unknown>,
): Promise<Completed<Answer>> {
  const arrivedAt = machine.clock.now();
  let release = () => {};
  call.record.streams = false;
  const failed = (error: unknown) => {
    if (error instanceof RouteError) call.record.trail = error.trail;
    release();
    return error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
  };
  try {
    const pool = machine.catalog().pool(call.destination, call.caller);
    const entered = enter(machine, call);
    release = entered.release;
    const additions = createAdditions(machine.additions);
    const attempt = (lease: Lease<Target>) => attemptAt(lease, { machine, call, lane, additions });
    return machine.router.run(pool, attempt, entered.options).then(
      ({ value, lease, trail }) => {
        call.record.trail = trail;
        release();
        return { value, provider: lease.endpoint.provider, trail, latencyMs: machine.clock.now() - arrivedAt };
      },
      (error) => {
        throw failed(error);
      },
    );
  } catch (error) {
    return Promise.reject(failed(error));
  }
}

/** What the attempts of one call have in common. */
interface Asked<Answer> {
  readonly machine: Machine;
  readonly call: Call;
  readonly lane: Lane<Answer, unknown>;
  readonly additions: CallAdditions;
}

/** One upstream call to its whole answer. @throws FaultError when it is none */
async function attemptAt<Answer>(
  lease: Lease<Target>,
  { machine, call, lane, additions }: Asked<Answer>,
): Promise<Answer> {
  const { endpoint: target } = lease;
  const request = withTrace(lane.request(target, "unary", additions.for(target)), lease, call.record);
  const answer = await machine.upstream.send(target, lease.key, request, lease.cancellation);
  noteHead(lease, answer);
  try {
    const isWhole = request.mode === "unary" && isSuccess(answer);
    const { value, usage, facts } = isWhole
      ? understoodAnswer(lease, lane, answer, await wholeBody(answer, call.account))
      : await streamedAnswer(lease, lane, answer, { account: call.account, clock: machine.clock });
    noteUsage(lease, usage);
    if (facts) lease.note(facts);
    additions.succeeded(target);
    return value;
  } catch (error) {
    throw error instanceof FaultError ? additions.blamed(target, request, error) : error;
  }
}

/** What an answer says, and what is to be written down of it. */
interface Understood<Answer> {
  readonly value: Answer;
  readonly usage?: TokenCounts | undefined;
  readonly facts?: AnswerFacts | undefined;
}

/** What a whole answer says. @throws FaultError when it is none */
function understoodAnswer<Answer>(
  lease: Lease<Target>,
  lane: Lane<Answer, unknown>,
  { status, headers }: UpstreamAnswer,
  body: Buffer,
): Understood<Answer> {
  return understood(lease, () => lane.answer(lease.endpoint, { status, headers, body }));
}

/** What an answer says that comes as a stream. @throws FaultError when it is none, or no success */
async function streamedAnswer<Answer>(
  lease: Lease<Target>,
  lane: Lane<Answer, unknown>,
  answer: UpstreamAnswer,
  means: { readonly account: ByteAccount; readonly clock: Clock },
): Promise<Understood<Answer>> {
  if (isSuccess(answer)) return folded(lease, answer, lane.fold(lease.endpoint), means);
  throw new FaultError(withoutKey(lane.fault(await errorAnswer(answer, means.clock)), lease.key));
}

/** Reads a stream to its end, which need not be that of its connection. Until then nobody is told anything: all of it may hop on. */
async function folded<Answer>(
  lease: Lease<Target>,
  { status, body }: UpstreamAnswer,
  fold: AnswerFold<Answer>,
  { account, clock }: { readonly account: ByteAccount; readonly clock: Clock },
): Promise<Understood<Answer>> {
  const late = new LateReads(body, clock);
  let usage: TokenCounts | undefined;
  let length = 0;
  let hasContent = false;
  let finished = false;
  for (;;) {
    const bytes = finished ? await late.read() : await body.read();
    const ended = typeof bytes === "string";
    if (!ended) {
      account.take(bytes.length);
      length += bytes.length;
      if (length > maxAnswerBytes) throw new FaultError({ kind: "too_large", status });
    }
    const read: ReadMeaning = understood(lease, () => (ended ? fold.end() : fold.push(bytes)));
    if (read.content) {
      hasContent = true;
      lease.progressed();
      late.prolong();
    }
    if (read.fault) throw new FaultError({ ...withoutKey(read.fault, lease.key), status });
    usage = read.usage ?? usage;
    if (ended || read.done) {
      if (!hasContent) throw new FaultError({ kind: "truncated", status });
      void letEnd(body, clock);
      return { value: understood(lease, () => fold.value()), usage, facts: fold.facts() };
    }
    finished = read.finished;
  }
}

/** Whether an answer may be what was asked for; redirects are not followed. */
export function isSuccess({ status }: UpstreamAnswer): boolean {
  return status >= 200 && status < 300;
}

/** Tells the trail what an attempt took, and what that cost if its prices are known. */
export function noteUsage(lease: Lease<Target>, usage: TokenCounts | undefined): void {
  if (!usage) return;
  const { prices } = lease.endpoint;
  if (!prices) {
    lease.note({ usage });
    return;
  }
  // Dollars for a thousand tokens are thousandths of a dollar for one: a thousand millionths.
  const costMicros = (usage.inputTokens * prices.inputPer1k + usage.outputTokens * prices.outputPer1k) * 1000;
  lease.note({ usage, costMicros: Math.round(costMicros) });
}

/** Tells the trail what an answer's head says. */
export function noteHead(lease: Lease, { status, headers }: UpstreamAnswer): void {
  const id = header(headers, "x-request-id");
  lease.note(
    id ? { httpStatus: status, upstreamRequestId: keyless(id, lease.key).slice(0, 128) } : { httpStatus: status },
  );
  const resetMs = remainingReset(headers);
  if (resetMs !== undefined) lease.noteLimit(resetMs);
}

/**
 * What a lane makes of an upstream's bytes. Whatever it stumbles over is the upstream's nonsense: the request may hop on.
 * @throws FaultError
 */
export function understood<T>({ key }: Lease, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FaultError) throw new FaultError(withoutKey(error.fault, key));
    throw new FaultError({ kind: "malformed", message: "the answer cannot be understood" }, { cause: error });
  }
}

/** Shorter ones are no secrets, and stand in many a word. */
const leastSecret = 8;

/** A fault whose words do not repeat the key that was used: some providers quote it when they refuse it. */
export function withoutKey<F extends Fault>(fault: F, key: Key | undefined): F {
  const cleaned: Record<string, unknown> = { ...fault };
  for (const name of ["message", "providerCode", "param"]) {
    const words = cleaned[name];
    if (typeof words === "string") cleaned[name] = keyless(words, key);
  }
  return cleaned as F; // the same members, its texts still texts
}

/** What a provider says, without the key that it was asked with. */
function keyless(words: string, key: Key | undefined): string {
  const secret = key?.secret.reveal() ?? "";
  return secret.length < leastSecret ? words : words.replaceAll(secret, "[key]");
}

/** Reads a success to its end. */
export async function wholeAnswer(answer: UpstreamAnswer, account: ByteAccount): Promise<HttpAnswer> {
  const { status, headers } = answer;
  return { status, headers, body: await wholeBody(answer, account) };
}

function wholeBody({ status, body }: UpstreamAnswer, account: ByteAccount): Promise<Buffer> {
  let length = 0;
  return body.whole((more) => {
    account.take(more);
    length += more;
    if (length > maxAnswerBytes) throw new FaultError({ kind: "too_large", status });
  });
}

/** Reads what an answer that is no success says, if it says so soon: its status alone tells enough to go on. */
export async function errorAnswer({ status, headers, body }: UpstreamAnswer, clock: Clock): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  await readFor(lingerMs, body, clock, maxErrorBytes, (bytes) => chunks.push(bytes));
  return { status, headers, body: joined(chunks) };
}

/** How long a body whose rest matters little may take to end by itself, so that its connection can serve again. */
const lingerMs = 1000;

/** Lets a body end whose rest does not matter. */
export async function letEnd(body: UpstreamBody, clock: Clock): Promise<void> {
  await readFor(lingerMs, body, clock, maxErrorBytes, () => {});
}

/** Reads for so long and so much at most, and gives up the rest. A body that breaks off has ended, too. */
async function readFor(
  ms: number,
  body: UpstreamBody,
  clock: Clock,
  limitBytes: number,
  take: (bytes: Buffer) => void,
): Promise<void> {
  const deadline = clock.now() + ms;
  let length = 0;
  try {
    while (length <= limitBytes && clock.now() < deadline) {
      const bytes = await body.read(deadline - clock.now());
      if (bytes === "end") return;
      if (bytes === "silence") break;
      length += bytes.length;
      take(bytes);
    }
    body.cancel();
  } catch {
    // It broke off: then it has ended.
  }
}

function joined(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
}
