import { renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith } from "../support/program.ts";

interface Parts {
  readonly baseUrl: string;
  readonly port?: number;
  readonly more?: string;
  readonly model?: string;
  readonly key?: string;
}

function yaml({ baseUrl, port = 0, more = "", model = "small", key = "sk-test-canary-first" }: Parts): string {
  return `server: { port: ${port} }
providers:
  - { name: only, base_url: "${baseUrl}", keys: ["${key}"], models: [${model}] }
log: { level: debug }
${more}`;
}

/** The product with an `everhop.yaml` in a folder of its own. */
async function running(text: string) {
  const folder = folderWith({ "everhop.yaml": text });
  const program = everhopIn(folder, ["serve"]);
  const [, address = ""] = await program.said(/listens on (\S+)/);
  await program.said(/everhop\.yaml: only/);
  const file = join(folder, "everhop.yaml");
  return {
    folder,
    file,
    program,
    address,
    chat: (body: Readonly<Record<string, unknown>> = {}, headers: Record<string, string> = {}) =>
      fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "Hello" }], ...body }),
      }),
  };
}

describe("a configuration that changes while it is in use", () => {
  test("is taken over when its file has been written, and says what is different", async () => {
    const { one, two } = await startProviders({ one: {}, two: {} });
    const { file, program, chat } = await running(yaml(one));
    expect((await chat()).status).toBe(200);
    writeFileSync(file, yaml({ ...two, model: "small, large", more: "routing: { max_attempts: 2 }" }));
    await program.said(/everhop\.yaml: everhop\.yaml was read again; changed: provider only, routing\./);
    expect((await chat({ model: "large" })).status).toBe(200);
    expect(two.seen).toHaveLength(1);
    expect(one.seen).toHaveLength(1);
  });

  test("lets streams end as they began, whoever serves after them", async () => {
    const { one, two } = await startProviders({ one: { tokensPerSecond: 20, text: "one ".repeat(40) }, two: {} });
    const { file, program, chat } = await running(yaml(one));
    const stream = await chat({ stream: true });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader?.read())?.value ?? "";
    writeFileSync(
      file,
      yaml({
        ...two,
        key: "sk-test-canary-second",
        more: 'auth: { callers: [{ name: a, key: "sk-test-canary-caller" }] }',
      }),
    );
    await program.said(/was read again/);
    expect((await chat()).status).toBe(401);
    expect((await chat({}, { authorization: "Bearer sk-test-canary-caller" })).status).toBe(200);
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) text += next.value;
    expect(text.match(/"content":" ?one/g)).toHaveLength(40);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(one.seen[0]).toMatchObject({ aborted: false, finished: true });
  });

  test("stays as it was while the file is wrong, which is told with line and column, and goes on when it is right", async () => {
    const { one } = await startProviders({ one: {} });
    const { file, program, chat } = await running(yaml(one));
    writeFileSync(file, yaml({ ...one, more: "routing: { max_attempts: many }" }));
    await program.said(
      /everything stays as it was\. everhop\.yaml cannot be used: \(line:column\)\n {2}5:26 +routing\.max_attempts/,
    );
    expect((await chat()).status).toBe(200);
    writeFileSync(file, "providers: [");
    await program.said(/is no valid YAML/);
    rmSync(file);
    await program.said(/nothing is configured any more/);
    expect((await chat()).status).toBe(200);
    writeFileSync(file, yaml({ ...one, model: "other" }));
    await program.said(/changed: provider only/);
    expect((await chat({ model: "other" })).status).toBe(200);
    expect((await chat()).status).toBe(404);
    expect(program.output()).not.toContain("canary");
  });

  test("may be replaced as a whole, behind a link as mounted ones are, and be taken over by SIGHUP", async () => {
    const { one } = await startProviders({ one: {} });
    const folder = folderWith({ "old/everhop.yaml": yaml(one), "new/everhop.yaml": yaml({ ...one, model: "next" }) });
    symlinkSync("old", join(folder, "current"));
    const program = everhopIn(folder, ["serve", "--config", "current/everhop.yaml"]);
    await program.said(/current\/everhop\.yaml: only/);
    symlinkSync("new", join(folder, "swap"));
    renameSync(join(folder, "swap"), join(folder, "current"));
    await program.said(/current\/everhop\.yaml was read again; changed: provider only/);
    program.child.kill("SIGHUP");
    await program.said(/SIGHUP: current\/everhop\.yaml was read again; it says the same\./);
  });

  test("is refused where a start would be: open to the world", async () => {
    const { one } = await startProviders({ one: {} });
    const closed = 'auth: { callers: [{ name: a, key: "sk-test-canary-caller" }] }';
    const folder = folderWith({
      "everhop.yaml": yaml({ ...one, more: closed }).replace("server: {", "server: { host: 0.0.0.0,"),
    });
    const program = everhopIn(folder, ["serve"]);
    await program.said(/everhop\.yaml: only/);
    writeFileSync(join(folder, "everhop.yaml"), yaml(one).replace("server: {", "server: { host: 0.0.0.0,"));
    await program.said(/everything stays as it was\. .*\n.*not loopback/);
  });

  test("says what must wait for the next start", async () => {
    const { one } = await startProviders({ one: {} });
    const { file, program, chat } = await running(yaml(one));
    writeFileSync(file, yaml({ ...one, port: 1 }));
    await program.said(/Note: server\.port is used from the next start on\./);
    expect((await chat()).status).toBe(200);
  });

  test("may have its variables in .env, which is read again, too", async () => {
    const { one } = await startProviders({ one: { keys: ["sk-test-canary-right"] } });
    const folder = folderWith({
      "everhop.yaml": yaml({ ...one, key: `\${ONLY_KEY}` }),
      ".env": "ONLY_KEY=sk-test-canary-wrong\n",
    });
    const program = everhopIn(folder, ["serve"]);
    const [, address = ""] = await program.said(/listens on (\S+)/);
    await program.said(/everhop\.yaml: only/);
    const chat = () =>
      fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "small", messages: [{ role: "user", content: "Hello" }] }),
      });
    expect((await chat()).status).toBe(502);
    writeFileSync(join(folder, ".env"), "ONLY_KEY=sk-test-canary-right\n");
    await program.said(/\.env: everhop\.yaml was read again; changed: provider only\./);
    expect((await chat()).status).toBe(200);
  });
});
