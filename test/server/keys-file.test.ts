import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { systemRng } from "../../src/runtime/rng.ts";
import { compose } from "../../src/server/compose.ts";
import { ConfigError, checkConfig } from "../../src/server/config.ts";
import { readKeysFile } from "../../src/server/keys-file.ts";
import { loadConfig } from "../../src/server/load-config.ts";

function fileOf(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "everhop-test-")), "keys.txt");
  writeFileSync(path, text);
  return path;
}

describe("a file of keys", () => {
  test("has one a line, of any shape; blank lines, remarks and repetitions are passed over", () => {
    const path = fileOf(
      "\ufeff# ours\r\nsk-test-canary-1\r\n\r\n  LLM|test|canary|2  \n# spare\nsk-test-canary-1\nsk-test-canary-3",
    );
    expect(readKeysFile(path, "at")).toEqual({
      keys: ["sk-test-canary-1", "LLM|test|canary|2", "sk-test-canary-3"],
      problems: [],
    });
  });

  test("that holds what no header can carry is refused by its line, and never repeated", () => {
    const path = fileOf(`sk-test-canary-1\nsk test canary\nschlüssel-canary\n${"x".repeat(5000)}\n`);
    const { problems } = readKeysFile(path, "providers[0].keys_file");
    expect(problems.map(({ expected }) => expected.split(":")[0])).toEqual(["line 2", "line 3", "line 4"]);
    expect(JSON.stringify(problems)).not.toContain("canary");
  });

  test("that holds no key is refused: it may be one that is just being written", () => {
    expect(readKeysFile(fileOf("# none yet\n"), "at").problems).toMatchObject([
      { expected: "expected at least one key in it" },
    ]);
  });

  test("that is not there is told with the path of its setting before anything starts", () => {
    const config = fileOf("");
    const text = { providers: [{ name: "a", base_url: "http://127.0.0.1:1/v1", keys_file: "/nowhere/keys.txt" }] };
    writeFileSync(config, JSON.stringify(text));
    expect(() => loadConfig({ path: config, env: {}, overrides: {} })).toThrow(
      /providers\[0\]\.keys_file +there is no such file/,
    );
  });
});

describe("keys that are read again", () => {
  function gatewayOf(path: string) {
    const config = checkConfig(
      { providers: [{ name: "a", base_url: "http://127.0.0.1:1/v1", keys: ["sk-test-canary-own"], keys_file: path }] },
      "test",
    );
    const gateway = compose(config, { clock: systemClock, rng: systemRng, observer: {}, reportBug: () => {} });
    onTestFinished(() => gateway.close());
    const ring = () => gateway.state.providerNamed("a")?.ring;
    const names = () => {
      const picked = Array.from({ length: 8 }, () => ring()?.pick(0, "a/m")?.key?.name);
      return [...new Set(picked)].sort();
    };
    return { gateway, ring, names };
  }

  test("keep their names and what is known of them, wherever they stand; new ones get new names, lost ones are gone", () => {
    const path = fileOf("sk-test-canary-1\nsk-test-canary-2\n");
    const { gateway, ring, names } = gatewayOf(path);
    expect(names()).toEqual(["k1", "k2", "k3"]);
    for (let slot = ring()?.pick(0, "a/m"); slot; slot = ring()?.pick(0, "a/m")) {
      if (slot.key?.name !== "k3") continue;
      ring()?.refused(slot, 0, 0);
      break;
    }
    writeFileSync(path, "sk-test-canary-4\nsk-test-canary-2\n");
    gateway.reloadKeys();
    expect(names()).toEqual(["k1", "k4"]);
    expect(ring()?.counts()).toEqual({ total: 3, available: 2, failed: 1 });
  });

  test("stay as they were when the file cannot be read", () => {
    const path = fileOf("sk-test-canary-1\n");
    const { gateway, names } = gatewayOf(path);
    for (const text of ["a key with blanks\n", ""]) {
      writeFileSync(path, text);
      expect(() => gateway.reloadKeys()).toThrow(ConfigError);
      expect(names()).toEqual(["k1", "k2"]);
    }
  });
});
