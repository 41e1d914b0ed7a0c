import { Code, ConnectError } from "@connectrpc/connect";
import { compressedFlag, encodeEnvelope, type UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  codeToHttpStatus,
  endStreamFlag,
  endStreamFromJson,
  endStreamToJson,
  errorFromJsonBytes,
  errorToJsonBytes,
} from "@connectrpc/connect/protocol-connect";
import { findTrailerError, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerParse, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";

/** Makes of an error without details one that has some. */
type Dress = (error: ConnectError) => ConnectError;

/**
 * An answer whose error, if Connect itself has raised it, says as much as every other. Connect has no place that its own errors
 * pass, so they are taken from where each protocol puts them: a unary answer's body, a stream's last frame, the trailers.
 * @param seen told of every error that passes
 */
export async function dressed(
  answer: UniversalServerResponse,
  dress: (error: ConnectError, headers: Headers) => ConnectError,
  seen: (error: ConnectError) => void,
): Promise<UniversalServerResponse> {
  const { body, trailer, header = new Headers() } = answer;
  const type = header.get("content-type") ?? "";
  const bare: Dress = (error) => {
    seen(error);
    return dressIfBare(error, header, dress);
  };
  if (!body) return answer;
  if (type.startsWith("application/connect+")) {
    return { ...answer, body: withLastFrame(body, endStreamFlag, (data) => endOfStream(data, bare)) };
  }
  if (type.startsWith("application/grpc-web")) {
    return { ...answer, body: withLastFrame(body, trailerFlag, (data) => webTrailer(data, bare)) };
  }
  if (type.startsWith("application/grpc")) {
    return trailer ? { ...answer, body: withTrailer(body, trailer, bare) } : answer;
  }
  // An error that is packed is longer than those that say nothing.
  return answer.status < 400 || header.has("content-encoding") ? answer : unaryError(answer, body, header, bare);
}

/** An error with its details; one that has none is given some. */
export function dressIfBare(
  error: ConnectError,
  header: Headers,
  dress: (error: ConnectError, headers: Headers) => ConnectError,
): ConnectError {
  return error.details.length > 0 ? error : dress(error, header);
}

async function unaryError(
  answer: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  header: Headers,
  dress: Dress,
): Promise<UniversalServerResponse> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  const plain = errorFromJsonBytes(Buffer.concat(pieces), undefined, new ConnectError("no error", Code.Unknown));
  const error = dress(plain);
  if (error === plain) return { ...answer, body: only(Buffer.concat(pieces)) };
  const bytes = errorToJsonBytes(error, undefined);
  header.set("content-length", String(bytes.length));
  return { ...answer, status: codeToHttpStatus(error.code), body: only(bytes) };
}

async function* only(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** Each piece of a body is one frame: flags, length, data. */
async function* withLastFrame(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  change: (data: Uint8Array) => Uint8Array | undefined,
): AsyncIterable<Uint8Array> {
  const frames = body[Symbol.asyncIterator]();
  try {
    for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
      const frame = next.value;
      const flags = frame[0] ?? 0;
      const isLast = (flags & flag) === flag && (flags & compressedFlag) === 0;
      const data = isLast ? change(frame.subarray(5)) : undefined;
      yield data ? encodeEnvelope(flags, data) : frame;
    }
  } catch (error) {
    // Why nobody takes them any more is for whoever makes them to know.
    await frames.throw?.(error);
    throw error;
  } finally {
    await frames.return?.();
  }
}

function endOfStream(data: Uint8Array, dress: Dress): Uint8Array | undefined {
  const { error: plain, metadata } = endStreamFromJson(data);
  const error = plain && dress(plain);
  if (!error || error === plain) return undefined;
  return Buffer.from(JSON.stringify(endStreamToJson(metadata, error, undefined)));
}

function webTrailer(data: Uint8Array, dress: Dress): Uint8Array | undefined {
  const trailer = trailerParse(data);
  return dressTrailer(trailer, dress) ? trailerSerialize(trailer) : undefined;
}

async function* withTrailer(
  body: AsyncIterable<Uint8Array>,
  trailer: Headers,
  dress: Dress,
): AsyncIterable<Uint8Array> {
  yield* body;
  dressTrailer(trailer, dress);
}

/** Puts another error in a trailer's place. @returns whether anything was changed */
export function dressTrailer(trailer: Headers, dress: Dress): boolean {
  const plain = findTrailerError(trailer);
  const error = plain && dress(plain);
  if (!error || error === plain) return false;
  setTrailerStatus(trailer, error);
  return true;
}
