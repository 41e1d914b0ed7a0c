import { errorText } from "./error-body.ts";
import type { ErrorShape, ErrorWords } from "./fault.ts";

/** Headers of an answer, lower case. */
export type Headers = { readonly [name: string]: string };

/**
 * One thing that the provider does to the wire. An answer is a list of them: what goes wrong is decided where it can be read
 * and tested without a socket, and `player.ts` only carries it out.
 */
export type Step =
  /** Status and headers; sent with what follows, unless that is time passing. */
  | { kind: "head"; status: number; headers: Headers }
  /** Bytes of the body. Paced ones wait for their token's turn. */
  | { kind: "write"; bytes: string | Uint8Array; paced?: boolean }
  /** Bytes of the body, one by one. */
  | { kind: "drip"; bytes: string | Uint8Array; msPerByte: number }
  /** `102 Processing`. */
  | { kind: "processing" }
  | { kind: "wait"; ms: number }
  /** Nothing more until the client leaves. */
  | { kind: "silence" }
  /** The body is complete. */
  | { kind: "end" }
  /** The connection is closed in the middle of things. */
  | { kind: "cut" }
  /** The connection is reset. */
  | { kind: "reset" };

/** A whole body at once. */
export function bodySteps(status: number, contentType: string, text: string, headers: Headers = {}): Step[] {
  const length = String(Buffer.byteLength(text));
  return [
    { kind: "head", status, headers: { "content-type": contentType, "content-length": length, ...headers } },
    { kind: "write", bytes: text },
    { kind: "end" },
  ];
}

/** An error in one of the shapes that servers use. */
export function errorSteps(status: number, shape: ErrorShape, words: ErrorWords, headers: Headers = {}): Step[] {
  const error = errorText(status, shape, words);
  return bodySteps(status, error.contentType, error.text, headers);
}
