import {
  type SimulatedProvider,
  type SimulatedProviderOptions,
  startSimulatedProvider,
} from "../../../providers/simulated/simulated-provider.ts";

/** When a provider is gone, in ms from its start; then from the beginning. */
export interface Absence {
  readonly everyMs: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** A provider that is not there at all for a part of the time: its port refuses, and what was under way is cut off. */
export interface IntermittentProvider {
  readonly name: string;
  /** The same each time it is back. */
  readonly baseUrl: string;
  /** How long it has been there, or has not, and will be; ms. */
  readonly presence: { readonly there: boolean; readonly sinceMs: number; readonly leftMs: number };
  close(): Promise<void>;
}

/** Another program may have taken the port meanwhile; it may also give it back. */
const retryMs = 1000;

/** Starts a provider that goes and comes back. */
export async function startIntermittentProvider(
  options: SimulatedProviderOptions,
  { everyMs, fromMs, toMs }: Absence,
): Promise<IntermittentProvider> {
  const { clock } = options;
  let provider: SimulatedProvider | undefined = await startSimulatedProvider(options);
  const { name, baseUrl } = provider;
  const port = Number(new URL(baseUrl).port);
  let changedAt = clock.now();
  let nextAt = changedAt + fromMs;
  let closed = false;
  let disarm = clock.schedule(fromMs, leave);

  function become(next: SimulatedProvider | undefined, ms: number, then: () => void): void {
    provider = next;
    changedAt = clock.now();
    nextAt = changedAt + ms;
    disarm = clock.schedule(ms, then);
  }

  function leave(): void {
    void provider?.close();
    become(undefined, toMs - fromMs, () => void comeBack());
  }

  async function comeBack(): Promise<void> {
    const back = await startSimulatedProvider({ ...options, port }).catch(() => undefined);
    if (closed) await back?.close();
    else if (back) become(back, everyMs - toMs + fromMs, leave);
    else disarm = clock.schedule(retryMs, () => void comeBack());
  }

  return {
    name,
    baseUrl,
    get presence() {
      const now = clock.now();
      return { there: provider !== undefined, sinceMs: now - changedAt, leftMs: Math.max(0, nextAt - now) };
    },
    async close() {
      closed = true;
      disarm();
      await provider?.close();
    },
  };
}
