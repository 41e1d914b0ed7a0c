import { describe, expect, test } from "vitest";
import type { SpanTree } from "../../support/span-tree.ts";
import { outsideTheirParents, transports } from "../../support/traced-gateway.ts";
import { scenarios } from "../../support/traced-scenarios.ts";
import { hasJaeger, startJaeger } from "./jaeger.ts";
import { asJaegerKeeps, spansOf, treeOfJaeger, warningsOf } from "./jaeger-spans.ts";

describe.skipIf(!hasJaeger).each(transports)("over $name, Jaeger shows the trace of", ({ to }) => {
  test.each(scenarios)("$title as it was", async ({ play }) => {
    const jaeger = await startJaeger();
    const { traces } = await play(to(jaeger));
    for (const { traceId, tree } of traces) {
      const trace = await jaeger.trace(traceId, countOf(tree));
      expect(treeOfJaeger(trace)).toEqual(asJaegerKeeps(tree));
      expect(warningsOf(trace)).toEqual([]);
      expect(outsideTheirParents(spansOf(trace))).toEqual([]);
      for (const link of spansOf(trace).flatMap(({ links }) => links)) {
        const linked = spansOf(await jaeger.trace(link.traceId)).find(({ spanId }) => spanId === link.spanId);
        expect(linked).toMatchObject({ name: expect.stringMatching(/^chat /), status: { code: "ERROR" } });
      }
    }
  });
});

function countOf({ children }: SpanTree): number {
  return children.reduce((sum, child) => sum + countOf(child), 1);
}
