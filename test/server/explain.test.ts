import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");

const configuration = {
  auth: { callers: [{ name: "team-a", key: "sk-test-canary-caller", models: ["think"] }] },
  providers: [
    { name: "big", base_url: "http://127.0.0.1:1/v1", keys: ["sk-test-canary-1", "sk-test-canary-2"], weight: 300 },
    { name: "small", base_url: "http://127.0.0.1:2/v1" },
    { name: "spare", base_url: "http://127.0.0.1:3/v1", priority: 2 },
    { name: "off", base_url: "http://127.0.0.1:4/v1", enabled: false },
  ],
  models: [
    { name: "think", targets: ["big", "small", "spare", "off"].map((provider) => ({ provider, model: "m" })) },
    { name: "other", targets: [{ provider: "spare", model: "o" }] },
  ],
};

/** Runs the command line as it is installed. */
function everhop(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = join(mkdtempSync(join(tmpdir(), "everhop-test-")), "everhop.yaml");
  writeFileSync(path, JSON.stringify(configuration));
  const command = [join(root, "bin", "everhop.js"), ...args, "--config", path];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      command,
      { env: { PATH: process.env["PATH"], NO_COLOR: "1" } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
      },
    );
  });
}

describe("everhop explain", () => {
  test("prints who would be tried in which order, with tiers, weights and shares, and who not and why", async () => {
    const { code, stdout } = await everhop("explain", "think");
    expect(code).toBe(0);
    const rows = stdout.split("\n").map((line) => line.trim().split(/ {2,}/));
    expect(rows.find((row) => row[1] === "big/m")).toEqual([
      expect.any(String),
      "big/m",
      "1",
      "300",
      "75%",
      "2/2",
      "closed",
    ]);
    expect(rows.find((row) => row[1] === "small/m")?.slice(2, 6)).toEqual(["1", "100", "25%", "none"]);
    expect(rows.find((row) => row[1] === "spare/m")?.[0]).toBe("3");
    expect(rows.find((row) => row[1] === "off/m")?.at(-1)).toBe("disabled");
    expect(stdout).not.toContain("canary");
  });

  test("is JSON for programs", async () => {
    const { stdout } = await everhop("explain", "think", "--json");
    const told = JSON.parse(stdout) as { candidates: { endpoint: string; position: number | null }[] };
    expect(told).toMatchObject({ model: "think", policy: "weighted" });
    expect(told.candidates.find(({ endpoint }) => endpoint === "off/m")).toMatchObject({
      position: null,
      skip: { reason: "disabled" },
    });
  });

  test("says what is wrong when there is no such model, no such caller, or the caller may not use it", async () => {
    for (const args of [
      ["explain", "nothing", "--caller", "team-a"],
      ["explain", "other", "--caller", "team-a"],
      ["explain", "think", "--caller", "nobody"],
    ]) {
      const { code, stderr } = await everhop(...args);
      expect(code).toBe(2);
      expect(stderr).toMatch(args.includes("nobody") ? /expected a configured caller \(team-a\)/ : /There is no model/);
    }
  });
});
