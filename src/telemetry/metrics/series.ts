/** Counts up. */
export interface Counter {
  value: number;
}

/** What stands under a key, which is made when it is missing. */
export function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** A counter that has counted nothing. */
export function newCounter(): Counter {
  return { value: 0 };
}

/** Counters by one label. */
export function newCounters(): Map<string, Counter> {
  return new Map();
}

/** Counters by two labels. */
export function newCounterTable(): Map<string, Map<string, Counter>> {
  return new Map();
}
