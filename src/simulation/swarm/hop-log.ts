/**
 * Everything that happens in a run, one line an event, with virtual time. Its hash is the run's identity: two runs of one seed that
 * differ in a single character are different runs.
 */
export class HopLog {
  readonly #now: () => number;
  readonly #lines: string[] | undefined;
  #low = 0x811c9dc5;
  #high = 0x01000193;

  /** @param kept whether the lines are wanted, or only their hash */
  constructor(now: () => number, kept: boolean) {
    this.#now = now;
    this.#lines = kept ? [] : undefined;
  }

  write(what: string): void {
    const line = `${this.#now().toFixed(3)} ${what}`;
    this.#lines?.push(line);
    for (let position = 0; position < line.length; position++) {
      const unit = line.charCodeAt(position);
      this.#low = Math.imul(this.#low ^ unit, 0x01000193);
      this.#high = Math.imul(this.#high ^ unit, 0x85ebca6b);
    }
    this.#low = Math.imul(this.#low ^ 10, 0x01000193);
  }

  /** 16 hexadecimal digits. Formula: FNV-1a twice, with two primes. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }

  get text(): string {
    return this.#lines?.map((line) => `${line}\n`).join("") ?? "";
  }
}
