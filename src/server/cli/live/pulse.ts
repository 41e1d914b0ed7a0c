/** Calls that ended within one second. */
export interface Beat {
  served: number;
  failed: number;
}

/** How many seconds are remembered. */
export const pulseSeconds = 30;

/** Calls of the last seconds, second by second. Time is monotonic ms. */
export class Pulse {
  readonly #beats: Beat[] = Array.from({ length: pulseSeconds }, () => ({ served: 0, failed: 0 }));
  #latest = Number.NEGATIVE_INFINITY;

  add(now: number, kind: keyof Beat): void {
    this.#advance(now);
    const beat = this.#beats.at(-1);
    if (beat) beat[kind] += 1;
  }

  /** The last so many seconds, the one that is running last. */
  beats(now: number, seconds = pulseSeconds): readonly Readonly<Beat>[] {
    this.#advance(now);
    return this.#beats.slice(-seconds);
  }

  #advance(now: number): void {
    const second = Math.floor(now / 1000);
    const passed = Math.min(second - this.#latest, pulseSeconds);
    for (let each = 0; each < passed; each++) {
      this.#beats.shift();
      this.#beats.push({ served: 0, failed: 0 });
    }
    this.#latest = Math.max(this.#latest, second);
  }
}
