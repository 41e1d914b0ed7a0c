#!/usr/bin/env node
// Plain JavaScript, so that an old Node gets a sentence instead of a syntax error.
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  console.error(
    `Everhop needs Node 24 or newer, and this is ${process.version}. In its folder, "npm start" and "npx everhop" bring their own.`,
  );
  process.exit(2);
}
const { main } = await import("../src/server/main.ts");
process.exitCode = await main(process.argv);
