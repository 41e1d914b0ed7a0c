import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkConfig } from "../../src/server/config.ts";
import { readTlsFiles } from "../../src/server/tls-files.ts";
import { hasOpenssl, makeCertificate } from "../support/certificates.ts";
import { startProviders } from "../support/gateway.ts";
import { configFile, serve } from "../support/program.ts";

test("a process that leaves lives on when it is told to read its keys again", async () => {
  const providers = await startProviders({ only: { eventPerWrite: true, tokensPerSecond: 5 } });
  const keysFile = join(mkdtempSync(join(tmpdir(), "everhop-test-")), "keys.txt");
  writeFileSync(keysFile, "sk-test-canary-first\n");
  const config = {
    server: { port: 0 },
    providers: [{ name: "only", base_url: providers.only.baseUrl, keys_file: keysFile, models: ["m"] }],
    drain: { pre_stop: 0, grace: "20s" },
  };
  const program = serve(["--config", configFile(JSON.stringify(config))]);
  const [, address = ""] = await program.said(/listens on (http:\S+)/);
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "one two three four" }] }),
  });
  program.child.kill("SIGTERM");
  await program.said(/SIGTERM/);
  program.child.kill("SIGHUP");
  await program.said(/was read again/);
  expect(await response.text()).toContain("[DONE]");
  expect(await program.exited).toBe(0);
});

test.skipIf(!hasOpenssl).each([
  ["empty", ""],
  ["no certificate", "hello\n"],
])("authorities of clients that are %s are refused, for they would be everybody's", (_, text) => {
  const { certFile, keyFile } = makeCertificate("localhost");
  const authorities = join(mkdtempSync(join(tmpdir(), "everhop-test-")), "clients.pem");
  writeFileSync(authorities, text);
  const providers = [{ name: "only", base_url: "http://127.0.0.1:9/v1", models: ["m"] }];
  const server = { tls: { cert: certFile, key: keyFile, client_ca: authorities } };
  expect(() => readTlsFiles(checkConfig({ server, providers }, "the test"), "the test")).toThrow(/clients' authority/);
});
