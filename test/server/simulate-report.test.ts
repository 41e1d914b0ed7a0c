import { describe, expect, test } from "vitest";
import { differenceText } from "../../src/server/simulate/difference.ts";
import { layersOf } from "../../src/server/simulate/layers.ts";
import { embedded, html } from "../../src/server/simulate/markup.ts";
import { phaseLines } from "../../src/server/simulate/phase-lines.ts";
import { availabilityLine, sparkline } from "../../src/server/simulate/sparkline.ts";
import { textTable, wrapped } from "../../src/server/simulate/text-table.ts";
import { moneyText, percentText, plainText, shortened, timeText } from "../../src/server/simulate/words.ts";
import type { EndpointReport } from "../../src/simulation/report-shape.ts";

describe("sparklines", () => {
  test("grow from nothing to the most, and leave a blank where nothing was measured", () => {
    expect(sparkline([0, 1, 4, 8, undefined], 8)).toBe("·▂▅█ ");
    expect(sparkline([0, 0], 0)).toBe("  ");
  });

  test("of availability tell 99.9 from 100, which bars by proportion would not", () => {
    expect(availabilityLine([100, 99.95, 99, 95, 90, 75, 50, 0, undefined])).toBe("█▇▆▅▄▃▂▁ ");
  });
});

describe("phases under a timeline", () => {
  const at = (name: string, from: number, to: number) => ({ name, fromMs: from * 1000, toMs: to * 1000 });

  test("have their names inside when those fit, else beside", () => {
    expect(phaseLines([at("outage", 2, 16)], 20, 1000, 40)).toEqual(["  ├── outage ──┤"]);
    expect(phaseLines([at("outage", 2, 5)], 20, 1000, 40)).toEqual(["  ├─┤ outage"]);
    expect(phaseLines([at("outage", 17, 18)], 20, 1000, 20)).toEqual(["          outage │"]);
  });

  test("have lines of their own when they overlap", () => {
    expect(phaseLines([at("a", 0, 10), at("b", 5, 15), at("c", 12, 20)], 20, 1000, 40)).toEqual([
      "├── a ───┤  ├─ c ──┤",
      "     ├── b ───┤",
    ]);
  });
});

describe("tables", () => {
  test("put numbers to the right, and shorten what may be shortened until they fit", () => {
    const columns = [
      { title: "name", flexible: true },
      { title: "n", align: "right" },
    ] as const;
    expect(
      textTable(80, columns, [
        ["a", "1"],
        ["long", "100"],
      ]),
    ).toEqual({ head: "name    n", lines: ["a       1", "long  100"] });
    const narrow = textTable(20, columns, [["a-very-long-name-indeed", "100"]]);
    expect(narrow.lines).toEqual(["a-very-…-indeed  100"]);
  });

  test("and sentences are broken between words, but not between a number and its unit", () => {
    expect(wrapped("it took 12 s in all", 10, "  ")).toEqual(["it took", "  12 s in", "  all"]);
    expect(wrapped("it took 12 s", 10)).toEqual(["it took", "12 s"]);
  });
});

describe("words", () => {
  test("never round what is not all to all", () => {
    expect([100, 99.99999, 99.5, 67.24, 5.123, 0].map(percentText)).toEqual([
      "100 %",
      "99.999 %",
      "99.500 %",
      "67.2 %",
      "5.12 %",
      "0 %",
    ]);
    expect([undefined, 0, 0.0123, 1, 1234.5].map(moneyText)).toEqual(["–", "$0.00", "$0.0123", "$1.00", "$1,234.50"]);
  });

  test("are cut in their middle, and hold nothing that a terminal would obey", () => {
    expect(shortened("abcdefghij", 7)).toBe("abc…hij");
    expect(plainText("a\u001b[31m\nb\u202e")).toBe("a?[31m?b?");
  });
});

describe("differences", () => {
  const shown = (name: string, first: number, second: number, text: (value: number | undefined) => string) =>
    differenceText({ name, label: "", first, second, difference: second - first, better: undefined, text });

  test("are told to their own precision, however alike the two figures look", () => {
    expect(shown("total_p99_ms", 10_600, 11_400, timeText)).toBe("+800 ms");
    expect(shown("total_p99_ms", 11_400, 10_600, timeText)).toBe("−800 ms");
    expect(shown("total_p99_ms", 11_400, 11_400.2, timeText)).toBe("=");
    expect(shown("availability_percent", 50.01, 50.04, percentText)).toBe("+0.030 points");
    expect(shown("availability_percent", 50, 50.0001, percentText)).toBe("=");
    expect(shown("cost_usd", 1, 1, moneyText)).toBe("=");
  });
});

describe("markup", () => {
  test("holds nothing that turns text around or that a page cannot show", () => {
    expect(html`<b>${"a\u202eb\u2066c\u0007"}</b>`.text).toBe("<b>a?b?c?</b>");
    expect(embedded({ name: "a\u202e" }).text).toBe(`{"name":"a?"}`);
  });

  test("escapes what is put in, but for markup, and knows lists and nothing", () => {
    const name = `<b title="x">'&`;
    expect(html`<i title="${name}">${[html`<b>${name}</b>`, undefined, false, 3]}</i>`.text).toBe(
      `<i title="&lt;b title=&quot;x&quot;&gt;&#39;&amp;"><b>&lt;b title=&quot;x&quot;&gt;&#39;&amp;</b>3</i>`,
    );
    expect(embedded({ name: "</script>" }).text).toBe(`{"name":"\\u003c/script>"}`);
  });
});

describe("layers", () => {
  const endpoints = (count: number, tiers: number) =>
    Array.from(
      { length: count },
      (_, index) => ({ endpoint: `e${index}`, tier: 1 + (index % tiers) }) as EndpointReport,
    ); // all that they look at

  test("are endpoints while they are few, tiers when they are many, and some of those as one when they are too many", () => {
    expect(layersOf(endpoints(3, 2)).map(({ name }) => name)).toEqual(["e0", "e1", "e2"]);
    expect(layersOf(endpoints(9, 2))).toEqual([
      { name: "tier 1 (5)", members: [0, 2, 4, 6, 8] },
      { name: "tier 2 (4)", members: [1, 3, 5, 7] },
    ]);
    const ordered = layersOf(endpoints(20, 20));
    expect(ordered).toHaveLength(8);
    expect(ordered.at(-1)).toMatchObject({ name: "13 further tiers" });
  });
});
