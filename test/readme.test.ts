import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import { root, start } from "./support/program.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");
const python = join(root, ".cache/examples/venv/bin/python");

/** The README's blocks of a language. */
function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, text = ""]) => text);
}

/** What a command prints under "$ " in the README. */
function session(command: string): string {
  const [, printed = ""] = new RegExp(`^\\$ ${command}.*\\n([\\s\\S]*?)^\`\`\``, "m").exec(readme) ?? [];
  return printed;
}

const run = promisify(execFile);

describe("what the README says to paste", () => {
  let address = "";
  const here = (text: string) => {
    expect(text).toContain("127.0.0.1:8000");
    return text.replaceAll("127.0.0.1:8000", address);
  };

  beforeEach(async () => {
    const [, place = ""] = await start(process.execPath, ["bin/everhop.js", "demo", "--port", "0"]).said(
      /listens on http:\/\/(\S+) /,
    );
    address = place;
  });

  test("calls by OpenAI's own client", async () => {
    const [snippet = ""] = blocks("ts");
    mkdirSync(join(root, ".cache"), { recursive: true });
    // Where the package is found.
    const file = join(mkdtempSync(join(root, ".cache/readme-")), "snippet.ts");
    writeFileSync(file, here(snippet));
    expect((await run(process.execPath, [file])).stdout).toBe("You said: Hello!\n");
  });

  test("calls by curl and by buf", async () => {
    const commands = blocks("sh").filter((text) => text.includes("127.0.0.1"));
    expect(commands).toHaveLength(2);
    for (const command of commands) {
      const { stdout } = await run("bash", ["-c", here(command)], { cwd: root });
      expect(stdout).toMatch(/You said|"text": ?"You/);
      expect(stdout).toContain('"attempts"');
    }
  });

  test.skipIf(!existsSync(python))("calls by the Python stubs", async () => {
    const [snippet = ""] = blocks("python");
    const { stdout } = await run(python, ["-c", here(snippet)]);
    expect(stdout).toMatch(/^You said: Hello!.*attempts/s);
  });

  test("shows the hops of a chat as the README does", async () => {
    const { stdout, stderr } = await run(
      process.execPath,
      ["bin/everhop.js", "chat", "--url", `http://${address}`, "Hello, who answers?"],
      { cwd: root },
    );
    const shape = (text: string) =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.replaceAll(/#k\d|[\d.]+ m?s\b/g, "~").replaceAll(/ +/g, " "));
    expect(shape(stdout + stderr)).toEqual(shape(session("npx everhop chat")));
  });
});

if (!existsSync(python))
  console.warn(`SKIPPED: the README's Python, for .ci/run-examples has not installed what it needs`);

describe("what the README shows of its configuration", () => {
  test("is what explain prints", async () => {
    const [config = ""] = blocks("yaml");
    const folder = mkdtempSync(join(tmpdir(), "everhop-test-"));
    writeFileSync(join(folder, "everhop.yaml"), config);
    const keys = { TEAM_A_KEY: "sk-test-canary-a", BATCH_KEY: "sk-test-canary-b", OPENAI_KEY: "sk-test-canary-c" };
    const options = { cwd: folder, env: { ...process.env, ...keys, NO_COLOR: "1" } };
    const { stdout } = await run(process.execPath, [join(root, "bin/everhop.js"), "explain", "think"], options);
    expect(stdout.trim()).toBe(session("npx everhop explain think").trim());
    expect((await run(process.execPath, [join(root, "bin/everhop.js"), "check"], options)).stdout).toMatch(
      /can be used/,
    );
  });

  test("leads only to files that are there", () => {
    const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path = ""]) => path);
    expect(links.length).toBeGreaterThan(8);
    expect(links.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});
