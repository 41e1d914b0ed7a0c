import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hasOpenssl, makeAuthority } from "../support/certificates.ts";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith } from "../support/program.ts";
import { postChat } from "../support/rest.ts";

const callerKey = "sk-test-canary-caller";

/** A configuration of one provider, `only`, which serves `small`. */
function yaml(baseUrl: string, more = "", keys = "keys: [sk-test-canary-first]"): string {
  return `server: { port: 0 }
providers:
  - { name: only, base_url: "${baseUrl}", ${keys}, models: [small] }
${more}
`;
}

const group = (baseUrl: string) => JSON.stringify({ baseurl: baseUrl, model: "small", type: "there" });

/** The product in a folder with these files. */
async function running(files: Readonly<Record<string, string>>, env: Record<string, string> = {}) {
  const folder = folderWith(files);
  const program = everhopIn(folder, ["serve", "--port", "0"], env);
  const [, address = ""] = await program.said(/listens on (\S+)/);
  await program.said(/^[\w./]+( \(\d files\))?: \w+\.$/m);
  return {
    program,
    put: (name: string, text: string) => writeFileSync(join(folder, name), text),
    remove: (name: string) => rmSync(join(folder, name), { recursive: true }),
    at: (name: string) => join(folder, name),
    async servedBy(model = "small") {
      const response = await postChat(address, { model, messages: [{ role: "user", content: "Hello" }] });
      return `${response.status} ${response.headers.get("x-everhop-provider")}`;
    },
    address,
  };
}

