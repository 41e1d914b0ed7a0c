import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "everhop-test-"));

/** Runs the command line as it is installed, in an empty folder. */
function everhop(
  args: readonly string[],
  { env = {}, cwd = folder }: { env?: Record<string, string>; cwd?: string } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, "bin", "everhop.js"), ...args],
      { cwd, env: { PATH: process.env["PATH"], NO_COLOR: "1", ...env }, maxBuffer: 32 << 20 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr });
      },
    );
  });
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const simulate = (path: string, ...args: string[]) => everhop(["simulate", path, ...args]);

const config = (name: string) => `providers:
  - { name: ${name}, base_url: 'http://127.0.0.1:1/v1', keys: [sk-test-canary-1, sk-test-canary-2] }
  - { name: spare, base_url: 'http://127.0.0.1:2/v1', priority: 2 }
models: [{ name: think, targets: [{ provider: ${name}, model: m }, { provider: spare, model: m }] }]
auth: { callers: [{ name: team, key: sk-test-canary-3, rpm: 60 }, { name: other, key: sk-test-canary-4, models: [think] }] }
`;

const small = file(
  "small.yaml",
  `name: "a <script>alert(1)</script> & \\e[31m rehearsal"
duration: 2m
phases:
  - { name: "</script><b>down</b>", from: 30s, for: 30s, on: { tier: 1 }, fails: [server_error, cut] }
  - { name: all down, from: 80s, for: 10s, on: all, fails: refused_connection }
callers: [{ name: web, per_second: 20 }]
config:
${config("own").replace(/^/gm, "  ")}`,
);
const others = file("others.yaml", config("theirs"));
/** Its providers have lists: they forward nothing else. */
const listed = file(
  "listed.yaml",
  config("theirs")
    .replace(/ }$/gm, ", models: [m] }")
    .replace(/^models.*$/m, (line) => line.replace(", models: [m] }", ""))
    .replace(/^auth.*$/m, ""),
);

/** Takes longer than anybody waits. */
const endless = file(
  "endless.yaml",
  `duration: 24h\ncallers: [{ name: web, per_second: 50 }]\nconfig:\n${config("own").replace(/^/gm, "  ")}`,
);

/** What the tests read of the document. */
interface Document {
  readonly configuration: string;
  readonly models: readonly string[];
  readonly headline: {
    readonly requests: number;
    readonly availability_percent: number;
    readonly not_admitted: number;
    readonly first_content: { readonly p50_ms: number; readonly p99_ms: number };
  };
  readonly endpoints: readonly {
    readonly endpoint: string;
    readonly tier: number;
    readonly share_percent: number;
    readonly failures: number;
    readonly breaker: { readonly opened: number };
  }[];
  readonly faults: readonly {
    readonly phase: string;
    readonly endpoint: string;
    readonly opened_after_ms?: number;
    readonly attempts: number;
    readonly first_attempt_ms?: number;
    readonly first_success_ms?: number;
  }[];
  readonly timeline: { readonly bucket_ms: number; readonly buckets: readonly { readonly requests: number }[] };
  readonly refusals: readonly { readonly http_status: number; readonly count: number }[];
  readonly findings: readonly string[];
}

const documentOf = async (path: string, ...args: string[]) => {
  const { code, stdout, stderr } = await simulate(path, "--json", ...args);
  expect(stderr).toMatch(/requests rehearsed in/);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Document;
};

const example = (name: string) => join(root, "examples", "scenarios", `${name}.yaml`);
const within = (document: Document, name: string) =>
  document.findings.find((finding) => finding.includes(`"${name}"`)) ?? "";

