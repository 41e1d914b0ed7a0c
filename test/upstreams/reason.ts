import { ConnectError } from "@connectrpc/connect";
import OpenAI from "openai";
import { ErrorInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";

/** Why a call failed, as programs are told over RPC and over REST, in REST's letters. */
export function reasonOf(error: unknown): string {
  if (error instanceof ConnectError) return error.findDetails(ErrorInfoSchema)[0]?.reason.toLowerCase() ?? "";
  if (error instanceof OpenAI.APIError) return error.code ?? "";
  throw error;
}
