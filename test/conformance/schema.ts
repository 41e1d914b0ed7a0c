import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  createFileRegistry,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
  type Message,
} from "@bufbuild/protobuf";
import { type Any, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

// The judge's protos are not ours to keep: .ci/conformance compiles them from its module to this image, and they are read from
// there while running. So nothing is generated, and the shapes below say what is used of them.
const image = join(import.meta.dirname, "..", "..", ".cache", "conformance", "schema.binpb");

/** Every type of the judge's. */
export const registry: FileRegistry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));

/** A header or trailer with all of its values. */
export interface HeaderShape {
  readonly name: string;
  readonly value: readonly string[];
}

/** An error that is to be answered. */
export interface ErrorShape {
  readonly code: number;
  readonly message?: string;
  readonly details: readonly Any[];
}

/** How to answer with one message or an error. */
export interface UnaryDefinition {
  readonly responseHeaders: readonly HeaderShape[];
  readonly responseTrailers: readonly HeaderShape[];
  readonly responseDelayMs: number;
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: ErrorShape }
    | { readonly case: undefined };
}

/** How to answer with a stream. */
export interface StreamDefinition {
  readonly responseHeaders: readonly HeaderShape[];
  readonly responseTrailers: readonly HeaderShape[];
  readonly responseDelayMs: number;
  readonly responseData: readonly Uint8Array[];
  readonly error?: ErrorShape;
}

/** Any request of the service's. */
export interface RequestShape<Definition> extends Message {
  readonly responseDefinition?: Definition;
  /** Of bidirectional streams alone. */
  readonly fullDuplex?: boolean;
}

/** What the judge wants of a server. */
export interface ServerCompatRequest extends Message {
  readonly httpVersion: number;
  readonly useTls: boolean;
  /** PEM; empty: clients need no certificate. */
  readonly clientTlsCert: Uint8Array;
  /** 0: none. */
  readonly messageReceiveLimit: number;
  /** PEM. */
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

/** @throws Error when the judge has no such message */
export function messageType(name: string): DescMessage {
  const found = registry.getMessage(`connectrpc.conformance.v1.${name}`);
  if (!found) throw new Error(`the judge's schema has no ${name}`);
  return found;
}

/** The service that the judge's clients call. @throws Error when it is not there */
export function conformanceService(): DescService {
  const found = registry.getService("connectrpc.conformance.v1.ConformanceService");
  if (!found) throw new Error("the judge's schema has no ConformanceService");
  return found;
}