describe("the ready scenarios", () => {
  test("are six, each with a comment that says what it shows", () => {
    const files = readdirSync(join(root, "examples", "scenarios"));
    expect(files).toHaveLength(6);
    for (const name of files) {
      const text = readFileSync(join(root, "examples", "scenarios", name), "utf8");
      expect(text).toMatch(/^# What happens: [\s\S]*\n# What to learn: [\s\S]*\n# Look at: /);
    }
  });

  test.concurrent("show what they say: an outage of an hour costs no request", async () => {
    const shown = await documentOf(example("primary-outage"));
    expect(shown.headline.availability_percent).toBe(100);
    expect(shown.faults).toHaveLength(2);
    for (const { opened_after_ms = 0, first_attempt_ms = 1e9, attempts } of shown.faults) {
      expect(Math.abs(opened_after_ms - 3000)).toBeLessThan(1500);
      expect(first_attempt_ms).toBeLessThanOrEqual(10_000);
      expect(Math.abs(attempts - 510)).toBeLessThan(60);
    }
  });

  test.concurrent("show what they say: a brown-out costs time, and flapping opens a breaker each time", async () => {
    const shown = await documentOf(example("brown-out"));
    expect(shown.headline.availability_percent).toBe(100);
    expect(within(shown, "brown-out")).toMatch(/waited 3\.[3-7] s for the first content, else 1\.5 s/);
    expect(shown.faults.map(({ opened_after_ms: opened }) => opened !== undefined)).toEqual([false, true]);
    expect(Math.abs((shown.endpoints[0]?.breaker.opened ?? 0) - 15)).toBeLessThanOrEqual(1);
  });

  test.concurrent("show what they say: a limit is a wall to walk around, and better known beforehand", async () => {
    const path = join(root, "examples", "configurations", "knows-its-limits.yaml");
    const { stdout } = await simulate(example("rate-limit-wall"), "--json", "--compare", path);
    const { rehearsals } = JSON.parse(stdout) as { rehearsals: readonly Document[] };
    const spilt = rehearsals.map((each) => Number(/(\d+) % of the answers/.exec(within(each, "trebled"))?.[1]));
    expect(Math.abs((spilt[0] ?? 0) - 58)).toBeLessThanOrEqual(3);
    expect(Math.abs((spilt[1] ?? 0) - 38)).toBeLessThanOrEqual(2);
    expect(rehearsals.map(({ headline }) => headline.availability_percent)).toEqual([100, 100]);
    expect(rehearsals[1]?.endpoints.every(({ failures }) => failures === 0)).toBe(true);
  });

  test.concurrent("show what they say: bad keys cost a handful of calls", async () => {
    const shown = await documentOf(example("key-revocation"));
    expect(shown.headline.availability_percent).toBe(100);
    const spent = shown.faults.filter(({ phase }) => phase === "no quota");
    expect(Math.abs(spent.reduce((sum, { attempts }) => sum + attempts, 0) - 25)).toBeLessThanOrEqual(2);
    for (const { first_success_ms: back = 0 } of spent) expect(Math.abs(back - 180_000)).toBeLessThan(30_000);
    for (const { breaker } of shown.endpoints) expect(breaker.opened).toBe(0);
  });

  test.concurrent("show what they say: silence costs a third of all requests, or none with tighter limits", async () => {
    const path = join(root, "examples", "configurations", "quick-to-give-up.yaml");
    const { stdout } = await simulate(example("silence"), "--json", "--compare", path);
    const { rehearsals, differences } = JSON.parse(stdout) as {
      rehearsals: readonly Document[];
      differences: readonly { name: string; first: number; second: number; difference: number }[];
    };
    const availability = differences.find(({ name }) => name === "availability_percent");
    expect(Math.round(availability?.first ?? 0)).toBe(67);
    expect(availability?.second).toBe(100);
    expect(rehearsals[0]?.findings.join(" ")).toContain("Set the providers' timeouts below the callers' patience");
  });

  test.concurrent("show what they say: nearly all broken streams arrive whole where they may go on", async () => {
    const path = join(root, "examples", "configurations", "quick-to-give-up.yaml");
    const { stdout } = await simulate(example("broken-streams"), "--json", "--compare", path);
    const { rehearsals } = JSON.parse(stdout) as { rehearsals: readonly Document[] };
    const [fail = 0, go = 0] = rehearsals.map(({ headline }) => headline.availability_percent);
    expect(Math.abs(fail - 94.3)).toBeLessThan(0.5);
    expect(Math.abs(go - 99.7)).toBeLessThan(0.2);
  });
});

describe("everhop simulate", () => {
  test("says the same each time, to the byte, and something else under another seed", async () => {
    const pages = [join(folder, "1.html"), join(folder, "2.html")] as const;
    const [one, two, json, again, other] = await Promise.all([
      simulate(small, "--html", pages[0]),
      simulate(small, "--html", pages[1]),
      simulate(small, "--json"),
      simulate(small, "--json"),
      simulate(small, "--seed", "2"),
    ]);
    expect(one.code).toBe(0);
    expect(two.stdout).toBe(one.stdout);
    expect(again.stdout).toBe(json.stdout);
    expect(readFileSync(pages[1], "utf8")).toBe(readFileSync(pages[0], "utf8"));
    expect(other.stdout).not.toBe(one.stdout);
    expect(one.stdout).not.toContain("rehearsed in");
  });

  test("fits eighty columns, and has colours only where they are wanted", async () => {
    const providers = Array.from({ length: 40 }, (_, index) => ({
      name: `a-provider-with-quite-a-long-name-${index}`,
      base_url: "http://127.0.0.1:1/v1",
      priority: 1 + (index % 12),
      keys: [`sk-test-canary-${index}`],
      models: ["a-model-with-quite-a-long-name"],
    }));
    const many = file("many.yaml", JSON.stringify({ providers }));
    const [plain, coloured, compared, crowded] = await Promise.all([
      simulate(small),
      everhop(["simulate", small], { env: { NO_COLOR: "", FORCE_COLOR: "1" } }),
      simulate(small, "--compare", others),
      simulate(small, "--compare", many),
    ]);
    const reports = [plain, compared, crowded, await simulate(small, "--config", many)];
    for (const line of reports.flatMap(({ stdout }) => stdout.split("\n"))) {
      expect([...line].length, line).toBeLessThanOrEqual(80);
    }
    // Not even those that a name tries to bring in.
    expect(plain.stdout).not.toContain("\u001b");
    expect(coloured.stdout).toContain("\u001b[1m");
    expect(coloured.stdout.replace(/\u001b\[\d+m/g, "")).toBe(plain.stdout);
    expect(plain.stdout).toMatch(/availability +[\d.]+ %/);
    expect(plain.stdout).toMatch(/├─+ <\/script><b>down<\/b> ─*┤|├─+┤ <\/script>/);
    expect(plain.stdout).toMatch(/findings\n- \d+ requests/);
    expect(plain.stdout).not.toContain("canary");
  });

  test("writes a page that stands alone and takes no name for HTML", async () => {
    const path = join(folder, "page.html");
    const { code } = await simulate(small, "--html", path, "--compare", others);
    expect(code).toBe(0);
    const page = readFileSync(path, "utf8");
    expect(page).not.toMatch(/(?:src|href)="(?!data:)|url\(|@import|https?:/);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page).toContain("&lt;/script&gt;&lt;b&gt;down");
    expect(page).not.toContain("canary");
    expect(() => JSON.parse(/id="data">(.*?)<\/script>/s.exec(page)?.[1] ?? "")).not.toThrow();
    expect(page.match(/<figure/g)?.length).toBeGreaterThanOrEqual(7);
  });

  test("rehearses --config, EVERHOP_CONFIG or ./everhop.yaml before the scenario's own", async () => {
    expect((await documentOf(small)).configuration).toBe("the scenario's own");
    const given = await documentOf(small, "--config", others);
    expect(given.configuration).toBe(others);
    expect(given.endpoints.map(({ endpoint, tier }) => `${endpoint} ${tier}`)).toEqual(["theirs/m 1", "spare/m 2"]);
    const { stdout } = await everhop(["simulate", small, "--json"], { env: { EVERHOP_CONFIG: others } });
    expect((JSON.parse(stdout) as Document).configuration).toBe(others);
    const home = mkdtempSync(join(tmpdir(), "everhop-test-"));
    writeFileSync(join(home, "everhop.yaml"), config("mine"));
    const found = await everhop(["simulate", small, "--json"], { cwd: home });
    expect((JSON.parse(found.stdout) as Document).configuration).toBe("everhop.yaml");
    // A scenario that brings its own is not mixed with whatever keys lie in the environment.
    const mixed = await everhop(["simulate", small, "--json"], { env: { OPENAI_API_KEY: "sk-test-canary" } });
    expect((JSON.parse(mixed.stdout) as Document).configuration).toBe("the scenario's own");
    const bare = file("bare.yaml", "duration: 10s\n");
    expect(await simulate(bare)).toMatchObject({ code: 2, stderr: expect.stringContaining("nothing is configured") });
  });

  test("holds configured callers to their limits and their models", async () => {
    const teams = file(
      "teams.yaml",
      "duration: 1m\ncallers: [{ name: team, per_second: 5 }, { name: web, per_second: 5 }]\n",
    );
    const shown = await documentOf(teams, "--config", others);
    // A minute's sixty at once and one a second: about 120 of about 300.
    expect(Math.abs(shown.headline.not_admitted - 180)).toBeLessThan(50);
    expect(shown.headline.availability_percent).toBe(100);
    const wrong = file("wrong-model.yaml", "duration: 1m\nmodel: spare:m\ncallers: [{ name: other, per_second: 5 }]\n");
    const { code, stderr } = await simulate(wrong, "--config", others);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^ {2}model +expected one of: think \(all that caller other may ask for\), got "spare:m"$/m);
  });

  test("runs the health checks of the configuration", async () => {
    const silent = file(
      "silent.yaml",
      `duration: 20m
phases: [{ from: 1m, for: 10m, on: first, fails: hang }]
callers: [{ name: web, per_second: 5 }]
`,
    );
    const checked = (check: string) =>
      file(
        `checked${check.length}.yaml`,
        `providers:
  - { name: a, base_url: 'http://127.0.0.1:1/v1', models: [m], timeouts: { first_token: 5s, total: 20s }${check} }
  - { name: b, base_url: 'http://127.0.0.1:2/v1', models: [m], priority: 2 }
`,
      );
    const probes = async (check: string) =>
      (await documentOf(silent, "--config", checked(check), "--json")).faults[0]?.attempts ?? 0;
    // After timeouts a provider whose checks fail is left alone for longer.
    expect(await probes(", health_check: { interval: 10s }")).toBeLessThan(await probes(""));
  });
});

describe("what cannot be rehearsed", () => {
  const refused = async (text: string, ...args: string[]) => {
    const { code, stdout, stderr } = await simulate(file("refused.yaml", text), ...args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    return stderr;
  };

  test("is told with everything that is wrong, each with its place, its value and what was expected", async () => {
    const told = await refused(`duration: soon
seed: -1
sed: 3
providers: [{ on: { key: k1 }, tokens_per_second: 5 }]
phases:
  - { from: 1m, on: { tire: 1 }, fails: explosion }
  - { slower: 2 }
callers: [{ name: web, per_second: 5, users: 3 }]
`);
    expect(told).toMatch(/duration\s+expected seconds, or a text such as 250ms.*, got "soon"/);
    expect(told).toMatch(/seed\s+expected a whole number from 0.*, got -1/);
    expect(told).toMatch(/sed\s+unknown key/);
    expect(told).toMatch(/providers\[0\]\.on\s+expected whole endpoints/);
    expect(told).toMatch(/phases\[0\]\.on\.tire\s+unknown key/);
    expect(told).toMatch(/phases\[0\]\.fails\s+expected one of server_error, overloaded.*, got "explosion"/);
    expect(told).toMatch(/phases\[1\]\.on\s+expected whom it concerns/);
    expect(told).toMatch(/callers\[0\]\.per_second\s+expected either per_second/);
  });

  test("is a selector that means nobody: there is a list of whom it could mean", async () => {
    const told = await refused(
      `duration: 1m
providers: [{ on: { kind: llama }, tokens_per_second: 5 }]
phases: [{ on: [first, { tier: 7 }], fails: hang }]
`,
      "--config",
      others,
    );
    expect(told).toMatch(/providers\[0\]\.on\s+expected one of: tiers 1, 2; .*kinds openai; .*, got kind: llama/);
    expect(told).toMatch(
      /phases\[0\]\.on\[1\]\s+expected one of: .*endpoints theirs\/m, spare\/m; keys k1, k2, got tier: 7/,
    );
  });

  test("is told of the model, of all selectors and of what else does not fit at once", async () => {
    const told = await refused(
      `duration: 1m
model: nope
phases: [{ on: { tier: 7 }, fails: hang }, { from: 2m, on: { provider: theirs }, fails: hang }]
callers: [{ name: web, per_second: 5 }, { name: jobs, per_second: 1, model: neither }]
`,
      "--config",
      listed,
    );
    expect(told).toMatch(/^ {2}model +expected one of: think, theirs:m, spare:m, got "nope"$/m);
    expect(told).toMatch(/^ {2}callers\[1\]\.model +expected one of: think, .*, got "neither"$/m);
    expect(told).toMatch(/^ {2}phases\[0\]\.on +expected one of: tiers 1, 2;.*, got tier: 7$/m);
    expect(told).toMatch(/^ {2}phases\[1\]\.from +expected a time before the end/m);
    expect(told.match(/^ {2}\S/gm)).toHaveLength(4);
  });

  test("is a scenario without a duration, and a phase or a burst that would do nothing", async () => {
    const told = await refused("phases: [{ from: 1m, on: first }]\n");
    expect(told).toMatch(/duration +expected seconds, or a text such as 250ms, 30s or 10m.*, got nothing/);
    expect(told).toMatch(/phases\[0\] +expected something that is different/);
    const late = await refused("duration: 1m\ncallers: [{ name: web, bursts: [{ at: 2m, requests: 5 }] }]\n");
    expect(late).toMatch(/callers\[0\]\.bursts\[0\]\.at +expected a time before the end, got 120s/);
  });

  test("is a phase after the end, two callers of one name, and more requests than anybody would wait for", async () => {
    const told = await refused(`duration: 1h
phases: [{ from: 2h, traffic: 2 }]
callers: [{ name: web, per_second: 50000 }, { name: web, per_second: 1 }]
`);
    expect(told).toMatch(/phases\[0\]\.from\s+expected a time before the end/);
    expect(told).toMatch(/callers\[1\]\.name\s+expected a name of its own/);
    expect(told).toMatch(/callers\s+expected at most 5,000,000 requests in all, got about 180,0/);
  });

  test("is a file that is not there, a page that cannot be written, a seed that is none", async () => {
    for (const [args, words] of [
      [[join(folder, "nowhere.yaml")], "there is no such file"],
      [[small, "--html", join(folder, "no", "such", "folder.html")], "expected a file that can be written (ENOENT)"],
      [[small, "--compare", join(folder, "nowhere.yaml")], "there is no such file"],
      [[small, "--seed", "x"], "expected a number from 0 to"],
      [[], "missing required argument"],
    ] as const) {
      const { code, stderr, stdout } = await everhop(["simulate", ...args]);
      expect(stderr).toContain(words);
      expect(code).toBe(2);
      expect(stdout).toBe("");
    }
    expect(existsSync(join(folder, "no"))).toBe(false);
  });
});

describe("what is written", () => {
  test("is a page as a whole or not at all", async () => {
    const home = mkdtempSync(join(tmpdir(), "everhop-test-"));
    const path = join(home, "page.html");
    const child = execFile(process.execPath, [join(root, "bin", "everhop.js"), "simulate", endless, "--html", path]);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    child.kill("SIGINT");
    await once(child, "exit");
    expect(readdirSync(home)).toEqual([]);
    writeFileSync(path, "before");
    expect((await simulate(small, "--html", path)).code).toBe(0);
    expect(readFileSync(path, "utf8")).toContain("</html>");
    expect(readdirSync(home)).toEqual(["page.html"]);
    expect((await simulate(small, "--html", "/dev/null")).code).toBe(0);
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test.skipIf(!existsSync("/dev/full"))("is missed in one line when there is no room for it", async () => {
    for (const flag of ["--json", "--seed=1"]) {
      const command = `"${process.execPath}" "${join(root, "bin", "everhop.js")}" simulate "${small}" ${flag} > /dev/full`;
      const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
        execFile("sh", ["-c", command], (error, _, errors) => resolve({ code: error?.code, stderr: errors }));
      });
      expect(code).toBe(1);
      expect(stderr).toMatch(/rehearsed in.*\nthe report cannot be written \(ENOSPC\)\n$/);
    }
  });

  test("says which model is only forwarded", async () => {
    const stranger = file("stranger.yaml", "duration: 10s\nmodel: strange\n");
    const forwarding = file("forwarding.yaml", "providers: [{ name: open, base_url: 'http://127.0.0.1:1/v1' }]\n");
    const { code, stderr, stdout } = await simulate(stranger, "--json", "--config", forwarding);
    expect(code).toBe(0);
    expect(stderr).toContain('no model "strange" is configured: rehearsing what open forwards\n');
    expect((JSON.parse(stdout) as { notes: readonly string[] }).notes).toEqual([
      'no model "strange" is configured: rehearsing what open forwards',
    ]);
  });
});

describe("the README's excerpt", () => {
  test("is what the command prints", async () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const [, args = "", excerpt = ""] = /\$ npx everhop simulate (.+)\n([\s\S]*?)```/.exec(readme) ?? [];
    const { stdout } = await everhop(["simulate", ...args.split(" ")], { cwd: root });
    const lines = excerpt.split("\n").filter((line) => line !== "" && line !== "…");
    expect(lines.length).toBeGreaterThan(10);
    for (const line of lines) expect(stdout).toContain(line);
  });
});

describe("the manual's example", () => {
  test("is a scenario, and its list of troubles is whole", async () => {
    const manual = readFileSync(join(root, "docs", "simulate.md"), "utf8");
    const [, text = ""] = /```yaml\n([\s\S]*?)```/.exec(manual) ?? [];
    const named = file("manual.yaml", text.replace(/^model: chat/m, "model: think"));
    const { code, stdout } = await simulate(named, "--config", others);
    expect(code).toBe(0);
    expect(stdout).toContain("├─");
    const { stderr } = await simulate(file("trouble.yaml", "duration: 1s\nphases: [{ on: all, fails: x }]\n"));
    const troubles = /expected one of (server_error.*), got/.exec(stderr)?.[1]?.split(", ") ?? [];
    expect(troubles.length).toBe(12);
    for (const trouble of troubles) expect(manual).toContain(`\`${trouble}\``);
  });
});
