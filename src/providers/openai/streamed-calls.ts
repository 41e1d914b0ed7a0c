import { objectOf, parseJson } from "./json.ts";

/** A tool call that comes in pieces. */
export interface StreamedCall {
  readonly index: number | undefined;
  /** Empty until it has come. */
  readonly id: string;
  /** All of its arguments so far. */
  readonly written: string;
}

/** What a piece of a tool call says of whose it is. */
export interface CallPiece {
  readonly index: number | undefined;
  readonly id: string;
  readonly name: string;
  /** Its part of the arguments. */
  readonly written: string;
}

/** More calls than this no answer makes, and each is looked for among all. */
const mostCalls = 10_000;

/**
 * Which call a piece belongs to: by index, where servers give one; else by id; else the last one goes on.
 * @returns undefined when it begins another
 * @throws Error when there are too many
 */
export function callOfPiece<C extends StreamedCall>(calls: readonly C[], piece: CallPiece): C | undefined {
  const { index, id } = piece;
  const call =
    index === undefined
      ? (calls.find((each) => id && each.id === id) ?? calls.at(-1))
      : calls.findLast((each) => each.index === index);
  if (call && !isAnother(piece, call)) return call;
  if (calls.length >= mostCalls) throw new Error(`more than ${mostCalls} tool calls in an answer`);
  return undefined;
}

/**
 * Whether a piece begins another call although nothing else says so: it has a name, and the call before has all its arguments. (Some
 * servers go on with a call under a new id in every chunk; some give no ids, and say the name again with each piece.)
 */
function isAnother({ id, name, written }: CallPiece, call: StreamedCall): boolean {
  if (name === "" || (id !== "" && id === call.id)) return false;
  if (id === "") return written.trim() !== "" && objectOf(parseJson(call.written)) !== undefined;
  return call.id !== "" && (call.written === "" || parseJson(call.written) !== undefined);
}
