import type { Fault } from "./fault.ts";
import { isFault } from "./parse-fault.ts";
import type { Headers } from "./step.ts";

/** How a simulated provider behaves. Everything may be changed while it runs; a request keeps what was set when its body had arrived. */
export interface Behaviour {
  /** What `GET /v1/models` lists; any other model is a 404. Empty, the default, takes any model. */
  models: string[];
  /** Keys that are let in as `Authorization: Bearer …`. Empty, the default, lets everybody in. */
  keys: string[];
  /** Milliseconds until the first content of an answer. Faults without content come at once; they have a `delayMs` of their own. Default 0. */
  latencyMs: number;
  /** The pace of answers, unary ones included, which come when their last token would. Default Infinity: as fast as it can be written. */
  tokensPerSecond: number;
  /**
   * What goes wrong, one entry per chat request that does not choose for itself: a list, begun anew at its end and whenever
   * it is set, or a function of the number of such requests since it was set, the first being 1, and of the key that it came with.
   * Default: nothing ever.
   */
  schedule: readonly Fault[] | ((requestNumber: number, key: string | undefined) => Fault | undefined);
  /** What goes wrong with `GET /v1/models`, on which health checks rely. Only faults without an answer make sense. Default undefined: nothing. */
  modelsFault: Fault | undefined;
  /** Whether the usage is told: in unary answers, and in streams that ask for it. Default true. */
  usage: boolean;
  /** Most tokens of one candidate, whatever is asked for. Default 65,536. */
  mostTokens: number;
  /** Said in place of quoting the user. Default undefined: quote. */
  text: string | undefined;
  /**
   * What becomes of a request whose last message is the assistant's: the answer goes on with that text; it is refused; or, the
   * default, the answer begins anew as if the message were not there.
   */
  prefill: "goes_on" | "refused" | "anew";
  /** Sent with every answer that is no fault, for instance `x-ratelimit-remaining-requests`. Default none. */
  headers: Headers;
  /** Sends the headers of a stream at once instead of with its first content. Default false. */
  earlyHeaders: boolean;
  /** Gives every event a write of its own, where they would otherwise share one as far as the pace allows. Default false: sharing is cheaper. */
  eventPerWrite: boolean;
}

/**
 * The behaviour of a healthy provider that takes anything, with changes.
 * @throws TypeError when a fault among them is none: better now than in the middle of an answer
 */
export function behaviourWith(changes: Partial<Behaviour>): Behaviour {
  const faults = [changes.modelsFault ?? [], typeof changes.schedule === "object" ? changes.schedule : []].flat();
  const wrong = faults.find((fault) => !isFault(fault));
  if (wrong !== undefined) throw new TypeError(`not a fault: ${JSON.stringify(wrong)}`);
  return {
    models: changes.models ?? [],
    keys: changes.keys ?? [],
    latencyMs: changes.latencyMs ?? 0,
    tokensPerSecond: changes.tokensPerSecond ?? Infinity,
    schedule: changes.schedule ?? [],
    modelsFault: changes.modelsFault,
    usage: changes.usage ?? true,
    mostTokens: changes.mostTokens ?? 2 ** 16,
    text: changes.text,
    prefill: changes.prefill ?? "anew",
    headers: changes.headers ?? {},
    earlyHeaders: changes.earlyHeaders ?? false,
    eventPerWrite: changes.eventPerWrite ?? false,
  };
}
