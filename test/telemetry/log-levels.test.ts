import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { namespaces, readDebugPatterns } from "../../src/telemetry/log/namespaces.ts";
import { startProviders } from "../support/gateway.ts";
import { besides, type LoggedProgram, pool, serveLogged } from "./log-program.ts";

/** One request that hops, one that is served at once, one that is refused. */
async function asked(config: Readonly<Record<string, unknown>>, env: Record<string, string>): Promise<LoggedProgram> {
  const { first, second } = await startProviders({
    first: { schedule: [{ kind: "status", status: 429 }] },
    second: {},
  });
  const program = await serveLogged({ ...pool({ first, second }), ...config }, env);
  await program.chat({ model: "think" });
  await program.chat({ model: "second:m" });
  await program.chat({ model: "nobody's" });
  expect(await program.stop()).toBe(0);
  return program;
}

const kindsOf = (program: LoggedProgram) => new Set(program.lines().map(({ level, ns }) => `${level} ${ns}`));

describe("the level of the log", () => {
  const errors: string[] = [];
  const warnings = ["warn everhop:hop"];
  const usual = [...warnings, "info everhop:request"];
  const all = [...usual, "debug everhop:request", "debug everhop:routing", "debug everhop:hop"];

  test.each([
    ["error", errors],
    ["false", errors],
    ["warn", warnings],
    ["info", usual],
    ["debug", all],
    ["TRUE", all],
    // A word of some other program's.
    ["verbose", usual],
  ])("is set by LOG_LEVEL=%s", async (word, kinds) => {
    expect(kindsOf(await asked({}, { LOG_LEVEL: word }))).toEqual(new Set(kinds));
  });

  test("is the configuration's, where that says one", async () => {
    expect(kindsOf(await asked({ log: { level: "warn" } }, { LOG_LEVEL: "debug" }))).toEqual(new Set(warnings));
  });

  test("changes when the configuration does", async () => {
    const { only } = await startProviders({ only: {} });
    const config = { server: { port: 0 }, drain: { pre_stop: 0 }, ...pool({ only }) };
    const program = await serveLogged({ ...config, log: { level: "error" } });
    await program.chat({ model: "think" });
    writeFileSync(besides(program, "everhop.yaml"), JSON.stringify({ ...config, log: { level: "debug" } }));
    await program.said(/was read again; changed: log\./);
    expect(program.lines()).toEqual([]);
    await program.chat({ model: "think" });
    expect(await program.logged({ msg: "picked" })).toMatchObject({ endpoint: "only/m", attempt: 1 });
    await program.logged({ msg: "request served" });
  });
});

describe("DEBUG", () => {
  test("shows all of the namespaces that it names, whatever the level", async () => {
    const program = await asked({ log: { level: "error" } }, { DEBUG: "express:*, everhop:routing everhop:hop" });
    expect(kindsOf(program)).toEqual(new Set(["debug everhop:routing", "debug everhop:hop", "warn everhop:hop"]));
    expect(program.lines().map(({ msg }) => msg)).toEqual(expect.arrayContaining(["picked", "hop ended"]));
  });

  test("shows everything but what it excludes", async () => {
    const program = await asked({ log: { level: "error" } }, { DEBUG: "everhop:*,-everhop:routing" });
    expect([...kindsOf(program)].filter((kind) => /hop$|request$|routing$/.test(kind)).sort()).toEqual([
      "debug everhop:hop",
      "debug everhop:request",
      "info everhop:request",
      "warn everhop:hop",
    ]);
  });

  test("hides steps that it excludes at the level debug, too", async () => {
    const program = await asked({}, { LOG_LEVEL: "debug", DEBUG: "-everhop:routing,-everhop:hop" });
    expect(kindsOf(program)).toEqual(new Set(["warn everhop:hop", "info everhop:request", "debug everhop:request"]));
  });

  test("that names what is not there is told what is", async () => {
    const program = await asked({}, { DEBUG: "everhop:router,other:*,everhop:hop,-everhop:nothing" });
    const notes = program.output().match(/^Note: DEBUG .*$/gm);
    const there = namespaces.map((each) => `everhop:${each}`).join(", ");
    expect(notes).toEqual([
      `Note: DEBUG asks for "everhop:router", and there is no such namespace: there are ${there}.`,
      `Note: DEBUG asks for "-everhop:nothing", and there is no such namespace: there are ${there}.`,
    ]);
  });

  const shown = (text: string | undefined) => {
    const patterns = readDebugPatterns(text);
    return namespaces.filter((each) => patterns.includes(each) && !patterns.excludes(each));
  };

  test("is read as the package of that name reads it", () => {
    expect(shown(undefined)).toEqual([]);
    expect(shown("")).toEqual([]);
    expect(shown("*")).toEqual([...namespaces]);
    expect(shown("everhop:*")).toEqual([...namespaces]);
    expect(shown("everhop*,-*ing")).toEqual(namespaces.filter((each) => each !== "routing"));
    expect(shown("*:h*p everhop:re*")).toEqual(["request", "hop"]);
    expect(shown("everhop")).toEqual([]);
    // What means something in a regular expression means nothing here.
    expect(shown("everhop.hop,everhop:(hop|request),[e]verhop:hop")).toEqual([]);
    expect(readDebugPatterns("*,express:*").unknown).toEqual([]);
  });
});
