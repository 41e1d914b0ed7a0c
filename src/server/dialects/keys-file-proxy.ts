import { existsSync } from "node:fs";
import { join } from "node:path";
import { DraftWriter, type Origin } from "../draft.ts";
import { attemptsOf, type Dialect, impliedBy, setFrom } from "./dialect.ts";

const keysPath = join("data", "keys.txt");
const defaultModel = "openai-gpt-oss-120b";
const ownVariables = ["MEGALLM_BASE_URL", "MEGALLM_TIMEOUT", "MEGALLM_MAX_RETRIES"];

/** A count that may be larger than there is sense in; what is no count is left for the check to complain of. */
const atMost = (most: number) => (text: string) => (/^\d{1,9}$/.test(text) ? Math.min(most, Number(text)) : text);

/** `data/keys.txt` and the `MEGALLM_*` environment: one provider, many keys in turn, and a model for whoever names none. */
export const keysFileProxy: Dialect = {
  name: "data/keys.txt and the MEGALLM_* environment",
  read({ variables, folder }) {
    const { env, originOf } = variables;
    const path = folder === "." ? keysPath : join(folder, keysPath);
    const named = ownVariables.find((name) => env[name]);
    const isThere = existsSync(path);
    if (!isThere && named === undefined) return undefined;
    const file: Origin = isThere ? { text: path, at: path } : originOf(named ?? "");
    const implied = impliedBy(file);
    const writer = new DraftWriter();
    const at = (field: string) => ["providers", 0, field];
    writer.set(at("name"), "megallm", implied);
    writer.set(at("kind"), "megallm", implied);
    writer.set(at("base_url"), "https://ai.megallm.io/v1", implied);
    setFrom(writer, variables, "MEGALLM_BASE_URL", at("base_url"));
    writer.set(at("keys_file"), path, file);
    writer.set(at("timeout"), 120, implied);
    setFrom(writer, variables, "MEGALLM_TIMEOUT", at("timeout"));
    // Public by name, so that a list of models is not empty; the provider goes on taking any other as well.
    const targets = [{ provider: "megallm", model: defaultModel }];
    writer.set(["models"], [{ name: defaultModel, targets }], implied);
    writer.set(["defaults", "model"], defaultModel, implied);
    setFrom(writer, variables, "MEGALLM_MAX_RETRIES", ["routing", "max_attempts"], attemptsOf);
    // A key that is out of its limit and one that is refused are counted apart here; there they were not.
    setFrom(writer, variables, "MAX_KEY_RETRIES", ["routing", "key_rotations", "rate"], atMost(64));
    setFrom(writer, variables, "MAX_KEY_RETRIES", ["routing", "key_rotations", "auth"], atMost(1000));
    setFrom(writer, variables, "HOST", ["server", "host"]);
    setFrom(writer, variables, "PORT", ["server", "port"]);
    return { ...writer.draft(), source: named ? `the environment and ${path}` : path, files: [path], notices: [] };
  },
};
