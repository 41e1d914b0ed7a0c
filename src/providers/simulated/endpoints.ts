import type { Clock } from "../../runtime/clock.ts";
import type { Rng } from "../../runtime/rng.ts";
import { randomHex, seededRng } from "../../runtime/rng.ts";
import type { Answer } from "./answer.ts";
import { answerTo, emptyAnswer } from "./answer.ts";
import type { Behaviour } from "./behaviour.ts";
import { behaviourWith } from "./behaviour.ts";
import { readChatRequest } from "./chat-request.ts";
import { completionBody } from "./completion-body.ts";
import { openAiError } from "./error-body.ts";
import type { Fault } from "./fault.ts";
import { chooseFault } from "./fault-choice.ts";
import { faultSteps } from "./fault-steps.ts";
import type { JsonObject } from "./json.ts";
import { isJsonObject } from "./json.ts";
import { isFault } from "./parse-fault.ts";
import type { Playing } from "./player.ts";
import { Refusal } from "./refusal.ts";
import type { OpenRequest } from "./seen-request.ts";
import type { Headers, Step } from "./step.ts";
import { bodySteps } from "./step.ts";
import { streamEvents } from "./stream-events.ts";
import { quirkyEvents } from "./stream-quirks.ts";
import { streamSteps } from "./stream-steps.ts";
import { unarySteps } from "./unary-steps.ts";

/** What is done to the wire for one request, and how. */
export interface Reply {
  steps: Step[];
  playing: Playing;
}

const healthy: Fault = { kind: "none" };

/** What the provider answers: request in, steps out. It knows no socket. */
export class Endpoints {
  readonly #name: string;
  readonly #clock: Clock;
  readonly #seed: number;
  readonly #started: number;
  #behaviour: Behaviour;
  #answered = 0;
  /** How many chat requests have asked the schedule since it was set. */
  #scheduled = 0;

  constructor(name: string, clock: Clock, rng: Rng, behaviour: Partial<Behaviour>) {
    this.#name = name;
    this.#clock = clock;
    this.#seed = Math.floor(rng.next() * 2 ** 32);
    this.#started = this.#seconds();
    this.#behaviour = behaviourWith(behaviour);
  }

  /**
   * Changes the behaviour from the next request on.
   * @throws TypeError when a fault among the changes is none
   */
  behave(changes: Partial<Behaviour>): void {
    this.#behaviour = behaviourWith({ ...this.#behaviour, ...changes });
    if (changes.schedule) this.#scheduled = 0;
  }

  /** Answers a request, and writes down in it what was asked and what went wrong. */
  reply(request: OpenRequest): Reply {
    const id = randomHex(seededRng(this.#seed + Math.imul(this.#answered++, 0x9e3779b1)), 24);
    const steps = this.#unlessRefused(request, () => this.#route(request, id));
    return { steps: delayed(request.fault, steps), playing: this.#playing(id, request.fault) };
  }

  /** Answers a request whose body is longer than is read. */
  tooLong(request: OpenRequest): Reply {
    const refuse = () => {
      throw new Refusal(413, "The request is too large.");
    };
    return {
      steps: this.#unlessRefused(request, refuse, { connection: "close" }),
      playing: this.#playing("too-long", healthy),
    };
  }

  #playing(id: string, fault: Fault): Playing {
    return {
      clock: this.#clock,
      tokensPerSecond: this.#pace(fault),
      eventPerWrite: this.#behaviour.eventPerWrite,
      headers: { "x-request-id": `req_${id}` },
    };
  }

  #unlessRefused(request: OpenRequest, route: () => Step[], headers: Headers = {}): Step[] {
    try {
      return route();
    } catch (error) {
      request.fault = healthy;
      const refusal =
        error instanceof Refusal ? error : new Refusal(500, `The simulated provider failed: ${String(error)}`);
      const { status, message, param = null, code } = refusal;
      return bodySteps(
        status,
        "application/json",
        openAiError(status, { message, param, ...(code === undefined ? {} : { code }) }),
        headers,
      );
    }
  }

  #route(request: OpenRequest, id: string): Step[] {
    const path = request.path.split("?", 1)[0] ?? "";
    if (path.startsWith("/v1/")) this.#admit(request);
    if (path === "/v1/chat/completions") {
      if (request.method !== "POST") throw new Refusal(405, `${request.method} is not allowed here; use POST.`);
      return this.#chat(request, id);
    }
    if (path === "/v1/models" || path.startsWith("/v1/models/")) {
      if (request.method !== "GET") throw new Refusal(405, `${request.method} is not allowed here; use GET.`);
      request.fault = this.#behaviour.modelsFault ?? healthy;
      return (
        faultSteps(request.fault, false) ??
        unarySteps(this.#models(path.slice("/v1/models/".length)), request.fault, this.#behaviour.headers)
      );
    }
    throw new Refusal(404, `Unknown path ${path.slice(0, 200)}.`, { code: "unknown_url" });
  }

  #admit(request: OpenRequest): void {
    const { keys } = this.#behaviour;
    if (keys.length === 0) return;
    const key = keyOf(request);
    if (key === undefined) throw new Refusal(401, "No API key was given.");
    if (!keys.includes(key)) throw new Refusal(401, "Incorrect API key.");
  }

