import { execFileSync } from "node:child_process";
import { constants, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogFile } from "../../src/telemetry/log/log-file.ts";
import { startProviders } from "../support/gateway.ts";
import { everhopIn, folderWith } from "../support/program.ts";
import { besides, pool, serveLogged } from "./log-program.ts";

function makePipe(folder: string): string {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

const page = Buffer.from(`${"x".repeat(4095)}\n`);

function append(file: LogFile): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => file.write(page, resolve));
}

describe("a log file that is a pipe", () => {
  test("and that nobody reads is an error at the start", async () => {
    const { only } = await startProviders({ only: {} });
    const folder = folderWith({});
    const config = { server: { port: 0 }, ...pool({ only }), log: { file: makePipe(folder) } };
    writeFileSync(join(folder, "everhop.yaml"), JSON.stringify(config));
    const program = everhopIn(folder, ["serve"]);
    expect(await program.exited).not.toBe(0);
    expect(program.output()).toContain("log.file  expected a file that can be written (ENXIO)");
  });

  test("and that nobody reads is refused by a reload, and requests are served", async () => {
    const { only } = await startProviders({ only: {} });
    const config = { server: { port: 0 }, drain: { pre_stop: 0 }, ...pool({ only }) };
    const program = await serveLogged(config);
    const written = besides(program, "everhop.yaml");
    writeFileSync(`${written}.new`, JSON.stringify({ ...config, log: { file: makePipe(program.folder) } }));
    renameSync(`${written}.new`, written);
    await program.said(/ENXIO/);
    expect((await program.chat({ model: "think" })).status).toBe(200);
    expect(await program.stop()).toBe(0);
  });

  test("is never put aside, however much has passed", async () => {
    const path = makePipe(folderWith({}));
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const file = new LogFile(path, { maxBytes: 8192, keep: 1 }, (error) => {
      throw error;
    });
    for (let pages = 0; pages < 8; pages++) {
      expect(await append(file)).toBeNull();
      expect(readSync(reader, Buffer.alloc(8192))).toBe(4096);
    }
    expect(statSync(path).isFIFO()).toBe(true);
    file.close();
  });
});

test("a log file that is opened anew although nobody has put it aside does not grow too large for it", async () => {
  const path = join(folderWith({}), "everhop.log");
  const file = new LogFile(path, { maxBytes: 8192, keep: 9 }, (error) => {
    throw error;
  });
  for (let pages = 0; pages < 5; pages++) {
    file.reopen();
    expect(await append(file)).toBeNull();
  }
  expect([path, `${path}.1`, `${path}.2`].map((each) => readFileSync(each).length)).toEqual([4096, 8192, 8192]);
  file.close();
});
