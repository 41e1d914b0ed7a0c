import { describe, expect, test } from "vitest";
import { version } from "../../src/server/version.ts";
import { treeOf } from "../support/span-tree.ts";
import { outsideTheirParents, startCollector, startTraced, transports } from "../support/traced-gateway.ts";
import { scenarios } from "../support/traced-scenarios.ts";
import { openWire } from "../support/wires.ts";

describe.each(transports)("over $name the trace of", ({ to }) => {
  test.each(scenarios)("$title is whole", async ({ play }) => {
    const receiver = await startCollector();
    const { traces } = await play(to(receiver));
    const { spans } = receiver;
    for (const { traceId, tree } of traces) {
      expect(treeOf(spans, traceId)).toEqual(tree);
    }
    expect(outsideTheirParents(spans)).toEqual([]);
    // Whoever follows a link comes to a hop that has failed.
    for (const link of spans.flatMap(({ links }) => links)) {
      const linked = spans.find(({ traceId, spanId }) => traceId === link.traceId && spanId === link.spanId);
      expect(linked).toMatchObject({
        name: expect.stringMatching(/^chat /),
        kind: "CLIENT",
        status: { code: "ERROR" },
      });
    }
  });
});

test.each(transports)("over $name every span says whose it is, in whatever letters", async ({ to }) => {
  const receiver = await startCollector();
  const resource = { "deployment.environment.name": "größer", größe: "12 🦘", "host.name": "canary" };
  const gateway = await startTraced(
    to(receiver),
    { first: {} },
    { telemetry: { service_name: "Über-Everhop", resource } },
  );
  await openWire("REST", gateway.address).complete({ text: "whose?" });
  await gateway.sent(1);
  for (const span of receiver.spans) {
    expect(span.resource).toEqual({
      ...resource,
      "service.name": "Über-Everhop",
      "service.version": version,
      "service.instance.id": expect.stringMatching(/^[\da-f]{32}$/),
    });
    expect(span.scope).toEqual({ name: "everhop", version });
    expect(span.dropped).toEqual({ attributes: 0, events: 0, links: 0 });
  }
  expect(receiver.spans).toHaveLength(3);
});