describe("a changed configuration that is wrong at first", () => {
  test("is taken over as soon as the new file that is to blame is mended in its place", async () => {
    const { one } = await startProviders({ one: {} });
    const { program, put, servedBy } = await running({ "config/small.json": group(one.baseUrl) });
    put("config/large.json", '{ "baseurl": ');
    await program.said(/everything stays as it was\. .*\n +config\/large\.json/);
    put("config/large.json", group(one.baseUrl));
    await program.said(/config\/large\.json: config \(2 files\) was read again; changed: model large added/);
    expect(await servedBy("large")).toBe("200 there");
  });

  test("is taken over when the file of keys that it names is there, too", async () => {
    const { one } = await startProviders({ one: { keys: ["sk-test-canary-first", "sk-test-canary-second"] } });
    const { program, put, servedBy } = await running({ "everhop.yaml": yaml(one.baseUrl) });
    put("everhop.yaml", yaml(one.baseUrl, "", "keys_file: keys.txt"));
    await program.said(/everything stays as it was\. .*\n.*there is no such file/);
    put("keys.txt", "sk-test-canary-second\n");
    await program.said(/keys\.txt: everhop\.yaml was read again; changed: provider only, keys of only \(/);
    expect(await servedBy()).toBe("200 only");
    expect(one.seen.at(-1)?.headers.authorization).toBe("Bearer sk-test-canary-second");
  });
});

describe("a configuration that is not there for a moment", () => {
  test("is not replaced by what the environment says: neither the account nor who may call", async () => {
    const { one, other } = await startProviders({ one: {}, other: {} });
    const env = { OPENAI_API_KEY: "sk-test-canary-env", OPENAI_BASE_URL: other.baseUrl };
    const { program, put, remove, at, servedBy } = await running({ "everhop.yaml": yaml(one.baseUrl) }, env);
    put("everhop.yaml", "");
    await program.said(/everything stays as it was\. .*\n +\(the file\) +is empty/);
    remove("everhop.yaml");
    await program.said(/everything stays as it was\. .*\n.*everhop\.yaml has gone/);
    put("everhop.yaml", "log: { level: debug }\n");
    await program.said(/would come from the OPENAI_\* environment, no longer from everhop\.yaml/);
    remove("everhop.yaml");
    mkdirSync(at("everhop.yaml"));
    await program.said(/cannot be read \(EISDIR\)/);
    expect(await servedBy()).toBe("200 only");
    remove("everhop.yaml");
    put("swap", yaml(one.baseUrl, "log: { level: debug }"));
    renameSync(at("swap"), at("everhop.yaml"));
    await program.said(/was read again; changed: log\./);
    expect(await servedBy()).toBe("200 only");
    expect(other.seen).toEqual([]);
  });

  test("may be written where there was none, and then counts more than another program's", async () => {
    const { one, two } = await startProviders({ one: {}, two: {} });
    const { program, put, servedBy } = await running({ "config/small.json": group(one.baseUrl) });
    put("everhop.yaml", yaml(two.baseUrl));
    await program.said(/changed: .*provider only added, provider there gone/);
    await program.said(/Note: the model groups in config\/ is not used/);
    expect(await servedBy()).toBe("200 only");
    expect(two.seen).toHaveLength(1);
  });
});

describe("what a changed configuration says", () => {
  test("of leaving holds for the leaving", async () => {
    const { one } = await startProviders({ one: { tokensPerSecond: 1, text: "slowly ".repeat(100) } });
    const leaving = (grace: string) => yaml(one.baseUrl, `drain: { pre_stop: 0s, grace: ${grace} }`);
    const { program, put, address } = await running({ "everhop.yaml": leaving("24h") });
    put("everhop.yaml", leaving("100ms"));
    await program.said(/changed: drain/);
    const response = await postChat(address, {
      model: "small",
      messages: [{ role: "user", content: "Hello" }],
      stream: true,
    });
    program.child.kill("SIGTERM");
    expect(await program.exited).toBe(0);
    expect(await response.text()).toMatch(/"partial":true/);
  });

  test("of operators' keys holds: where it names none any more one is made, and shown", async () => {
    const { one } = await startProviders({ one: {} });
    const own = `auth: { admin_keys: [${"k".repeat(40)}] }`;
    const { program, put } = await running({ "everhop.yaml": yaml(one.baseUrl, own) });
    expect(program.output()).not.toContain("an admin key was made");
    put("everhop.yaml", yaml(one.baseUrl));
    await program.said(/an admin key was made and is kept in data\/admin-key; it is shown this once: ek-admin-/);
    await program.said(/changed: auth/);
  });

  test.skipIf(!hasOpenssl)("of clients' certificates holds for the next connection, one way and back", async () => {
    const { one } = await startProviders({ one: {} });
    const authority = makeAuthority("the test's");
    const { certFile, keyFile } = authority.sign("localhost");
    const client = authority.sign("a client");
    const secured = (more = "") =>
      yaml(one.baseUrl).replace("port: 0", `port: 0, tls: { cert: "${certFile}", key: "${keyFile}"${more} }`);
    const strict = secured(`, client_ca: "${authority.certFile}"`);
    const { program, put, address } = await running({ "everhop.yaml": secured() });
    const health = (shown: object = {}) =>
      new Promise<number>((resolve) => {
        const options = { ca: authority.cert, agent: false, ...shown };
        const asked = request(`${address}/health`, options, (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        asked.on("error", () => resolve(0));
        asked.end();
      });
    expect(await health()).toBe(200);
    put("everhop.yaml", strict);
    await program.said(/changed: server/);
    expect(await health()).toBe(0);
    expect(await health({ cert: client.cert, key: client.key })).toBe(200);
    put("everhop.yaml", secured());
    await program.said(/changed: server[\s\S]*changed: server/);
    expect(await health()).toBe(200);
  });

  test("is heard of, whatever is passed over in it", async () => {
    const { one } = await startProviders({ one: {} });
    const dotenv = `OPENAI_API_KEY_1=sk-test-canary-1\nOPENAI_BASE_URL_1=${one.baseUrl}\n`;
    const folder = folderWith({ ".env": dotenv });
    const program = everhopIn(folder, ["serve", "--port", "0"]);
    await program.said(/the environment: openai-1/);
    writeFileSync(join(folder, ".env"), `${dotenv}OPENAI_MAX_RPS_2=5\n`);
    await program.said(/Note: OPENAI_MAX_RPS_2 is not used: there is no OPENAI_API_KEY_2/);
  });
});

test("signals and writes in quick succession cost no request", async () => {
  const { one, two } = await startProviders({ one: {}, two: {} });
  const more = `auth: { callers: [{ name: a, key: "${callerKey}" }] }`;
  const { program, put, at, address } = await running({ "everhop.yaml": yaml(one.baseUrl, more) });
  const statuses = new Set<number>();
  for (let turn = 0; turn < 100; turn++) {
    put("swap", yaml(turn % 2 === 0 ? two.baseUrl : one.baseUrl, more));
    renameSync(at("swap"), at("everhop.yaml"));
    program.child.kill("SIGHUP");
    const headers = { "x-api-key": callerKey };
    const response = await postChat(
      address,
      { model: "small", messages: [{ role: "user", content: "Hello" }] },
      { headers },
    );
    statuses.add(response.status);
  }
  expect([...statuses]).toEqual([200]);
  expect(one.seen.length).toBeGreaterThan(0);
  expect(two.seen.length).toBeGreaterThan(0);
  program.child.kill("SIGHUP");
  program.child.kill("SIGINT");
  expect(await program.exited).toBe(0);
});
