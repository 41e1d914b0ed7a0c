import { Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "./config-problem.ts";
import { version } from "./version.ts";

/**
 * Runs a command line.
 * @param argv as `process.argv`
 * @returns the exit code: 0 fine, 1 failed, 2 usage or configuration
 */
export async function main(argv: readonly string[]): Promise<number> {
  // A command is imported when it is run: to load all of them would take longer than most of them do.
  const program = new Command("everhop")
    .description("An LLM gateway: one gRPC contract in front of every model provider.")
    .version(version)
    .exitOverride();
  program
    .command("serve", { isDefault: true })
    .description("serve gRPC, gRPC-Web, Connect and OpenAI's REST API on one port; a demo when nothing is configured")
    .option("-c, --config <file>", "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml)")
    .option("--groups <folder>", groupsHelp)
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--port <number>", "port to listen on, 0 for any (default: 8000)", portNumber)
    .option(
      "--live",
      "show endpoints and requests as they are, in place of lines (default: in the demo, on a terminal)",
    )
    .option("--no-live", "one line for each hop, also in the demo")
    .addOption(trafficOption())
    .action(async (flags) => (await import("./cli/serve.ts")).serve(flags));
  program
    .command("demo")
    .description("serve three simulated providers, whatever is configured, and show how requests hop between them")
    .option("--host <address>", "address to listen on (default: 127.0.0.1)")
    .option("--port <number>", "port to listen on, 0 for any (default: 8000)", portNumber)
    .option("--live", liveHelp)
    .option("--no-live", "one line for each hop")
    .addOption(trafficOption())
    .action(async (flags) => (await import("./cli/serve.ts")).serveDemo(flags));
  program
    .command("check")
    .description("say what the configuration comes to, and where each value comes from; or everything that is wrong")
    .argument("[file]", "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml, else the environment)")
    .option("--groups <folder>", groupsHelp)
    .option("--json", "for programs")
    .option("--schema", "print the JSON Schema of the configuration file instead")
    .action(async (file, flags) => (await import("./cli/check.ts")).checkConfiguration(file, flags));
  program
    .command("explain")
    .description("say which endpoints a model's requests would be sent to, in which order, and which not and why")
    .argument("<model>", "public name, or provider:model")
    .option("-c, --config <file>", "configuration file (default: EVERHOP_CONFIG, else ./everhop.yaml)")
    .option("--groups <folder>", groupsHelp)
    .option("--caller <name>", "as this caller would be served")
    .option("--json", "for programs")
    .action(async (model, flags) => (await import("./cli/explain.ts")).explainModel(model, flags));
  program
    .command("chat")
    .description("ask a running gateway, and see the hops of the answer")
    .argument("[prompt...]", "what to say (default: what is piped in; at a terminal a conversation)")
    .option("-u, --url <address>", "the gateway (default: EVERHOP_URL, else http://127.0.0.1:8000)")
    .option("-k, --key <key>", "a caller's key; others can see it in the list of processes (default: EVERHOP_API_KEY)")
    .option("-m, --model <name>", "public name, or provider:model (default: the gateway's)")
    .option("-p, --provider <name>", "ask this provider and no other")
    .option("-t, --task <name>", "a configured task, which chooses the model")
    .option("-s, --system <text>", "what the model is told before")
    .addOption(
      new Option("--recovery <how>", "what becomes of a stream that breaks").choices(["fail", "restart", "continue"]),
    )
    .option("--json", "for programs: one document, when all of it is there")
    .option("-i, --interactive", "a conversation, line by line")
    .action(async (words, flags) => (await import("./cli/chat.ts")).chat(words, flags));
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
    .action(async (scenario, flags) => (await import("./cli/simulate.ts")).simulate(scenario, flags));
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

const groupsHelp = "folder of model groups, a JSON file each (default: config/ when it holds some)";

const liveHelp = "a view of endpoints and requests in place of lines (default: of the demo, at a terminal)";

function trafficOption(): Option {
  const help = "in the demo: callers that ask so many times a second";
  return new Option("--traffic [rate]", help).preset("2").argParser(requestRate);
}

function requestRate(text: string): number {
  const rate = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || rate <= 0 || rate > 50)
    throw new InvalidArgumentError("expected requests a second, 50 at most");
  return rate;
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
