import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith } from "../support/program.ts";
import { besides, jsonLines, type LoggedProgram, pool, serveLogged } from "./log-program.ts";

const read = (path: string) => readFileSync(path, "utf8");

/** Resolves when a file has a line that says something. */
async function written(path: string, pattern: RegExp): Promise<string> {
  while (!existsSync(path) || !pattern.test(read(path))) await new Promise((resolve) => setTimeout(resolve, 10));
  return read(path);
}

async function ask(program: LoggedProgram, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 20) {
    await Promise.all(Array.from({ length: Math.min(left, 20) }, () => program.chat({ model: "think" })));
  }
}

describe("the log's file", () => {
  test("has everything in JSON, beside what is shown, in a folder that is made for it", async () => {
    const { only } = await startProviders({ only: {} });
    const folder = folderWith({});
    const file = join(folder, "logs/of/everhop.log");
    const program = await serveLogged({ ...pool({ only }), log: { format: "text", file } });
    await program.chat({ model: "think" });
    await program.said(/200 ok/);
    expect(await program.stop()).toBe(0);
    const lines = jsonLines(read(file));
    expect(lines.map(({ ns }) => ns)).toEqual([
      ...["everhop:server", "everhop:config", "everhop:server", "everhop:server", "everhop:server"],
      ...["everhop:request", "everhop:server", "everhop:server"],
    ]);
    expect(program.output()).toContain(`The log is written to ${file} as well.`);
    expect(lines.at(-1)).toMatchObject({ msg: "Stopped." });
    expect(read(file)).not.toContain(read(besides(program, "data/admin-key")).trim());
  });

  test("is put aside before it is too large, and so many are kept, with every line whole", async () => {
    const { only } = await startProviders({ only: {} });
    const file = join(folderWith({}), "everhop.log");
    const program = await serveLogged({
      ...pool({ only }),
      log: { level: "debug", file, max_size: "64KiB", keep: 2 },
    });
    await ask(program, 300);
    expect(await program.stop()).toBe(0);
    const files = [`${file}.2`, `${file}.1`, file];
    const lines = files.flatMap((each) => jsonLines(read(each)));
    for (const each of files) expect(statSync(each).size).toBeLessThanOrEqual(64 * 1024);
    expect(existsSync(`${file}.3`)).toBe(false);
    // The latest are there, in their order, and none is torn.
    const all = files.flatMap((each) => read(each).split("\n").filter(Boolean));
    expect(all).toHaveLength(lines.length);
    const shown = program
      .output()
      .split("\n")
      .filter((line) => line.startsWith("{"));
    const last = all.filter((line) => !line.includes('"everhop:server"'));
    expect(last).toEqual(shown.slice(-last.length));
    expect(last.length).toBeGreaterThan(200);
  });

  test("is begun anew at SIGHUP, when somebody else has put it aside", async () => {
    const { only } = await startProviders({ only: {} });
    const file = join(folderWith({}), "everhop.log");
    const program = await serveLogged({ ...pool({ only }), log: { file } });
    await program.chat({ model: "think" });
    await written(file, /request served/);
    renameSync(file, `${file}.old`);
    await program.chat({ model: "think" });
    await written(`${file}.old`, /request served[\s\S]*request served/);
    program.child.kill("SIGHUP");
    await written(file, /was read again/);
    await program.chat({ model: "think" });
    await written(file, /request served/);
    expect(read(`${file}.old`)).not.toContain("SIGHUP");
  });

  test("that cannot be opened is told at the start", async () => {
    const { only } = await startProviders({ only: {} });
    const folder = folderWith({
      "everhop.yaml": JSON.stringify({ server: { port: 0 }, ...pool({ only }), log: { file: "taken/everhop.log" } }),
      taken: "a file, and no folder",
    });
    const program = everhopIn(folder, ["serve"]);
    expect(await program.exited).toBe(2);
    expect(program.output()).toMatch(
      /everhop\.yaml cannot be used:\n {2}log\.file +expected a file that can be written \(\w+\), got "taken\/everhop\.log"/,
    );
  });

  test("may be another one while the gateway runs, but not one that cannot be opened", async () => {
    const { only } = await startProviders({ only: {} });
    const folder = folderWith({ taken: "a file, and no folder" });
    const [first, second] = [join(folder, "first.log"), join(folder, "second.log")];
    const config = { server: { port: 0 }, drain: { pre_stop: 0 }, ...pool({ only }) };
    const program = await serveLogged({ ...config, log: { file: first } });
    const write = (log: object) => writeFileSync(besides(program, "everhop.yaml"), JSON.stringify({ ...config, log }));
    await program.chat({ model: "think" });
    await written(first, /request served/);
    write({ file: join(folder, "taken/x.log") });
    await program.said(/everything stays as it was\. everhop\.yaml cannot be used:\n {2}log\.file/);
    await program.chat({ model: "think" });
    await written(first, /everything stays as it was[\s\S]*request served/);
    write({ file: second });
    await written(second, /changed: log/);
    await program.chat({ model: "think" });
    await written(second, /request served/);
    const before = read(first);
    write({ level: "info" });
    await program.said(/changed: log\.[\s\S]*changed: log\./);
    await program.chat({ model: "think" });
    expect(await program.stop()).toBe(0);
    expect(jsonLines(read(second)).filter(({ ns }) => ns === "everhop:request")).toHaveLength(1);
    expect(read(first)).toBe(before);
  });
});
