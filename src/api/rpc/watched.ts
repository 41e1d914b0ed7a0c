import type { Clock } from "../../runtime/clock.ts";

/** Values that are looked at for whoever watches them. */
export interface Watched<T> {
  /**
   * Tells the value of a name at once, and then whenever it has changed.
   * @returns how to stop watching; harmless when called twice
   */
  watch(name: string, listener: (value: T) => void): () => void;
  /** Looks now, instead of in a moment. */
  look(): void;
}

/** How soon a change is seen, in ms. */
const lookEveryMs = 1000;

/** A name that somebody watches. */
interface Entry<T> {
  value: T;
  readonly listeners: Set<(value: T) => void>;
}

/** Looks at each watched name once a second, however many watch it, and sleeps while nobody does. */
export function createWatched<T>(clock: Clock, statusOf: (name: string) => T): Watched<T> {
  const entries = new Map<string, Entry<T>>();
  let stopTimer = () => {};

  function lookAt(name: string, entry: Entry<T>): void {
    const value = statusOf(name);
    if (value === entry.value) return;
    entry.value = value;
    for (const listener of entry.listeners) listener(value);
  }

  function look(): void {
    for (const [name, entry] of entries) lookAt(name, entry);
  }

  function again(): void {
    stopTimer = clock.schedule(lookEveryMs, () => {
      again();
      look();
    });
  }

  return {
    look,
    watch(name, listener) {
      if (entries.size === 0) again();
      const entry = entries.get(name) ?? { value: statusOf(name), listeners: new Set() };
      entries.set(name, entry);
      lookAt(name, entry);
      const { listeners, value } = entry;
      const own = (changed: T) => listener(changed);
      listeners.add(own);
      listener(value);
      return () => {
        if (!listeners.delete(own) || listeners.size > 0) return;
        entries.delete(name);
        if (entries.size === 0) stopTimer();
      };
    },
  };
}
