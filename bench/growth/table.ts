import { table } from "../table.ts";

/** How figures grow from one column to the next. */
export interface GrowthTable {
  /** What is told, and in which unit, where the rows do not say so themselves. */
  readonly figure: string;
  /** The sizes, ascending. */
  readonly columns: readonly string[];
  readonly rows: readonly GrowthRow[];
}

/** One figure at each size. */
export interface GrowthRow {
  readonly name: string;
  /** Undefined where there is none. */
  readonly values: readonly (number | undefined)[];
  readonly digits: number;
}

/** The table as text, with the ratio of each row's last figure over its first. */
export function growthText({ figure, columns, rows }: GrowthTable): string {
  const heads = [figure, ...columns, "last ÷ first"];
  const lines = rows.map(({ name, values, digits }) => {
    const there = values.filter((value) => value !== undefined);
    const [first, last] = [there.at(0), there.at(-1)];
    const ratio = first !== undefined && last !== undefined && there.length > 1 ? (last / first).toFixed(2) : "";
    return [name, ...values.map((value) => value?.toFixed(digits) ?? ""), ratio];
  });
  return table(heads, lines, [0]);
}
