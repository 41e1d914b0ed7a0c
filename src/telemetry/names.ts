/**
 * Names of attributes. Those of OpenTelemetry are of its semantic conventions 1.45 (HTTP, RPC) and its GenAI conventions 0.1, which
 * its package for constants no longer carries.
 */
export const names = {
  errorType: "error.type",
  clientAddress: "client.address",
  userAgent: "user_agent.original",
  protocolVersion: "network.protocol.version",
  httpMethod: "http.request.method",
  httpMethodOriginal: "http.request.method_original",
  httpRoute: "http.route",
  httpStatus: "http.response.status_code",
  urlPath: "url.path",
  urlScheme: "url.scheme",
  rpcSystem: "rpc.system.name",
  rpcMethod: "rpc.method",
  rpcStatus: "rpc.status_code",
  serverAddress: "server.address",
  serverPort: "server.port",

  genAiOperation: "gen_ai.operation.name",
  genAiProvider: "gen_ai.provider.name",
  genAiRequestModel: "gen_ai.request.model",
  genAiRequestStream: "gen_ai.request.stream",
  genAiResponseModel: "gen_ai.response.model",
  genAiFinishReasons: "gen_ai.response.finish_reasons",
  genAiTimeToFirstChunk: "gen_ai.response.time_to_first_chunk",
  genAiInputTokens: "gen_ai.usage.input_tokens",
  genAiOutputTokens: "gen_ai.usage.output_tokens",
  genAiCachedTokens: "gen_ai.usage.cache_read.input_tokens",
  genAiReasoningTokens: "gen_ai.usage.reasoning.output_tokens",
  genAiInput: "gen_ai.input.messages",
  genAiOutput: "gen_ai.output.messages",

  /** The request's id, as callers are told it. */
  requestId: "everhop.request.id",
  caller: "everhop.caller",
  /** Attempts of the request. */
  hops: "everhop.hops",
  /** Whether it was tried more than once: what people search for, where they cannot search for more than one hop. */
  failover: "everhop.failover",
  /** Why its trace is kept: `sampled`, `failover`, `error`, `slow_first_token`. */
  kept: "everhop.kept",
  /** Kind of the failure that the caller was told of. */
  fault: "everhop.fault",
  /** Whether content had reached the caller before it failed. */
  partial: "everhop.partial",
  cost: "everhop.cost.micros",
  model: "everhop.model",
  policy: "everhop.policy",
  /** Everyone that could have been chosen, with its tier, its weight, and what became of it. */
  candidates: "everhop.candidates",
  candidatesOmitted: "everhop.candidates.omitted",
  skips: "everhop.skips",
  skipsOmitted: "everhop.skips.omitted",
  attempt: "everhop.attempt",
  provider: "everhop.provider",
  endpoint: "everhop.endpoint",
  /** The key's name; never the key. */
  key: "everhop.key",
  tier: "everhop.tier",
  /** How the attempt ended: `ok` or the class of its failure. */
  outcome: "everhop.outcome",
  /** Where its failure sent the request: another `key`, the `same`, an `other` endpoint, a `larger` one, `stop`. */
  verdict: "everhop.verdict",
  blame: "everhop.blame",
  /** How the breaker let it through: `closed`, `half_open`, `last_resort`. */
  breaker: "everhop.breaker",
  /** Whether it was made beside one that was slow. */
  hedge: "everhop.hedge",
  /** Whether it went on with a stream that had broken. */
  recovery: "everhop.recovery",
  hint: "everhop.hint",
  providerCode: "everhop.provider_code",
  retryAfter: "everhop.retry_after",
  upstreamRequestId: "everhop.upstream.request_id",
  maybeBilled: "everhop.maybe_billed",
  usageEstimated: "everhop.usage.estimated",
  waitReason: "everhop.wait.reason",
  beforeAttempt: "everhop.before_attempt",
  reason: "everhop.skip.reason",
  until: "everhop.skip.until",
  detail: "everhop.skip.detail",
  /** Trace in which its breaker opened. The span links to the very hop, but some backends do not show of which endpoint a link is. */
  openedBy: "everhop.skip.opened_by",
  link: "everhop.link",
} as const;
