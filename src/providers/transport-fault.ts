import type { UpstreamFault } from "../chat/fault.ts";

/** How far a request had come when its transport failed. */
export interface TransportProgress {
  /** Whether it had begun to be written to a connection. */
  readonly sent: boolean;
  /** Whether a byte of its answer had come. */
  readonly answered: boolean;
  /** Whether its connection had brought an answer before. */
  readonly reused: boolean;
  /** Since it began to be written; 0 before. */
  readonly elapsedMs: number;
}

type TransportError = Error & { code?: string };

/** A server that drops a request after this long has read it; an idle connection that is gone is found out within one round trip. */
const staleWithinMs = 1000;

/** What an error of the transport means, by how far the request had come: the same reset may tell of a provider's death or of nothing. */
export function transportFault(error: TransportError, progress: TransportProgress): UpstreamFault {
  const code = error.code ?? (error.cause as TransportError | undefined)?.code ?? "";
  if (code === "UND_ERR_INVALID_ARG")
    return { kind: "misconfigured", message: "the request cannot be written as HTTP" };
  if (code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH") return { kind: "truncated" };
  // Undici's parser leaves the code of its errors empty, so their name and words must do.
  if (error.name === "HTTPParserError" && /invalid eof state/i.test(error.message)) return { kind: "truncated" };
  if (
    error.name === "HTTPParserError" ||
    code === "UND_ERR_HEADERS_OVERFLOW" ||
    /^bad (response|upgrade)$/.test(error.message)
  ) {
    return { kind: "malformed", message: "the answer is not HTTP" };
  }
  if (!progress.sent) {
    // It had waited for an idle connection to prove alive, and that one had died.
    return progress.reused ? { kind: "not_sent" } : { kind: "unreachable", cause: causeOf(error, code) };
  }
  if (!progress.answered) {
    // A server may refuse a client's certificate only after the handshake: then it has read nothing.
    if (isTls(code)) return { kind: "unreachable", cause: "tls" };
    if (progress.reused && isClosed(error, code) && progress.elapsedMs < staleWithinMs) return { kind: "not_sent" };
  }
  return { kind: "connection_lost", afterBytes: progress.answered };
}

function causeOf(error: TransportError, code: string): "refused" | "dns" | "tls" | "connect_timeout" | "network" {
  if (code === "ECONNREFUSED") return "refused";
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "ETIMEDOUT") return "connect_timeout";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "dns";
  if (isTls(code) || /before secure TLS connection/.test(error.message)) return "tls";
  return "network";
}

function isTls(code: string): boolean {
  return /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|EPROTO)/.test(code);
}

/** Whether the other side has closed the connection, however that was found out. */
function isClosed({ message }: TransportError, code: string): boolean {
  return (
    /^(ECONNRESET|ECONNABORTED|EPIPE)$/.test(code) ||
    (code === "UND_ERR_SOCKET" && /^(other side )?closed$/.test(message))
  );
}
