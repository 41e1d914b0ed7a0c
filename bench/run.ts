import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cases } from "./cases.ts";
import { measure } from "./measure.ts";
import { type Options, OptionsError, readOptions, usage } from "./options.ts";
import { type Child, startChild } from "./processes/child.ts";
import { startGateway } from "./processes/gateway.ts";
import { circumstances, reportText } from "./report.ts";
import { rowsOf, verdictsOf } from "./summary.ts";

const children: Child[] = [];
const folder = mkdtempSync(join(tmpdir(), "everhop-bench-"));

/** Whatever happens, no process and no file stays behind. */
function leaveNothing(): void {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}

async function run(options: Options): Promise<void> {
  const { extent, json, profileFolder } = options;
  const started = async (child: Promise<Child>) => {
    children.push(await child);
    return child;
  };
  const exact = cases.filter(({ name }) => name === options.only);
  const partly = cases.filter(({ name }) => name.toLowerCase().includes(options.only.toLowerCase()));
  const chosen = exact.length > 0 ? exact : partly;
  if (chosen.length === 0) throw new OptionsError(`no case is called ${options.only}`);
  const on = circumstances(extent);
  const program = (name: string) => join(import.meta.dirname, "processes", name);
  const direct = await started(startChild(program("upstream.ts"), []));
  const floor = await started(startChild(program("floor.ts"), [direct.origin]));
  const gateway = await started(startGateway(folder, direct.origin, profileFolder));

  const legs = await measure(chosen, { direct, floor, gateway }, extent, (line) => process.stderr.write(`${line}\n`));
  const rows = rowsOf(legs);
  const verdicts = verdictsOf(legs);
  if (json)
    console.log(
      JSON.stringify(
        {
          circumstances: on,
          rows,
          verdicts,
          legs: legs.map(({ of, via, rounds }) => ({ case: of.name, via, rounds })),
        },
        null,
        2,
      ),
    );
  else console.log(`\n${reportText(rows, verdicts, on)}`);
  await Promise.all(children.map((child) => child.stop()));
}

process.on("exit", leaveNothing);
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));
try {
  await run(readOptions(process.argv.slice(2)));
} catch (error) {
  if (error instanceof OptionsError) console.error(`${error.message}\n${usage}`);
  else console.error(error instanceof Error ? error.message : error);
  process.exit(error instanceof OptionsError ? 2 : 1);
}
