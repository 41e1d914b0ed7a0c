import type { Fault } from "../../../chat/fault.ts";
import type { AnswerHeader } from "./answer-headers.ts";
import type { Schema } from "./schema.ts";

/** Under which heading routes stand together. */
export type RouteGroup = "Chat" | "Models" | "Health" | "Metrics" | "Documentation";

/** What is to be known of a route. Prose is CommonMark: paragraphs, lists and code, nothing else. */
export interface RouteDocs {
  /** Its name among all operations; generated clients call it so. */
  readonly operationId: string;
  readonly group: RouteGroup;
  /** What it does, in a few words without a full stop. */
  readonly summary: string;
  readonly description: string;
  /** In the path and in headers. */
  readonly parameters: readonly ParameterDocs[];
  /** Of the JSON body, if it takes one. */
  readonly body?: Schema;
  /** Requests that work, each with its answer; the first is the plainest. */
  readonly examples: readonly ExampleDocs[];
  readonly answers: readonly AnswerDocs[];
  /** How it can fail, beside having no key where one is needed. */
  readonly faults: readonly Fault["kind"][];
}

/** One parameter beside the body. */
export interface ParameterDocs {
  readonly name: string;
  readonly in: "path" | "header";
  readonly description: string;
  readonly schema: Schema;
}

/** A request that works. */
export interface ExampleDocs {
  /** Unique among the route's: lower case, hyphens. */
  readonly name: string;
  readonly summary: string;
  /** Default: the route's own. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly answer: AnswerExample;
}

/** An answer as it might come: a value that is JSON, or the text of any other media type. */
export interface AnswerExample {
  readonly status: number;
  readonly media: MediaType;
  readonly value: unknown;
}

export type MediaType = "application/json" | "text/event-stream" | "text/html" | "text/plain";

/** One kind of answer that is no failure. */
export interface AnswerDocs {
  readonly status: number;
  readonly description: string;
  readonly media: MediaType;
  readonly schema: Schema;
  readonly headers: readonly AnswerHeader[];
  /** Answers that no example request gets, by name. */
  readonly more?: Readonly<Record<string, { readonly summary: string; readonly value: unknown }>>;
}
