import { text as readText } from "node:stream/consumers";
import { toJson } from "@bufbuild/protobuf";
import { ChatCallError, type ChatCaller, createChatCaller, type recoveries } from "../../api/rpc/chat-caller.ts";
import {
  CompletionSchema,
  create,
  type Message,
  MessageSchema,
  PromptSchema,
  Role,
  RouteTrailSchema,
} from "../../chat/messages.ts";
import { systemClock } from "../../runtime/clock.ts";
import { Secret } from "../../runtime/secret.ts";
import { ConfigError } from "../config.ts";
import { converse } from "./chat/conversation.ts";
import { failureLines } from "./chat/failure-lines.ts";
import { hopLines } from "./chat/hop-lines.ts";
import { paint } from "./chat/paint.ts";
import { type Listener, type Turn, takeTurn, textOf } from "./chat/turn.ts";
import { harmless, harmlessJson, printable } from "./terminal-text.ts";

/** Flags of `chat`. */
export interface ChatFlags {
  readonly url?: string;
  readonly key?: string;
  readonly model?: string;
  readonly provider?: string;
  readonly task?: string;
  readonly system?: string;
  readonly recovery?: keyof typeof recoveries;
  readonly json?: boolean;
  readonly interactive?: boolean;
}

const defaultUrl = "http://127.0.0.1:8000";

/**
 * Asks a gateway that runs somewhere. The answer alone goes to standard output, as it comes; its hops go to standard error.
 * @throws ConfigError for what cannot be asked
 */
export async function chat(words: readonly string[], flags: ChatFlags): Promise<void> {
  const url = addressOf(flags.url);
  const gateway = createChatCaller(url, keyOf(flags.key));
  // Whoever reads the answer may stop reading.
  process.stdout.on("error", () => process.exit(1));
  // Whoever does not want the hops may want the answer.
  process.stderr.on("error", () => {});
  try {
    await chatAt(gateway, url, words.join(" "), flags);
  } finally {
    gateway.close();
  }
}

async function chatAt(gateway: ChatCaller, url: string, given: string, flags: ChatFlags): Promise<void> {
  if (flags.interactive || (given === "" && process.stdin.isTTY)) {
    if (flags.json) throw usage("--json", "expected a prompt: a conversation is no document");
    await holdConversation(gateway, url, flags, given);
    return;
  }
  const said = given === "" ? (await readText(process.stdin)).trimEnd() : given;
  if (said.trim() === "") throw usage("PROMPT", "expected something to say, as arguments or on standard input; or -i");
  const messages = [...systemOf(flags), userMessage(said)];
  const turn = await ask(gateway, messages, flags, new AbortController().signal);
  if (flags.json) process.stdout.write(`${harmlessJson(JSON.stringify(documentOf(turn), undefined, 2))}\n`);
  else tell(turn, url);
  if (turn.error !== undefined) process.exitCode = 1;
}

async function holdConversation(gateway: ChatCaller, url: string, flags: ChatFlags, first: string): Promise<void> {
  let model = flags.model;
  let history: Message[] = systemOf(flags);
  await converse(
    {
      async say(text, signal) {
        const asked = [...history, userMessage(text)];
        const turn = await ask(gateway, asked, { ...flags, ...(model !== undefined && { model }) }, signal);
        if (signal.aborted) {
          note("Stopped; what was said is not kept.");
          return;
        }
        tell(turn, url);
        // What was not answered has not been said.
        if (turn.error === undefined) history = [...asked, message(Role.ASSISTANT, textOf(turn.completion))];
      },
      reset() {
        history = systemOf(flags);
      },
      setModel(name) {
        model = name;
      },
    },
    { first, note, paint },
  );
}

/** One question with its answer, which is shown as it comes unless it is to be a document. */
async function ask(gateway: ChatCaller, messages: Message[], flags: ChatFlags, signal: AbortSignal): Promise<Turn> {
  const prompt = create(PromptSchema, { model: flags.model ?? "", messages });
  const { provider = "", task = "", recovery } = flags;
  const show = flags.json ? silent : showing(recovery === "restart" && !process.stdout.isTTY);
  const turn = await takeTurn(gateway, { prompt, provider, task, recovery }, signal, show);
  show.end();
  return turn;
}

interface Show extends Listener {
  end(): void;
}

const silent: Show = { text: () => {}, reasoning: () => {}, recovered: () => {}, end: () => {} };

