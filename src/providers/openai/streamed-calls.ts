import { parseJson } from "./json.ts";

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
}

/**
 * Which call a piece belongs to: by index, where servers give one; else by id; else the last one goes on.
 * @returns undefined when it begins another
 */
export function callOfPiece<C extends StreamedCall>(calls: readonly C[], piece: CallPiece): C | undefined {
  const { index, id } = piece;
  const call =
    index === undefined
      ? (calls.find((each) => id && each.id === id) ?? calls.at(-1))
      : calls.findLast((each) => each.index === index);
  return call && !isAnother(piece, call) ? call : undefined;
}

/**
 * Whether a piece begins another call although it comes under the same index: it has another id and a name, and the call before
 * has all its arguments. (Some servers go on with a call under a new id in every chunk.)
 */
function isAnother({ id, name }: CallPiece, call: StreamedCall): boolean {
  const isNew = id !== "" && call.id !== "" && id !== call.id && name !== "";
  return isNew && (call.written === "" || parseJson(call.written) !== undefined);
}
