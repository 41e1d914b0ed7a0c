import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import OpenAI from "openai";
import { pythons } from "./python.ts";

/** The official SDKs, by what they are called here. */
export const clientNames = ["JavaScript", "Python", "Python 0.28"] as const;

/** One of them. */
export type ClientName = (typeof clientNames)[number];

/** What is asked, and how the client is set up for it. */
export interface Question {
  readonly baseUrl: string;
  readonly key: string;
  readonly model: string;
  readonly text: string;
  readonly stream: boolean;
  /** Further members of the body. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** The client's own patience. */
  readonly timeoutSeconds?: number;
  /** Default: what the SDK does by itself. The oldest makes none. */
  readonly maxRetries?: number;
}

/** What a program that uses the SDK has seen. */
export interface Seen {
  readonly text: string;
  /** Pieces of text that a stream came in. */
  readonly pieces: number;
  readonly finish: string | null;
  readonly provider: string | null;
  /** The class of what was raised; null: nothing was. */
  readonly exception: string | null;
  readonly status?: number | null;
  readonly code?: string | null;
  readonly partial?: boolean;
  /** Where the SDK tells it. */
  readonly request_id?: string | null;
}

/** An SDK that can be asked. */
export interface Client {
  ask(question: Question): Promise<Seen>;
  stop(): void;
}

/** Starts one. @returns it when it can be asked */
export async function startClient(name: ClientName): Promise<Client> {
  if (name === "JavaScript") return { ask: askInProcess, stop() {} };
  return name === "Python"
    ? startPython(pythons.current, "ask_current.py")
    : startPython(pythons.legacy, "ask_legacy.py");
}

const messagesOf = ({ text }: Question) => [{ role: "user" as const, content: text }];

async function askInProcess(question: Question): Promise<Seen> {
  const { baseUrl, key, model, stream, more, timeoutSeconds, maxRetries } = question;
  const client = new OpenAI({
    baseURL: baseUrl,
    apiKey: key,
    ...(timeoutSeconds !== undefined && { timeout: timeoutSeconds * 1000 }),
    ...(maxRetries !== undefined && { maxRetries }),
  });
  const seen = { text: "", pieces: 0, finish: null as string | null, provider: null as string | null, exception: null };
  const body = { model, messages: messagesOf(question), ...more };
  try {
    if (stream) {
      for await (const { choices } of await client.chat.completions.create({ ...body, stream: true })) {
        for (const { delta, finish_reason: finish } of choices) {
          seen.text += delta.content ?? "";
          seen.pieces += delta.content ? 1 : 0;
          seen.finish = finish ?? seen.finish;
        }
      }
      return seen;
    }
    const answer = await client.chat.completions.create(body);
    const [choice] = answer.choices;
    // The SDK's types do not know what a gateway adds.
    const { provider } = answer as { provider?: string };
    const { _request_id: requestId = null } = answer;
    return {
      ...seen,
      text: choice?.message.content ?? "",
      finish: choice?.finish_reason ?? null,
      provider: provider ?? null,
      request_id: requestId,
    };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const { status, code, error: said, requestID } = error as InstanceType<typeof OpenAI.APIError>; // or another's, which has none of these
    return {
      ...seen,
      exception: error.constructor.name,
      status: status ?? null,
      code: code ?? null,
      partial: (said as { partial?: boolean } | undefined)?.partial ?? false,
      request_id: requestID ?? null,
    };
  }
}

/** A program that is asked by lines and answers by lines, in any order. */
async function startPython(python: string, script: string): Promise<Client> {
  const child = spawn(python, ["-u", join(import.meta.dirname, script)], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = new Map<number, { resolve(seen: Seen): void; reject(error: Error): void }>();
  let count = 0;
  let ended: Error | undefined;
  const lines = createInterface({ input: child.stdout });
  child.on("close", (code) => {
    ended = new Error(`${script} ended with ${code}`);
    for (const { reject } of waiting.values()) reject(ended);
  });
  // Its first line says that it is there.
  await once(lines, "line", { signal: AbortSignal.timeout(20_000) });
  lines.on("line", (line) => {
    const { id, ...seen } = JSON.parse(line) as Seen & { id: number }; // the script's own words
    waiting.get(id)?.resolve(seen);
    waiting.delete(id);
  });
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        const { baseUrl, key, model, stream, more = {}, timeoutSeconds, maxRetries } = question;
        const id = ++count;
        waiting.set(id, { resolve, reject });
        const line = {
          ...{ id, base_url: baseUrl, api_key: key, model, messages: messagesOf(question), stream, more },
          ...(timeoutSeconds !== undefined && { timeout: timeoutSeconds }),
          ...(maxRetries !== undefined && { max_retries: maxRetries }),
        };
        child.stdin.write(`${JSON.stringify(line)}\n`);
      }),
    stop: () => void child.kill(),
  };
}
