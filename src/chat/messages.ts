/**
 * The messages of a conversation, as the contract has them. Rooms above take them from here and never from `gen/`, so that what
 * they depend on can be read in one place.
 */
export { clone, create } from "@bufbuild/protobuf";
export type {
  Candidate,
  Completion,
  CompletionEvent,
  PartDelta,
  TokenLogprob,
} from "../../gen/ts/everhop/v1/completion_pb.ts";
export {
  CandidateEndSchema,
  CandidateSchema,
  CompletionEndSchema,
  CompletionEventSchema,
  CompletionRestartedSchema,
  CompletionResumedSchema,
  CompletionSchema,
  CompletionStartSchema,
  FinishReason,
  PartDeltaSchema,
  PartEndSchema,
  PartStartSchema,
  TokenAlternativeSchema,
  TokenLogprobSchema,
} from "../../gen/ts/everhop/v1/completion_pb.ts";
export type { Media, Message, Part, Prompt, ToolCall } from "../../gen/ts/everhop/v1/prompt_pb.ts";
export { MessageSchema, PartSchema, PromptSchema, Role, ToolMode } from "../../gen/ts/everhop/v1/prompt_pb.ts";
export type { RouteTrail } from "../../gen/ts/everhop/v1/route_trail_pb.ts";
export {
  AttemptOutcome,
  AttemptSchema,
  RouteTrailSchema,
  SkipReason,
  SkipSchema,
} from "../../gen/ts/everhop/v1/route_trail_pb.ts";
export type { Usage } from "../../gen/ts/everhop/v1/usage_pb.ts";
export { UsageSchema } from "../../gen/ts/everhop/v1/usage_pb.ts";
