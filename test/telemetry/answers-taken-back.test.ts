import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startTraced } from "../support/traced-gateway.ts";

test("requests that are taken back in the same breath without an error end with their connection", async () => {
  const seen = { began: 0, ended: 0 };
  const { address } = await startTraced(
    undefined,
    { only: {} },
    { parts: { watcher: { began: () => void seen.began++, ended: () => void seen.ended++ } } },
  );
  const session = connect(address);
  onTestFinished(() => session.destroy());
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  for (let requests = 0; requests < 10; requests++) {
    session.request({ ":path": "/healthz" }, { endStream: true }).close(0);
  }
  while (seen.began < 10) await sleep(2);
  session.destroy();
  // Far more than it takes, and far less than what is waited for a client that does not take its answer.
  for (let looks = 0; looks < 100 && seen.ended < 10; looks++) await sleep(20);
  expect(seen).toEqual({ began: 10, ended: 10 });
});
