/** A binary heap. `compare` says who comes out first, as for sorting; an item's place in it must not change while it is inside. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #compare: (a: T, b: T) => number;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get first(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    let position = this.#items.push(item) - 1;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const other = this.#items[above] as T; // in range: above < position
      if (this.#compare(item, other) >= 0) break;
      this.#items[position] = other;
      position = above;
    }
    this.#items[position] = item;
  }

  pop(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (last !== undefined && this.#items.length > 0) this.#sink(last);
    return first;
  }

  /** All items in the order in which they would come out, changing nothing. */
  sorted(): T[] {
    return this.#items.toSorted(this.#compare);
  }

  /** Puts `item` at the top, whose place is free, and lets it down to where it belongs. */
  #sink(item: T): void {
    const { length } = this.#items;
    let position = 0;
    for (let below = 1; below < length; below = 2 * position + 1) {
      let child = this.#items[below] as T; // in range: the loop's condition says so
      const sibling = this.#items[below + 1];
      if (sibling !== undefined && this.#compare(sibling, child) < 0) {
        child = sibling;
        below++;
      }
      if (this.#compare(item, child) <= 0) break;
      this.#items[position] = child;
      position = below;
    }
    this.#items[position] = item;
  }
}
