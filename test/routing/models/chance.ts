import fc from "fast-check";
import type { Rng } from "../../../src/runtime/rng.ts";

/** Chance that a case decides: it stands still between steps, so that a model need not know how often it is asked. */
export class Chance implements Rng {
  value = 0.5;

  next(): number {
    return this.value;
  }
}

/** Fifths: they keep drawn times in whole steps, so that cases meet the very moment at which something ends. */
export const fifths = fc.nat(4).map((count) => count / 5);
