import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");

/** The house: rooms in their order. A room imports only rooms above it in this list, and only the packages named. */
const rooms: readonly { name: string; packages: readonly string[]; never?: readonly string[] }[] = [
  { name: "runtime", packages: [] },
  { name: "chat", packages: ["@bufbuild/protobuf"] },
  { name: "routing", packages: [], never: ["chat", "node:"] },
  { name: "providers", packages: ["undici"] },
  { name: "simulation", packages: [], never: ["chat", "providers"] },
  { name: "store", packages: ["kysely", "pg", "ioredis"] },
  { name: "telemetry", packages: ["@opentelemetry/", "@grpc/grpc-js", "pino"] },
  { name: "gateway", packages: ["lru-cache"] },
  { name: "api", packages: ["@connectrpc/", "@bufbuild/protobuf"] },
  { name: "console", packages: ["@connectrpc/connect-web", "preact", "uplot"], never: ["src"] },
  { name: "server", packages: ["*"] },
];

/** Of the generated code: chat is the door to the domain; api has the services, who may call them, and the well-known protocols. */
const generated: Readonly<Record<string, RegExp>> = {
  chat: /^gen\/ts\/everhop\/v1\/(?!.*_service_pb)/,
  api: /^gen\/ts\/(everhop\/v1\/(\w+_service|access)_pb|google\/rpc\/|grpc\/)/,
  console: /^gen\/ts\//,
};

