import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { poolConfig, startGateway, startProviders } from "../support/gateway.ts";
import { root } from "../support/program.ts";
import { type Figures, parseFigures } from "../support/prometheus.ts";
import { hasPromtool, promtool } from "../support/promtool.ts";

const folder = join(root, "deploy");
const read = (path: string) => readFileSync(join(folder, path), "utf8");

/** The figures of a gateway that has just started: every metric is told, used or not. */
async function figuresNow(): Promise<Figures> {
  const providers = await startProviders({ only: {} });
  const auth = { open: true };
  const { address } = await startGateway({ ...poolConfig(providers), auth, metrics: { public: true } }, providers);
  return parseFigures(await (await fetch(`${address}/metrics`)).text());
}

/** The names of metrics in a query. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/\b(everhop|gen_ai|nodejs|process)_[a-z0-9_]+(?=[\s{[)]|$)/gm)].map(([name]) => name);
}

/** Names that are labels, in `by (…)` and in braces. */
const isLabel = (name: string) =>
  ["everhop_provider", "gen_ai_request_model", "everhop_usage_estimated"].includes(name);

/** Every name that a scrape of these figures has. */
function scrapedNames({ families }: Figures): Set<string> {
  return new Set(
    [...families.values()].flatMap(({ name, type }) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
}

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly gridPos: { readonly x: number; readonly w: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

const dashboard = JSON.parse(read("grafana/dashboards/everhop.json")) as Dashboard;

describe("what lies ready for running it", () => {
  test("asks for no metric that there is not, in the dashboard and in the alerts", async () => {
    const names = scrapedNames(await figuresNow());
    const queries = [
      ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...dashboard.templating.list.map(({ definition = "" }) =>
        definition.replace("label_values(", "").replace(",", " "),
      ),
      ...dashboard.annotations.list.map(({ expr }) => expr),
    ];
    const rules = (parse(read("prometheus/alerts.yml")) as { groups: { rules: { expr: string }[] }[] }).groups.flatMap(
      (group) => group.rules.map(({ expr }) => expr),
    );
    const asked = [...queries, ...rules].flatMap(namesIn).filter((name) => !isLabel(name));
    expect([...new Set(asked)].filter((name) => !names.has(name))).toEqual([]);
    expect(new Set(asked).size).toBeGreaterThan(25);
    expect(rules.length).toBeGreaterThan(10);
  });

  test("shows every metric that there is, somewhere on the dashboard", async () => {
    const asked = new Set(dashboard.panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => namesIn(expr))));
    const families = [...(await figuresNow()).families.values()];
    const unseen = families.filter(
      ({ name }) => ![name, `${name}_bucket`, `${name}_count`].some((each) => asked.has(each)),
    );
    expect(unseen.map(({ name }) => name)).toEqual([
      "nodejs_heap_size_total_bytes",
      "everhop_build_info",
      "everhop_metrics_exports_total",
    ]);
  });

  test("has a dashboard whose panels all have a title, a place and something to show", () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { title, type, targets, gridPos } of dashboard.panels) {
      expect([title.length > 0, type === "row" || (targets?.length ?? 0) > 0]).toEqual([true, true]);
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
  });

  test("is described: every metric stands in the documentation, and no other", async () => {
    const text = readFileSync(join(root, "docs/metrics.md"), "utf8");
    const rows = text.split("\n").filter((line) => /^\| `(everhop|gen_ai|nodejs|process)_/.test(line));
    const described = rows.flatMap((row) => {
      const [, name = "", type = ""] = row.split("|").map((cell) => cell.trim());
      return [...name.matchAll(/`(\w+)`/g)].map(([, each]) => `${each} ${type}`);
    });
    const families = [...(await figuresNow()).families.values()].map(({ name, type }) => `${name} ${type}`);
    expect(described.sort()).toEqual(families.sort());
  });

  test("is YAML that can be read, and mounts nothing that is not there", () => {
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => /\.ya?ml$/.test(path));
    expect(files.length).toBeGreaterThan(5);
    for (const path of files) expect([path, typeof parse(read(path))]).toEqual([path, "object"]);
    const { services, secrets } = parse(read("compose.yaml")) as {
      services: Record<string, { volumes?: string[]; secrets?: string[]; build?: { dockerfile: string } }>;
      secrets: object;
    };
    const mounted = Object.values(services)
      .flatMap(({ volumes = [] }) => volumes)
      .flatMap((volume) => /^\.\/[^:]+/.exec(volume)?.[0] ?? []);
    expect(mounted.filter((path) => !existsSync(join(folder, path)))).toEqual([]);
    expect(mounted.length).toBeGreaterThan(3);
    expect(existsSync(join(root, services["everhop"]?.build?.dockerfile ?? ""))).toBe(true);
    expect(Object.values(services).flatMap((service) => service.secrets ?? [])).toEqual(Object.keys(secrets));
    const copied = [...read("Dockerfile").matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths = ""]) =>
      paths.split(" "),
    );
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
    const ignored = read("Dockerfile.dockerignore").split("\n");
    expect(copied.filter((path) => !ignored.includes(`!${path}`))).toEqual([]);
  });

  test("configures a gateway that starts, with the variables that it is given and no other", () => {
    const { services } = parse(read("compose.yaml")) as {
      services: { everhop: { environment: Record<string, string> } };
    };
    const given = Object.keys(services.everhop.environment);
    const env = {
      PATH: process.env["PATH"] ?? "",
      EVERHOP_KEY: "sk-test-canary-caller",
      EVERHOP_ADMIN_KEY: "sk-test-canary-admin-0123456789abcdef",
      PROVIDER_KEY: "sk-test-canary-provider",
    };
    expect(given).toEqual(expect.arrayContaining(Object.keys(env).filter((name) => name !== "PATH")));
    const check = (path: string, variables: NodeJS.ProcessEnv) =>
      spawnSync(process.execPath, [join(root, "bin/everhop.js"), "check", path, "--json"], {
        cwd: folder,
        env: variables,
        encoding: "utf8",
      });
    const { status, stdout, stderr } = check("everhop.yaml", env);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).not.toContain("sk-test-canary");
    expect(check("everhop.yaml", { PATH: env.PATH }).status).toBe(2);
  });

  describe.skipIf(!hasPromtool)("in the eyes of Prometheus' own judge", () => {
    test("is a configuration", () => {
      const { code, said } = promtool(["check", "config", "--syntax-only", join(folder, "prometheus/prometheus.yml")]);
      expect([code, said]).toEqual([0, expect.stringContaining("SUCCESS")]);
    });

    test("has rules that can be read", () => {
      const { code, said } = promtool(["check", "rules", join(folder, "prometheus/alerts.yml")]);
      expect([code, said]).toEqual([0, expect.stringMatching(/SUCCESS: \d+ rules found/)]);
    });

    test("has alerts that fire when they should, each of them", () => {
      const { code, said } = promtool(["test", "rules", join(folder, "prometheus/alerts.test.yml")]);
      expect([code, said]).toEqual([0, expect.stringContaining("SUCCESS")]);
      const names = (text: string, pattern: RegExp) => new Set([...text.matchAll(pattern)].map(([, name]) => name));
      expect(names(read("prometheus/alerts.test.yml"), /alertname: (\w+)/g)).toEqual(
        names(read("prometheus/alerts.yml"), /alert: (\w+)/g),
      );
    });
  });
});
