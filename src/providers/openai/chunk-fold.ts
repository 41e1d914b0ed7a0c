import { argumentsText } from "./completion.ts";
import { arrayOf, countOf, type JsonObject, objectOf, textOf } from "./json.ts";
import { callOfPiece, type StreamedCall } from "./streamed-calls.ts";

/** Members by name. A map, for a name may be any text. */
type Members = Map<string, unknown>;

/** A tool call on its way. */
interface FoldedCall extends StreamedCall {
  id: string;
  written: string;
  readonly members: Members;
}

/** A candidate on its way. */
interface FoldedChoice {
  readonly index: number;
  /** Of its message, but for the calls. */
  readonly message: Members;
  readonly calls: FoldedCall[];
  finish: unknown;
  /** Its own, `logprobs` among them. */
  readonly members: Members;
}

/** Texts that are said again rather than in pieces. */
const saidWhole = new Set(["id", "type", "role", "name", "index"]);

/**
 * The chunks of an OpenAI stream as the whole answer that the same server would have given: texts and lists joined, of what is said
 * of the answer as a whole the last word. Members that nobody knows here survive, as they do everywhere on the native lane.
 */
export class ChunkFold {
  /** From the first chunk of a candidate: what some servers send before has no id of its own, and some change it in each. */
  #head: JsonObject | undefined;
  readonly #choices = new Map<number, FoldedChoice>();
  #usage: JsonObject | undefined;
  readonly #members: Members = new Map();

  /** Takes the next chunk, and takes it apart: it is nobody else's afterwards. */
  take(chunk: JsonObject): void {
    const { id, created, model, object: _, choices, usage, ...others } = chunk;
    const parts = arrayOf(choices);
    if (parts.length > 0) this.#head ??= { id, created, model };
    this.#usage = objectOf(usage) ?? this.#usage;
    for (const [name, value] of Object.entries(others)) replace(this.#members, name, value);
    for (const each of parts) this.#takeChoice(objectOf(each) ?? {});
  }

  /** The answer, as far as it has come. */
  answer(): JsonObject {
    const { id, created, model } = this.#head ?? {};
    return {
      ...(id !== undefined && { id }),
      object: "chat.completion",
      ...(created !== undefined && { created }),
      ...(model !== undefined && { model }),
      choices: [...this.#choices.values()].sort((a, b) => a.index - b.index).map(choiceOf),
      ...(this.#usage && { usage: this.#usage }),
      ...Object.fromEntries(this.#members),
    };
  }

  #takeChoice({ index: at, delta, finish_reason: finish, logprobs, ...others }: JsonObject): void {
    const index = countOf(at);
    let choice = this.#choices.get(index);
    if (!choice) {
      choice = { index, message: new Map(), calls: [], finish: null, members: new Map() };
      this.#choices.set(index, choice);
    }
    const { tool_calls: calls, ...said } = objectOf(delta) ?? {};
    for (const [name, value] of Object.entries(said)) join(choice.message, name, value);
    const pieces = arrayOf(calls);
    for (const [position, call] of pieces.entries()) {
      // Several in one delta without indices are told apart by their places.
      takeCall({ ...(pieces.length > 1 && { index: position }), ...objectOf(call) }, choice.calls);
    }
    if (textOf(finish)) choice.finish = finish;
    if (logprobs !== undefined) join(choice.members, "logprobs", logprobs);
    for (const [name, value] of Object.entries(others)) {
      // Lists are of what came with this chunk: the tokens' ids, say.
      if (Array.isArray(value)) join(choice.members, name, value);
      else replace(choice.members, name, value);
    }
  }
}

function takeCall({ index: at, ...piece }: JsonObject, calls: FoldedCall[]): void {
  const index = typeof at === "number" ? at : undefined;
  const { name, arguments: said } = objectOf(piece["function"]) ?? {};
  const id = textOf(piece["id"]) ?? "";
  const written = argumentsText(said);
  let call = callOfPiece(calls, { index, id, name: textOf(name) ?? "", written });
  if (!call) {
    call = { index, id: "", written: "", members: new Map() };
    calls.push(call);
  }
  call.id ||= id;
  call.written += written;
  for (const [member, value] of Object.entries(piece)) join(call.members, member, value);
}

function choiceOf({ index, message, calls, finish, members }: FoldedChoice): JsonObject {
  const { role, content = null, ...others } = Object.fromEntries(message);
  return {
    index,
    message: {
      role: role || "assistant",
      content,
      ...others,
      ...(calls.length > 0 && {
        tool_calls: calls.map((call) => ({ type: "function", ...Object.fromEntries(call.members) })),
      }),
    },
    ...Object.fromEntries(members),
    finish_reason: finish,
  };
}

/** The last word counts; a null says nothing. */
function replace(members: Members, name: string, value: unknown): void {
  if (value !== null || !members.has(name)) members.set(name, value);
}

function join(members: Members, name: string, piece: unknown): void {
  members.set(name, joined(name, members.get(name), piece));
}

/** A value with its next piece; lists and objects grow where they are. */
function joined(name: string, known: unknown, piece: unknown): unknown {
  if (known === undefined || known === null) return piece;
  if (piece === null) return known;
  if (saidWhole.has(name)) return known || piece;
  if (typeof known === "string" && typeof piece === "string") return known + piece;
  if (name === "content" && (Array.isArray(known) || Array.isArray(piece))) return joinedParts(known, piece);
  if (Array.isArray(known) && Array.isArray(piece)) {
    for (const each of piece) known.push(each);
    return known;
  }
  const [whole, more] = [objectOf(known), objectOf(piece)];
  if (!whole || !more) return piece;
  for (const [member, value] of Object.entries(more)) {
    const begun = Object.hasOwn(whole, member) ? whole[member] : undefined;
    // Defined rather than set: a name may be `__proto__`.
    const grown = { value: joined(member, begun, value), writable: true, enumerable: true, configurable: true };
    Object.defineProperty(whole, member, grown);
  }
  return whole;
}

/** Some servers send lists of parts, and texts between them. */
function joinedParts(known: unknown, piece: unknown): unknown {
  const parts = Array.isArray(known) ? known : [textPart(known)];
  for (const part of Array.isArray(piece) ? piece : [textPart(piece)]) parts.push(part);
  return parts;
}

function textPart(text: unknown): JsonObject {
  return { type: "text", text };
}