/** What a file may not reach for by itself, outside of runtime/ and server/. */
const ambient: Readonly<Record<string, RegExp>> = {
  "Date.now": /\bDate\.now\b/,
  "new Date()": /\bnew Date\(\s*\)/,
  "performance.now": /\bperformance\.now\b/,
  "Math.random": /\bMath\.random\b/,
  randomness: /\b(crypto\.random\w*|random(Bytes|UUID|Int|FillSync|Fill))\b/,
  timers: /\b(setTimeout|setInterval|setImmediate)\s*\(/,
  "AbortSignal.timeout": /\bAbortSignal\.timeout\b/,
  fetch: /(?<![.\w])fetch\s*\(/,
  "process.env": /\bprocess\.env\b/,
  console: /\bconsole\.\w/,
};

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** Without comments and the insides of texts: what runs. */
  readonly code: string;
  readonly imports: readonly string[];
}

function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => {
      const path = relative(root, join(entry.parentPath, entry.name));
      const text = readFileSync(join(root, path), "utf8");
      const imports = [...text.matchAll(/^\s*(?:import|export)\b[^"';]*?from\s*"([^"]+)"|\bimport\s*\(?"([^"]+)"/gm)];
      return {
        path,
        room: path.split("/")[1] ?? "",
        text,
        code: withoutComments(text),
        imports: imports.map((match) => match[1] ?? match[2] ?? ""),
      };
    });
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

function target(file: SourceFile, specifier: string): string {
  return relative(root, resolve(root, dirname(file.path), specifier));
}

const files = sourceFiles("src");
const roomIndex = new Map(rooms.map(({ name }, index) => [name, index]));
const inRooms = files.filter(({ path }) => path.split("/").length > 2);

describe("the house", () => {
  test("has its files in rooms that it knows", () => {
    expect(inRooms.filter(({ room }) => !roomIndex.has(room)).map(({ path }) => path)).toEqual([]);
    expect(inRooms.length).toBeGreaterThan(30);
  });

  test("lets a room import only rooms with smaller numbers", () => {
    const wrong = inRooms.flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => target(file, specifier))
        .filter((path) => path.startsWith("src/"))
        .filter((path) => {
          const other = path.split("/")[1] ?? "";
          const never = rooms[roomIndex.get(file.room) ?? 0]?.never ?? [];
          const upward = (roomIndex.get(other) ?? Number.POSITIVE_INFINITY) > (roomIndex.get(file.room) ?? -1);
          return upward || (other !== file.room && (never.includes(other) || never.includes("src")));
        })
        .map((path) => `${file.path} imports ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  test("lets a room import only the packages that it is for", () => {
    const wrong = inRooms.flatMap((file) => {
      const room = rooms[roomIndex.get(file.room) ?? 0];
      const packages: readonly string[] = room?.packages ?? [];
      const never: readonly string[] = room?.never ?? [];
      return file.imports
        .filter((specifier) => !specifier.startsWith("."))
        .filter((specifier) =>
          specifier.startsWith("node:")
            ? never.includes("node:")
            : !packages.includes("*") &&
              !packages.some((each) => specifier === each || specifier.startsWith(`${each.replace(/\/$/, "")}/`)),
        )
        .map((specifier) => `${file.path} imports ${specifier}`);
    });
    expect(wrong).toEqual([]);
  });

  test("keeps generated code behind chat and api", () => {
    const wrong = inRooms.flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => target(file, specifier))
        .filter((path) => path.startsWith("gen/") && !generated[file.room]?.test(path))
        .map((path) => `${file.path} imports ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  test("has no import cycle", () => {
    const edges = new Map(
      files.map((file) => [
        file.path,
        file.imports.filter((each) => each.startsWith(".")).map((each) => target(file, each)),
      ]),
    );
    const finished = new Set<string>();
    const visit = (path: string, trail: readonly string[]): string | undefined => {
      if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" → ");
      if (finished.has(path)) return undefined;
      for (const next of edges.get(path) ?? []) {
        const cycle = visit(next, [...trail, path]);
        if (cycle) return cycle;
      }
      finished.add(path);
      return undefined;
    };
    expect([...edges.keys()].map((path) => visit(path, [])).filter(Boolean)).toEqual([]);
  });

  test("takes time, chance and the environment as arguments", () => {
    const wrong = inRooms
      .filter(({ room }) => room !== "runtime" && room !== "server")
      .flatMap(({ path, code }) =>
        Object.entries(ambient)
          .filter(([, pattern]) => pattern.test(code))
          .map(([name]) => `${path} uses ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  test("has no default export and no room for odds and ends", () => {
    expect(files.filter(({ code }) => /^export default\b/m.test(code)).map(({ path }) => path)).toEqual([]);
    const vague = /(^|\/|-)(utils?|helpers?|common|misc)(\/|\.|-)/;
    expect(files.filter(({ path }) => vague.test(path)).map(({ path }) => path)).toEqual([]);
    expect(files.filter(({ path }) => /[A-Z_]/.test(path.replace(/^src\//, ""))).map(({ path }) => path)).toEqual([]);
  });

  test("names neither machines nor registries", () => {
    const hosts = /registry\.npmjs|\/work\/|pypi\.org|proxy\.golang/;
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    expect(lock).not.toMatch(/"resolved"/);
    expect(
      [...files, ...sourceFiles("test"), ...sourceFiles("bench")]
        .filter(({ path, text }) => path !== "test/structure.test.ts" && hosts.test(text))
        .map(({ path }) => path),
    ).toEqual([]);
  });

  test("reports its longest files and functions", () => {
    const longest = [...files].sort((a, b) => lines(b.text) - lines(a.text)).slice(0, 5);
    const functions = files
      .flatMap(({ path, text }) =>
        [...text.matchAll(/^( *)(?:export )?(?:async )?function\*? (\w+)[\s\S]*?^\1\}/gm)].map((match) => ({
          name: `${path} ${match[2]}`,
          length: lines(match[0]),
        })),
      )
      .sort((a, b) => b.length - a.length)
      .slice(0, 5);
    console.info(`longest files: ${longest.map(({ path, text }) => `${path} ${lines(text)}`).join(", ")}`);
    console.info(`longest functions: ${functions.map(({ name, length }) => `${name} ${length}`).join(", ")}`);
    expect(longest.length).toBe(5);
  });
});

function lines(text: string): number {
  return text.split("\n").length;
}
