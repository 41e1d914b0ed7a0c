import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith } from "../support/program.ts";

const meant: readonly [string, Record<string, string>, RegExp][] = [
  [
    "a misspelt variable",
    { ".env": "OPENAI_APIKEY_1=sk-test-canary-1\n" },
    /\.env:1 +OPENAI_APIKEY_1 +is no variable that Everhop knows/,
  ],
  ["an empty key", { ".env": "\nOPENAI_API_KEY=\n" }, /\.env:2 +OPENAI_API_KEY +sets no provider up, got nothing/],
  [
    "another ending",
    { "everhop.yml": "providers: []\n" },
    /everhop\.yml +is not read by itself: expected everhop\.yaml/,
  ],
  ["an empty model group", { "config/think.json": "" }, /config\/think\.json +holds no model group/],
  ["a model group that was begun", { "config/think.json": "{" }, /config\/think\.json +holds no model group/],
  [
    "a misspelt model group",
    { "config/think.json": '[{"base_url":"http://a","model":"m"}]' },
    /config\/think\.json +looks like a model group/,
  ],
];

describe("a set-up that sets nothing up", () => {
  test.each(meant)("is told, and not answered by the demo: %s", async (_what, files, words) => {
    for (const command of ["serve", "check"]) {
      const program = everhopIn(folderWith(files), [command]);
      expect(await program.exited).toBe(2);
      expect(program.output()).toMatch(words);
      expect(program.output()).toContain("`everhop demo` starts the demo");
      expect(program.output()).not.toContain("canary");
    }
  });

  test("is nothing that other programs keep in such places", async () => {
    const files = { "config/tsconfig.json": '{ "compilerOptions": {} } // with a remark', ".env": "PATH_TO=x\n" };
    const program = everhopIn(folderWith(files), ["serve", "--port", "0"]);
    await program.said(/so this is the demo/);
  });
});

test("a misspelt variable beside good ones is told", async () => {
  const program = everhopIn(
    folderWith({ ".env": "OPENAI_API_KEY_1=sk-test-canary-1\nOPENAI_BASE_URl_1=http://127.0.0.1:1\n" }),
    ["check"],
  );
  expect(await program.exited).toBe(0);
  expect(program.output()).toContain("Note: OPENAI_BASE_URl_1 (.env:2) is no variable that Everhop knows.");
});

test("a key under another name in a model group is refused: it would go out in the body", async () => {
  const group = '{\n  "baseurl": "http://127.0.0.1:1/v1",\n  "api_key": "sk-test-canary-1",\n  "model": "m"\n}';
  const program = everhopIn(folderWith({ "config/think.json": group }), ["check"]);
  expect(await program.exited).toBe(2);
  expect(program.output()).toMatch(/config\/think\.json:3:\d+ +api_key +unknown key: expected apikey/);
  expect(program.output()).not.toContain("canary");
});

test("a rotation of keys is told in numbers", async () => {
  const { one } = await startProviders({ one: {} });
  const folder = folderWith({
    ".env": `MEGALLM_BASE_URL=${one.baseUrl}\nPORT=0\n`,
    "data/keys.txt": "sk-test-canary-1\n",
  });
  const program = everhopIn(folder, ["serve"]);
  await program.said(/keys\.txt: megallm\./);
  writeFileSync(join(folder, "data/keys.txt"), "sk-test-canary-2\nsk-test-canary-3\n");
  await program.said(/changed: keys of megallm \(2 now: 2 new, 1 gone\)\./);
});
