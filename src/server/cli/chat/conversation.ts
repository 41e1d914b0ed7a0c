import { createInterface } from "node:readline";
import { printable } from "../terminal-text.ts";
import type { Paint } from "./paint.ts";

/** What a conversation needs of the one who leads it. */
export interface Talk {
  /** Says something and waits for the answer. Its history is its own matter. */
  say(text: string, signal: AbortSignal): Promise<void>;
  reset(): void;
  setModel(model: string): void;
}

const commands = "/exit ends it, /reset forgets what was said, /model NAME asks another model";

/** How it looks. */
interface Manner {
  /** Said before anything is read; empty: nothing. */
  readonly first: string;
  /** Tells something that is no part of any answer. */
  note(text: string): void;
  readonly paint: Paint;
}

/**
 * Reads lines and lets each be answered, until the input ends or somebody leaves. Ctrl-C ends the answer that is coming, or else the
 * conversation.
 */
export function converse(talk: Talk, { first, note, paint }: Manner): Promise<void> {
  const terminal = process.stdin.isTTY === true && process.stderr.isTTY === true;
  // What is echoed of the input goes where the answers do not.
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal,
    prompt: paint("bold", "> "),
  });
  const waiting: string[] = first === "" ? [] : [first];
  let answering: AbortController | undefined;
  let ended = false;

  const onInterrupt = () => {
    if (answering) answering.abort();
    else lines.close();
  };
  lines.on("SIGINT", onInterrupt);
  process.on("SIGINT", onInterrupt);

  if (terminal) note(commands);
  return new Promise((resolve) => {
    lines.on("line", (line) => {
      waiting.push(line);
      void next();
    });
    lines.on("close", () => {
      // What has been said is still answered.
      ended = true;
      void next();
    });

    if (terminal && first === "") lines.prompt();
    void next();

    async function next(): Promise<void> {
      if (answering) return;
      const line = waiting.shift();
      if (line === undefined) {
        if (!ended) return;
        process.off("SIGINT", onInterrupt);
        resolve();
        return;
      }
      answering = new AbortController();
      const goesOn = await obey(line, answering.signal);
      answering = undefined;
      if (!goesOn) {
        waiting.length = 0;
        lines.close();
      }
      if (terminal && !ended) lines.prompt();
      void next();
    }
  });

  /** @returns whether the conversation goes on */
  async function obey(line: string, signal: AbortSignal): Promise<boolean> {
    const text = line.trim();
    const [command = "", ...rest] = text.split(/\s+/);
    if (text === "") return true;
    if (!command.startsWith("/")) await talk.say(line, signal);
    else if (command === "/exit") return false;
    else if (command === "/reset") {
      talk.reset();
      note("Everything said is forgotten.");
    } else if (command === "/model" && rest.length === 1) {
      talk.setModel(rest.join(""));
      note(`Asks ${printable(rest.join(""))} from now on.`);
    } else note(`There is no ${printable(command)} like that: ${commands}.`);
    return true;
  }
}
