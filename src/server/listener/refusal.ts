/** Why a request never reached a route: what HTTP itself does not allow. Told in the shape of every other error. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly code: string;
  readonly message: string;
}

const refusal = (status: number, reason: string, code: string, message: string): Refusal => ({
  status,
  reason,
  code,
  message,
});

/** A `Host` or `:authority` that names no host. */
export const badHost = refusal(
  400,
  "Bad Request",
  "invalid_request",
  "The Host (or :authority) is not host or host:port.",
);
/** More headers than a request may have. */
export const tooManyHeaders = refusal(
  431,
  "Request Header Fields Too Large",
  "headers_too_large",
  "The request has too many headers.",
);
/** A head larger than it may be. */
export const headersTooLarge = refusal(
  431,
  "Request Header Fields Too Large",
  "headers_too_large",
  "The request's head is larger than 16 KiB.",
);
/** A request that does not come to its end. */
export const tooSlow = refusal(408, "Request Timeout", "request_timeout", "The request did not arrive in time.");
/** A method that nothing here has. */
export const noSuchMethod = refusal(405, "Method Not Allowed", "method_not_allowed", "Nothing here takes this method.");
/** Plain HTTP where TLS is spoken. */
export const tlsOnly = refusal(400, "Bad Request", "tls_required", "This port speaks TLS: use https.");
/** A bug of ours. */
export const broken = refusal(500, "Internal Server Error", "internal_error", "Something in the gateway went wrong.");
/** What the parser lets through, and no standard does. */
export const malformed = refusal(400, "Bad Request", "invalid_request", "This is not HTTP as the standards have it.");

const byError: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: headersTooLarge,
  ERR_HTTP_REQUEST_TIMEOUT: tooSlow,
};

const requestLine = /^[A-Za-z]+ \S+ HTTP\/1\.[01]\r?\n/;

/** What HTTP/1.1 that cannot be read is answered, by Node's error. */
export function refusalOf({
  code,
  rawPacket,
}: {
  readonly code?: string | undefined;
  readonly rawPacket?: Buffer;
}): Refusal {
  // A method that Node does not know, or no HTTP at all.
  if (code === "HPE_INVALID_METHOD" && requestLine.test(rawPacket?.toString("latin1") ?? "")) return noSuchMethod;
  return byError[code ?? ""] ?? malformed;
}

/** Its body. */
export function refusalBody({ status, code, message }: Refusal): string {
  const type = status < 500 ? "invalid_request_error" : "server_error";
  return JSON.stringify({ error: { message, type, param: null, code } });
}

/** The whole answer, for a socket on which nothing else can be said. */
export function rawRefusal(told: Refusal): string {
  const body = refusalBody(told);
  return [
    `HTTP/1.1 ${told.status} ${told.reason}`,
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}
