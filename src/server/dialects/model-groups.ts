import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { ConfigError, type ConfigProblem, problemsOf } from "../config.ts";
import { DraftWriter, type Origin, originOf } from "../draft.ts";
import type { Variables } from "../environment.ts";
import { type FileContent, readYaml } from "../yaml-file.ts";
import { impliedBy, type Said } from "./dialect.ts";

/** An endpoint of a group's file. What it says beside these goes to the endpoint as it is. */
const endpoint = z.looseObject({
  baseurl: z.string("expected the endpoint's base URL"),
  apikey: z.string().nullish(),
  model: z.string("expected the model asked of the endpoint"),
  timeout: z.union([z.number(), z.string()]).nullish(),
  type: z.string().nullish(),
});
const endpoints = z.array(endpoint).min(1, "expected at least one endpoint");

/** Whether a folder holds a file that looks like a model group; any other program may have a folder of that name. */
export function holdsGroups(folder: string): boolean {
  return groupFiles(folder).some((path) => /"baseurl"\s*:/.test(readIfThere(path)));
}

function groupFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/**
 * Model groups from a folder: a JSON file each, named as the model is, with an endpoint or a list of them, tried in that order. Texts
 * may name the environment. Endpoints of one type, base URL and key are one provider, whichever groups they stand in.
 * @throws ConfigError with everything that is wrong with any of the files
 */
export function readModelGroups(folder: string, variables: Variables): Said {
  const files = groupFiles(folder);
  const source = files.length === 1 ? (files[0] ?? folder) : `${folder} (${files.length} files)`;
  if (files.length === 0) {
    const expected = "expected a folder with a JSON file for each model";
    throw new ConfigError("--groups", [{ path: "(the folder)", value: JSON.stringify(folder), expected }], [folder]);
  }
  const writer = new DraftWriter();
  const problems: ConfigProblem[] = [];
  const notices: string[] = [];
  const providers = new Map<string, string>();
  for (const [position, path] of files.entries()) {
    const { endpoints, problems: wrong, originOfFile, originAt } = readGroup(path, variables);
    problems.push(...wrong);
    const model = ["models", position];
    writer.set([...model, "name"], basename(path, ".json"), originOfFile);
    writer.set([...model, "strategy"], "ordered", impliedBy(originOfFile));
    const targets = new Set<string>();
    for (const [index, each] of endpoints.entries()) {
      const { baseurl, apikey, model: upstreamModel, timeout, type: label, ...params } = each;
      const at = (field: string) => originAt(index, field);
      const type = labelOf(label);
      const identity = JSON.stringify([type, baseurl, apikey || undefined]);
      let name = providers.get(identity);
      if (name === undefined) {
        const provider = ["providers", providers.size];
        name = freeName(type, new Set(providers.values()));
        providers.set(identity, name);
        writer.set([...provider, "name"], name, at("type"));
        writer.set([...provider, "kind"], type, at("type"));
        writer.set([...provider, "base_url"], baseurl, at("baseurl"));
        if (apikey) writer.set([...provider, "keys"], [apikey], at("apikey"));
      }
      const id = `${name}/${upstreamModel}`;
      if (targets.has(id)) {
        notices.push(
          `${at("model").at} is not used: ${id} stands further up in the file, and is tried again by itself`,
        );
        continue;
      }
      const target = [...model, "targets", targets.size];
      targets.add(id);
      writer.set([...target, "provider"], name, at("type"));
      writer.set([...target, "model"], upstreamModel, at("model"));
      writer.set([...target, "timeout"], timeout ?? undefined, at("timeout"));
      for (const [param, value] of Object.entries(params)) writer.set([...target, "params", param], value, at(param));
    }
  }
  const read = [folder, ...files];
  if (problems.length > 0) throw new ConfigError(source, problems, read);
  return { ...writer.draft(), source, files: read, notices };
}

/** A label as a provider may be named. */
function labelOf(type: string | null | undefined): string {
  const label = (type ?? "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[._-]+|-+$/g, "");
  return label === "" || /^\d+$/.test(label) ? `endpoint${label && `-${label}`}` : label.slice(0, 60);
}

/** One file: its endpoints in their order. */
function readGroup(path: string, variables: Variables) {
  const { value, origins, problems: unread } = readOrProblems(path, variables);
  const isList = Array.isArray(value);
  const result = endpoints.safeParse(isList ? value : [value]);
  const found =
    result.success || value === undefined
      ? []
      : result.error.issues
          .map((issue) => (isList ? issue : { ...issue, path: issue.path.slice(1) }))
          .flatMap((issue) => problemsOf(issue, value));
  const placeOf = (where: string) => originOf(origins, where) ?? { text: `${path}:1`, at: "1:1" };
  return {
    endpoints: result.success ? result.data : [],
    originOfFile: { text: path, at: path },
    originAt(index: number, field: string): Origin {
      const { text, at } = placeOf(isList ? `[${index}].${field}` : field);
      return { text, at: `${path}:${at}` };
    },
    problems: [...unread, ...found, ...misspelt(value)].map((problem) => {
      return { ...problem, at: `${path}:${placeOf(problem.path).at}` };
    }),
  };
}

/** A key under another name would go to the endpoint as a parameter: in the body, for everybody to log. */
const nearly = /^(api[_-]?key|key|token|base[_-]?url|url)$/i;

function misspelt(value: unknown): ConfigProblem[] {
  const list = Array.isArray(value)
    ? value.map((each, index) => [`[${index}].`, each] as const)
    : [["", value] as const];
  return list.flatMap(([prefix, each]) =>
    Object.keys(typeof each === "object" && each !== null ? each : {})
      .filter((name) => nearly.test(name) && name !== "apikey" && name !== "baseurl")
      .map((name) => {
        const expected = `unknown key: expected ${/url/i.test(name) ? "baseurl" : "apikey"}`;
        return { path: `${prefix}${name}`, value: "", expected };
      }),
  );
}

/** A file that cannot be read at all is one that has a problem more: the others are looked at all the same. */
function readOrProblems(path: string, variables: Variables): FileContent {
  try {
    const content = readYaml(path, variables);
    if (content.value !== undefined) return content;
    return { ...content, problems: [{ path: "(the file)", value: "", expected: "is empty" }] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { value: undefined, origins: new Map(), problems: error.problems };
  }
}

/** A provider is named after its type; a second one of a type has a number. */
function freeName(type: string, taken: ReadonlySet<string>): string {
  if (!taken.has(type)) return type;
  let number = 2;
  while (taken.has(`${type}-${number}`)) number += 1;
  return `${type}-${number}`;
}
