import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { promisify } from "node:util";

/** Runs a program somewhere that has none of our files. @returns what it prints. @throws Error with what it complains of */
export async function runProgram(file: string, flags: readonly string[]): Promise<string> {
  return (await promisify(execFile)(file, flags, { cwd: tmpdir() })).stdout;
}
