import { FaultError } from "../chat/fault.ts";
import type { Lane } from "../providers/lane.ts";
import { header } from "../providers/retry-after.ts";
import type { Target } from "../providers/target.ts";
import type { UpstreamAnswer, UpstreamBody } from "../providers/upstream.ts";
import type { Lease } from "../routing/lease.ts";
import { RouteError } from "../routing/router.ts";
import type { Trail } from "../routing/trail.ts";
import { type Call, CallError, type Machine, maxAnswerBytes, maxErrorBytes, runOptions } from "./call.ts";

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
 * @throws CallError
 */
export async function complete<Answer>(
  machine: Machine,
  call: Call,
  lane: Lane<Answer, unknown>,
): Promise<Completed<Answer>> {
  const arrivedAt = machine.clock.now();
  const { options, release } = runOptions(machine, call);
  try {
    const pool = machine.catalog().pool(call.destination, call.caller);
    const attempt = async (lease: Lease<Target>) => {
      const { endpoint: target, key, cancellation } = lease;
      const answer = await machine.upstream.send(target, key, lane.request(target, "unary"), cancellation);
      noteHead(lease, answer);
      if (!isSuccess(answer)) throw new FaultError(lane.fault(await whole(answer, maxErrorBytes)));
      const { value, usage } = lane.answer(target, await whole(answer, maxAnswerBytes));
      if (usage) lease.note({ usage });
      return value;
    };
    const { value, lease, trail } = await machine.router.run(pool, attempt, options);
    return { value, provider: lease.endpoint.provider, trail, latencyMs: machine.clock.now() - arrivedAt };
  } catch (error) {
    throw error instanceof RouteError ? CallError.ofRoute(error) : CallError.from(error);
  } finally {
    release();
  }
}

/** Whether an answer may be what was asked for; redirects are not followed. */
export function isSuccess({ status }: UpstreamAnswer): boolean {
  return status >= 200 && status < 300;
}

/** Tells the trail what an answer's head says. */
export function noteHead(lease: Lease, { status, headers }: UpstreamAnswer): void {
  const id = header(headers, "x-request-id");
  lease.note({ httpStatus: status, ...(id && { upstreamRequestId: id.slice(0, 128) }) });
}

/** Reads a body to its end, or up to the limit: an error's is cut there, a success's is a fault of its own. */
export async function whole({ status, headers, body }: UpstreamAnswer, limitBytes: number) {
  const chunks: Buffer[] = [];
  let length = 0;
  for (let bytes = await body.read(); typeof bytes !== "string"; bytes = await body.read()) {
    chunks.push(bytes);
    length += bytes.length;
    if (length > limitBytes) {
      body.cancel();
      if (limitBytes === maxAnswerBytes) throw new FaultError({ kind: "too_large", status });
      break;
    }
  }
  return { status, headers, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks) };
}

/** How long a finished body may take to end by itself, so that its connection can serve again. */
const lingerMs = 1000;

/** Lets a body end whose rest does not matter. */
export async function letEnd(body: UpstreamBody): Promise<void> {
  try {
    let bytes = await body.read(lingerMs);
    for (let budget = maxErrorBytes; typeof bytes !== "string" && budget > 0; bytes = await body.read(lingerMs)) {
      budget -= bytes.length;
    }
    if (bytes !== "end") body.cancel();
  } catch {
    // It broke off: then it has ended too.
  }
}
