import { Command, InvalidArgumentError } from "commander";
import { explainModel } from "./cli/explain.ts";
import { serve } from "./cli/serve.ts";
import { simulate } from "./cli/simulate.ts";
import { ConfigError } from "./config.ts";
import { version } from "./version.ts";

/**
 * Runs a command line.
 * @param argv as `process.argv`
 * @returns the exit code: 0 fine, 1 failed, 2 usage or configuration
 */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("everhop")
    .description("An LLM gateway: one gRPC contract in front of every model provider.")
    .version(version)
    .exitOverride();
  program
    .command("serve", { isDefault: true })
    .description("serve gRPC, gRPC-Web, Connect and OpenAI's REST API on one port; a demo when nothing is configured")
    .option("-c, --config <file>", "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml)")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--port <number>", "port to listen on, 0 for any (default: 8000)", portNumber)
    .action(serve);
  program
    .command("explain")
    .description("say which endpoints a model's requests would be sent to, in which order, and which not and why")
    .argument("<model>", "public name, or provider:model")
    .option("-c, --config <file>", "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml)")
    .option("--caller <name>", "as this caller would be served")
    .option("--json", "for programs")
    .action(explainModel);
  program
    .command("simulate")
    .description("rehearse an outage: the configured routing on a virtual clock, among providers that are not there")
    .argument("<scenario>", "scenario file; ready ones lie in examples/scenarios")
    .option(
      "-c, --config <file>",
      "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml, else the scenario's own)",
    )
    .option("--seed <number>", "another course of chance (default: the scenario's)", seedNumber)
    .option("--json", "for programs: one document")
    .option("--html <file>", "write a page with charts, too")
    .option("--compare <file>", "the same scenario with a second configuration, side by side")
    .addHelpText("after", simulateExamples)
    .action(simulate);
  try {
    await program.parseAsync(argv);
    // A command may have come to a bad end that it told of itself.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof ConfigError) {
      console.error(error.message);
      return 2;
    }
    // Commander has told the user already.
    if (error instanceof Error && "exitCode" in error) return error.exitCode === 0 ? 0 : 2;
    console.error(error);
    return 1;
  }
}

const simulateExamples = `
Examples:
  $ everhop simulate examples/scenarios/primary-outage.yaml
  $ everhop simulate outage.yaml --config everhop.yaml --html outage.html
  $ everhop simulate outage.yaml --config everhop.yaml --compare with-a-spare.yaml
  $ everhop simulate outage.yaml --json | jq .headline.availability_percent`;

function seedNumber(text: string): number {
  const seed = Number(text);
  if (!/^\d+$/.test(text) || seed > 4_294_967_295)
    throw new InvalidArgumentError("expected a number from 0 to 4294967295");
  return seed;
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError("expected a number from 0 to 65535");
  return port;
}
