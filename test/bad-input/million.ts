import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { seededRng } from "../../src/runtime/rng.ts";
import { properties } from "./properties.ts";

/**
 * Tries every property of bad input on a million inputs.
 *
 *     node test/bad-input/million.ts [RUNS [FIRST_SEED]]
 *
 * Each input has a seed of its own; that of the first failure is printed, and `million.ts 1 SEED` tries it again.
 */
const [runs = 1_000_000, firstSeed = 1, only] = process.argv.slice(2).map(Number);

if (only === undefined) {
  process.exitCode = (await lead()) ? 0 : 1;
} else {
  process.exitCode = work(only) ? 0 : 1;
}

/** Has every property tried by a process of its own, as many at once as there are processors. */
async function lead(): Promise<boolean> {
  let next = 0;
  let passed = 0;
  const lane = async () => {
    for (let index = next++; index < properties.length; index = next++) {
      const child = fork(import.meta.filename, [runs, firstSeed, index].map(String));
      const code = await new Promise((resolve) => child.on("close", resolve));
      if (code === 0) passed += 1;
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), properties.length) }, lane));
  console.info(`${passed} passed, ${properties.length - passed} failed`);
  return passed === properties.length;
}

/** Tries one property. */
function work(index: number): boolean {
  const property = properties[index];
  if (!property) throw new RangeError(`no property ${index}`);
  const beganAt = performance.now();
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    try {
      property.try(seededRng(seed));
    } catch (error) {
      console.error(`FAILED ${property.name}\nseed ${seed}: ${error instanceof Error ? error.message : error}`);
      return false;
    }
  }
  console.info(`${property.name}: ${runs} inputs, ${((performance.now() - beganAt) / 1000).toFixed(1)} s`);
  return true;
}