/** Shows an answer as it comes. @param holdsBack until it is whole: what is void must not go where it cannot be crossed out */
function showing(holdsBack: boolean): Show {
  let held = "";
  let last = "\n";
  let thinks = false;
  const write = (text: string) => {
    const plain = harmless(text);
    if (plain === "") return;
    process.stdout.write(plain);
    last = plain;
  };
  return {
    text(text) {
      if (thinks) process.stderr.write("\n\n");
      thinks = false;
      if (holdsBack) held += text;
      else write(text);
    },
    reasoning(text) {
      if (!process.stderr.isTTY) return;
      thinks = true;
      process.stderr.write(paint("dim", harmless(text)));
    },
    recovered({ case: how, provider }) {
      if (how !== "restarted") return;
      held = "";
      if (!last.endsWith("\n")) write("\n");
      note(`The stream broke. ${printable(provider)} answers anew: what stands above is void.`);
    },
    end() {
      write(held);
      if (!last.endsWith("\n")) process.stdout.write("\n");
    },
  };
}

/** Tells the way of an answer, and why it is none. */
function tell({ completion, trail, recovered, traceUrl, error }: Turn, url: string): void {
  const way = (error instanceof ChatCallError ? error.trail : undefined) ?? trail;
  const lines: string[] = [];
  if (error !== undefined) lines.push(...failureLines(error, { url, begun: completion.provider !== "" }, paint));
  if (way) lines.push(...hopLines(way, recovered, paint, systemClock.wallTime()));
  else if (recovered) lines.push(paint("dim", `${recovered.case} at ${printable(recovered.provider)}`));
  if (error === undefined) lines.push(paint("dim", summaryOf(completion, recovered)));
  if (traceUrl !== undefined && /^https?:/.test(traceUrl))
    lines.push(paint("dim", `trace ${printable(traceUrl, 500)}`));
  process.stderr.write(`${lines.join("\n")}\n`);
}

/** `by steady, small · 9 tokens in, 12 out` */
function summaryOf({ provider, model, usage, candidates }: Turn["completion"], recovered: Turn["recovered"]): string {
  const other = recovered?.case === "resumed" && recovered.provider !== provider ? ` and ${recovered.provider}` : "";
  const finish = candidates[0]?.nativeFinishReason ?? "";
  const parts = [
    `by ${printable(provider + other)}${model && `, ${printable(model)}`}`,
    usage &&
      `${usage.inputTokens} tokens in, ${usage.outputTokens} out${usage.estimated ? ", as far as one can guess" : ""}`,
    finish !== "stop" && finish !== "" && `ended by ${printable(finish)}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** An answer for programs, in the words of the contract. */
function documentOf({ completion, trail, traceUrl, error }: Turn) {
  const options = { useProtoFieldName: true };
  const way = (error instanceof ChatCallError ? error.trail : undefined) ?? trail;
  return {
    completion: toJson(CompletionSchema, completion, options),
    ...(way && { trail: toJson(RouteTrailSchema, way, options) }),
    ...(traceUrl !== undefined && { trace_url: traceUrl }),
    ...(error !== undefined && { error: errorJson(error) }),
  };
}

function errorJson(error: unknown) {
  if (!(error instanceof ChatCallError)) return { message: String(error) };
  const { message: words, status, reason, requestId, retryDelayMs } = error;
  return { message: words, status, reason, request_id: requestId, retry_after_ms: retryDelayMs };
}

function systemOf({ system }: ChatFlags): Message[] {
  return system ? [message(Role.SYSTEM, system)] : [];
}

function userMessage(text: string): Message {
  return message(Role.USER, text);
}

function message(role: Role, text: string): Message {
  return create(MessageSchema, { role, parts: text === "" ? [] : [{ kind: { case: "text", value: text } }] });
}

function note(text: string): void {
  process.stderr.write(`${paint("dim", text)}\n`);
}

/** @throws ConfigError when it can be nobody's; which it is, is not repeated */
function keyOf(flag: string | undefined): Secret | undefined {
  const key = flag ?? process.env["EVERHOP_API_KEY"];
  if (!key) return undefined;
  if (/^[\x21-\x7e]+$/.test(key)) return new Secret(key);
  throw usage(flag === undefined ? "EVERHOP_API_KEY" : "--key", "expected a key: no blanks, and ASCII only");
}

/** @throws ConfigError when it is no address */
function addressOf(flag: string | undefined): string {
  const fromEnvironment = process.env["EVERHOP_URL"] || undefined;
  const url = flag ?? fromEnvironment ?? defaultUrl;
  if (/^https?:\/\//i.test(url) && URL.canParse(url)) return url.replace(/\/+$/, "");
  const path = flag === undefined ? "EVERHOP_URL" : "--url";
  throw usage(path, "expected the address of a gateway, such as http://127.0.0.1:8000", JSON.stringify(url));
}

function usage(path: string, expected: string, value = ""): ConfigError {
  return new ConfigError("chat", [{ path, value, expected }]);
}
