import { readFileSync } from "node:fs";
import { type ConfigProblem, shownText } from "./config-problem.ts";

/** Most keys of one file. */
const maxKeys = 10_000;

/**
 * Reads a file of keys, one a line. Blank lines and lines that begin with `#` are passed over, and so is a key that stands there
 * twice. Keys are of any shape, as long as a header can carry them.
 * @param at where the configuration names the file, for what is wrong with it
 */
export function readKeysFile(path: string, at: string): { keys: string[]; problems: ConfigProblem[] } {
  const problem = (expected: string): ConfigProblem => ({ path: at, value: shownText(path), expected });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code = "unknown error" } = error as { code?: string };
    return { keys: [], problems: [problem(code === "ENOENT" ? "there is no such file" : `cannot be read (${code})`)] };
  }
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  const keys = new Set<string>();
  const problems: ConfigProblem[] = [];
  for (const [index, line] of lines.entries()) {
    const key = line.trim();
    if (key === "" || key.startsWith("#")) continue;
    // What stands there is not shown: it may be a key all the same.
    if (!/^[\x21-\x7e]{1,4096}$/.test(key)) {
      problems.push(
        problem(`line ${index + 1}: expected a key of printable ASCII without blanks, at most 4096 characters`),
      );
    } else keys.add(key);
  }
  // A file that is being written anew is empty for a moment; and a provider without keys wants no file.
  if (keys.size === 0 && problems.length === 0) problems.push(problem("expected at least one key in it"));
  if (keys.size > maxKeys) problems.push(problem(`expected at most ${maxKeys} keys`));
  return { keys: [...keys], problems: problems.slice(0, 10) };
}
