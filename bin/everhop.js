#!/usr/bin/env node
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";

// Plain JavaScript, so that an old Node gets a sentence instead of a syntax error.
const major = Number(process.versions.node.split(".")[0]);
// Whoever starts it from another folder has not got the Node that came with it on the path.
const own = fileURLToPath(new URL("../node_modules/node/bin/node", import.meta.url));
if (major < 24 && existsSync(own)) {
  const child = spawn(own, process.argv.slice(1), { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
  await new Promise(() => {});
}
if (major < 24) {
  console.error(
    `Everhop needs Node 24 or newer, and this is ${process.version}. In its folder, "npm start" and "npx everhop" bring their own.`,
  );
  process.exit(2);
}
// What is compiled once need not be at the next start. It lies beside the code and not in a folder that anybody may write to: who can
// change it there could change the code as well. Where nothing may be written, it is done without.
module.enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/everhop", import.meta.url)));
const { main } = await import("../src/server/main.ts");
process.exitCode = await main(process.argv);