  /** The list of models; or one of them, named by the rest of the path. */
  #models(rest: string): string {
    const one = (id: string) => ({ id, object: "model", created: this.#started, owned_by: this.#name });
    const { models } = this.#behaviour;
    if (rest === "") return JSON.stringify({ object: "list", data: models.map(one) });
    const id = decoded(rest);
    if (!this.#has(id)) throw unknownModel(id);
    return JSON.stringify(one(id));
  }

  #chat(request: OpenRequest, id: string): Step[] {
    const body = parsed(request.body);
    request.json = body;
    if (!isJsonObject(body)) throw new Refusal(400, "The body of the request is not a JSON object.");
    if (typeof body["model"] === "string") request.model = body["model"];
    const choice = chooseFault(body);
    request.model = choice.model;
    request.fault = choice.fault ?? this.#nextScheduled(keyOf(request));
    // Checked only where an answer is needed: a server that is broken does not read the request first.
    return faultSteps(request.fault, body["stream"] === true) ?? this.#answer(body, request, id);
  }

  #nextScheduled(key: string | undefined): Fault {
    const { schedule } = this.#behaviour;
    const number = ++this.#scheduled;
    const fault = typeof schedule === "function" ? schedule(number, key) : schedule[(number - 1) % schedule.length];
    if (fault === undefined) return healthy;
    if (!isFault(fault)) throw new TypeError(`not a fault: ${JSON.stringify(fault)}`);
    return fault;
  }

  #answer(body: JsonObject, request: OpenRequest, id: string): Step[] {
    const { model, fault } = request;
    if (model === undefined || model === "")
      throw new Refusal(400, "You must provide a model parameter.", { param: "model" });
    if (!this.#has(model)) throw unknownModel(model);
    const chat = readChatRequest(body);
    const { prefill } = this.#behaviour;
    if (prefill === "refused" && chat.prefix !== undefined)
      throw new Refusal(400, "The last message must be from the user or a tool.", { param: "messages" });
    const source = {
      goesOn: prefill === "goes_on",
      greeting: `Hello from ${this.#name}.`,
      text: this.#behaviour.text,
      mostTokens: this.#behaviour.mostTokens,
      callId: (candidate: number) => `call_${id}${candidate}`,
    };
    const answer = fault.kind === "no_content" ? emptyAnswer(chat) : answerTo(chat, source);
    const envelope = {
      id: `chatcmpl-${id}`,
      created: this.#seconds(),
      model,
      fingerprint: `sim-${this.#name}`,
      alternatives: chat.alternatives,
      usage: this.#behaviour.usage && (chat.includeUsage || !chat.stream),
    };
    const { headers } = this.#behaviour;
    if (chat.stream)
      return this.#late(
        streamSteps(quirkyEvents(streamEvents(answer, envelope), fault, answer.usage), fault, headers),
        0,
      );
    return this.#late(unarySteps(completionBody(answer, envelope), fault, headers), this.#generationMs(answer, fault));
  }

  /** Puts the latency, and more, before the content; and before the headers, unless they are early. */
  #late(steps: Step[], moreMs: number): Step[] {
    const ms = this.#behaviour.latencyMs + moreMs;
    if (!(ms > 0)) return steps;
    const early = this.#behaviour.earlyHeaders ? steps.findIndex(({ kind }) => kind === "head") + 1 : 0;
    return [...steps.slice(0, early), { kind: "wait", ms }, ...steps.slice(early)];
  }

  /** How long after the first token of an answer the last one comes. */
  #generationMs(answer: Answer, fault: Fault): number {
    return Math.max(answer.usage.completion_tokens - 1, 0) * (1000 / this.#pace(fault));
  }

  #pace(fault: Fault): number {
    return fault.tokensPerSecond ?? this.#behaviour.tokensPerSecond;
  }

  #has(model: string): boolean {
    return this.#behaviour.models.length === 0 || this.#behaviour.models.includes(model);
  }

  #seconds(): number {
    return Math.floor(this.#clock.wallTime() / 1000);
  }
}

function keyOf({ headers }: OpenRequest): string | undefined {
  return /^bearer +(.+)$/i.exec(headers.authorization ?? "")?.[1];
}

function delayed(fault: Fault, steps: Step[]): Step[] {
  return fault.delayMs === undefined ? steps : [{ kind: "wait", ms: fault.delayMs }, ...steps];
}

function unknownModel(model: string): Refusal {
  return new Refusal(404, `The model '${model.slice(0, 200)}' does not exist or you do not have access to it.`, {
    code: "model_not_found",
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, "The body of the request is not valid JSON.");
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
