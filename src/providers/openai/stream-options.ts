import { objectOf } from "./json.ts";

/** Whether a request's `stream_options` ask for the chunk that says what a stream cost. */
export function asksForUsage(streamOptions: unknown): boolean {
  return objectOf(streamOptions)?.["include_usage"] === true;
}
