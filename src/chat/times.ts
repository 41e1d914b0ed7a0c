import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { messageMaker } from "./message-maker.ts";

const makeTimestamp = messageMaker(TimestampSchema);
const makeDuration = messageMaker(DurationSchema);

/** A moment, from whole milliseconds since 1970. */
export function timestampFromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return makeTimestamp({ seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) });
}

/** A span of time that is not below zero, from whole milliseconds. */
export function durationFromMs(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return makeDuration({ seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) });
}
