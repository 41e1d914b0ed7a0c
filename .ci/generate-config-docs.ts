// Writes what follows from the shape of the configuration file: its JSON Schema, and the table in its page of the docs.
import { readFileSync, writeFileSync } from "node:fs";
import { configMembers, configSchema } from "../src/server/config-schema.ts";

const page = "docs/configuration.md";
const rows = configMembers().map(
  ({ path, type, default: byDefault, help }) =>
    `| \`${path}\` | ${type} | ${byDefault === undefined ? "" : `\`${byDefault}\``} | ${help.replaceAll("|", "\\|")} |`,
);
const table = ["| member | what | default | |", "|---|---|---|---|", ...rows].join("\n");
const [before = "", , after = ""] = readFileSync(page, "utf8").split(/<!-- (?:members|end of members) -->/);
writeFileSync(page, `${before}<!-- members -->\n${table}\n<!-- end of members -->${after}`);
writeFileSync("everhop.schema.json", `${JSON.stringify(configSchema(), undefined, 2)}\n`);
