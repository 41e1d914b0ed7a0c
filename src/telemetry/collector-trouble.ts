/** What collectors, and those who are taken for one, are wrong with, and what might be done about it. The first that fits counts. */
const known: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, "nothing listens there"],
  [/ENOTFOUND|EAI_AGAIN|Name resolution/i, "its host has no address"],
  [/wrong version number|packet length too long|EPROTO/i, "no TLS there: should it be http, not https?"],
  [
    /self.signed|unable to (verify|get)|CERT_|certificate/i,
    "its certificate is not trusted: NODE_EXTRA_CA_CERTS names authorities",
  ],
  [/Parse Error|Expected HTTP/i, "no HTTP there: is that its port for gRPC? Then protocol: grpc"],
  [
    /Protocol error|No connection established|HTTP\/2/i,
    "no gRPC there: is that its port for HTTP? Then protocol: http/protobuf",
  ],
  [/timed out|timeout|DEADLINE_EXCEEDED/i, "it does not answer in time"],
  [
    /\b40[13]\b|Unauthorized|Forbidden|UNAUTHENTICATED|PERMISSION_DENIED/i,
    "it wants a key, or another one: telemetry.otlp.headers",
  ],
  [/\b404\b|Not Found|UNIMPLEMENTED/i, "it has no such path or method: is that a collector's address?"],
];

/** Why a collector has not taken what it was sent, in words that an operator can do something with. */
export function troubleOf(error: unknown): string {
  const { message, code } = told(error);
  const words = `${code} ${message}`;
  // The words of a library's may go on for lines.
  return known.find(([pattern]) => pattern.test(words))?.[1] ?? (message.split("\n")[0] ?? "").slice(0, 200);
}

/** Whether it answers, but takes nothing of the kind: Jaeger takes traces, and no metrics. */
export function takesNone(error: unknown): boolean {
  const { message, code } = told(error);
  return code === "404" || code === "12" || /UNIMPLEMENTED/.test(message);
}

function told(error: unknown): { readonly message: string; readonly code: string } {
  if (!(error instanceof Error)) return { message: String(error), code: "" };
  return { message: error.message, code: "code" in error ? String(error.code) : "" };
}
