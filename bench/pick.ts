import { measurePicks } from "./growth/pick.ts";
import { growthText } from "./growth/table.ts";

/**
 * What the engine alone costs a request, by the size of its pool.
 *
 *   node bench/pick.ts
 */
console.log(growthText(await measurePicks()));
