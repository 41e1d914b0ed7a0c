import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { type Cancellation, createCancellation } from "../runtime/cancellation.ts";
import type { Clock } from "../runtime/clock.ts";
import { type Rng, randomHex } from "../runtime/rng.ts";
import { compose } from "./compose.ts";
import { checkConfig } from "./config.ts";
import { createListener } from "./listener/listener.ts";
import { answerAtOnce } from "./warm-up/answer-at-once.ts";
import { createEndingClock } from "./warm-up/ending-clock.ts";
import { createGrpcCaller } from "./warm-up/grpc-caller.ts";
import { createRestCaller } from "./warm-up/rest-caller.ts";

/** How much a warm-up may take. */
export interface WarmUpLimits {
  readonly ms: number;
  /** Questions of each kind: REST and gRPC, whole and streamed. */
  readonly questions: number;
}

/** What pays on two cores: more makes nothing faster that a person could tell, and a start is waited for. */
export const warmUpLimits: WarmUpLimits = { ms: 250, questions: 100 };

const timeIsOver = "time is over";

/** What a warm-up has come to. */
export interface WarmUp {
  /** Questions that were answered. */
  readonly answered: number;
  /** Why there were no more, if neither time nor number was the reason. */
  readonly failure: string | undefined;
}

/**
 * Runs the code of requests until it is compiled: the first hundreds of a process cost many times what the later ones do, and those
 * of somebody else are better than a caller's. A gateway of its own, composed as any, is asked over real sockets, and asks a provider
 * that is in this process as well. Neither the configuration nor anything outside of this machine has a part in it; when it is over
 * nothing of it is left.
 * @returns when it is over, never later than the limit
 */
export async function warmUp(
  machine: { clock: Clock; rng: Rng },
  {
    limits = warmUpLimits,
    host = "127.0.0.1",
    provider = answerAtOnce,
    cancellation,
  }: {
    readonly limits?: WarmUpLimits;
    /** Where gateway and provider listen, on ports of the system's choice. */
    readonly host?: string;
    readonly provider?: RequestListener;
    /** Ends it at once. */
    readonly cancellation?: Cancellation;
  } = {},
): Promise<WarmUp> {
  const clock = createEndingClock(machine.clock);
  const { rng } = machine;
  const over = createCancellation();
  const ended = new Promise<void>((resolve) => void over.onCancel(() => resolve()));
  const unlink = cancellation?.onCancel((reason) => over.cancel(reason));
  clock.schedule(limits.ms, () => over.cancel(timeIsOver));
  let answered = 0;
  let failure: string | undefined;

  async function work(): Promise<void> {
    const providerServer = createServer(provider);
    over.onCancel(() => {
      providerServer.close();
      providerServer.closeAllConnections();
    });
    await new Promise<void>((resolve, reject) => {
      providerServer.once("error", reject).listen(0, host, resolve);
    });
    const { port: providerPort } = providerServer.address() as AddressInfo; // a TCP server's address is one
    const key = randomHex(rng, 32);
    const port = await startGateway(`http://${host}:${providerPort}/v1`, key);
    const at = { host, port, key };
    const callers = [
      ...[false, true].map((stream) => createRestCaller(at, stream)),
      ...[false, true].map((stream) => createGrpcCaller(at, stream)),
    ];
    for (const caller of callers) over.onCancel(() => caller.close());
    await Promise.all(
      callers.map(async ({ ask }) => {
        for (let count = 0; count < limits.questions && !over.cancelled; count++) {
          await ask();
          answered += 1;
        }
      }),
    );
  }

  function startGateway(providerUrl: string, key: string): Promise<number> {
    const config = checkConfig(
      {
        auth: { callers: [{ name: "warm-up", key }] },
        providers: [{ name: "warm-up", base_url: providerUrl, keys: [key], models: ["warm-up"] }],
      },
      "the warm-up",
    );
    const reportBug = (error: unknown) => {
      failure ??= String(error);
    };
    const gateway = compose(config, { clock, rng, observer: {}, reportBug });
    const listener = createListener(gateway, { clock, rng, reportBug });
    over.onCancel((reason) => {
      gateway.cut(reason);
      listener.stop();
      listener.destroy();
      void gateway.close();
    });
    return listener.listen(host, 0);
  }

  await Promise.race([work(), ended]).catch((error: unknown) => {
    failure = String(error);
  });
  unlink?.();
  if (answered === 0 && over.reason === timeIsOver) failure ??= `nothing was answered within ${limits.ms} ms`;
  over.cancel("done");
  clock.end();
  return { answered, failure };
}
