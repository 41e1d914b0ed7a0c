import { describe, expect, test } from "vitest";
import type { UpstreamFault } from "../../src/chat/fault.ts";
import { type TransportProgress, transportFault } from "../../src/providers/transport-fault.ts";

const connecting: TransportProgress = { sent: false, answered: false, reused: false, elapsedMs: 0 };
const idle = { ...connecting, reused: true };
const sent = { ...connecting, sent: true, elapsedMs: 5 };
const resent = { ...sent, reused: true };
const answering = { ...resent, answered: true };

const coded = (code: string, message = "") => Object.assign(new Error(message), { code });
const named = (name: string, message: string) => Object.assign(new Error(message), { name });
const unreachable = (cause: "refused" | "dns" | "tls" | "connect_timeout" | "network") =>
  ({ kind: "unreachable", cause }) as const;
const lost = (afterBytes: boolean) => ({ kind: "connection_lost", afterBytes }) as const;
const closed = "other side closed";

describe("an error of the transport", () => {
  test.each<[string, Error, TransportProgress, UpstreamFault]>([
    ["nobody listens", coded("ECONNREFUSED"), connecting, unreachable("refused")],
    ["no address", coded("ENOTFOUND"), connecting, unreachable("dns")],
    ["no answer from the name service", coded("EAI_AGAIN"), connecting, unreachable("dns")],
    ["no connection in time", coded("UND_ERR_CONNECT_TIMEOUT"), connecting, unreachable("connect_timeout")],
    ["the system gave up", coded("ETIMEDOUT"), connecting, unreachable("connect_timeout")],
    ["no way there", coded("EHOSTUNREACH"), connecting, unreachable("network")],
    ["an expired certificate", coded("CERT_HAS_EXPIRED"), connecting, unreachable("tls")],
    ["no TLS there", coded("ERR_SSL_WRONG_VERSION_NUMBER"), connecting, unreachable("tls")],
    [
      "hung up in the handshake",
      coded("ECONNRESET", "Client network socket disconnected before secure TLS connection was established"),
      connecting,
      unreachable("tls"),
    ],
    ["a reset while connecting", coded("ECONNRESET"), connecting, unreachable("network")],
    ["a code that only the cause has", new Error("x", { cause: coded("ENOTFOUND") }), connecting, unreachable("dns")],
    ["anything else before a byte was sent", new Error("odd"), connecting, unreachable("network")],
    ["an idle connection that died while it was looked at", coded("ECONNRESET"), idle, { kind: "not_sent" }],
    ["a reset of a connection that had served", coded("ECONNRESET"), resent, { kind: "not_sent" }],
    ["a broken pipe of one", coded("EPIPE"), resent, { kind: "not_sent" }],
    ["an end of one", coded("UND_ERR_SOCKET", closed), resent, { kind: "not_sent" }],
    ["a reset of one after a second", coded("ECONNRESET"), { ...resent, elapsedMs: 1000 }, lost(false)],
    ["a timeout of one, which is no close", coded("ETIMEDOUT"), resent, lost(false)],
    ["a reset of a new connection", coded("ECONNRESET"), sent, lost(false)],
    ["an end of a new connection", coded("UND_ERR_SOCKET", closed), sent, lost(false)],
    [
      "a client's certificate refused after the handshake",
      coded("ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
      sent,
      unreachable("tls"),
    ],
    ["broken TLS in an answer", coded("ERR_SSL_BAD_RECORD_MAC"), answering, lost(true)],
    ["a reset in an answer", coded("ECONNRESET"), answering, lost(true)],
    ["an end in an answer", coded("UND_ERR_SOCKET", closed), answering, lost(true)],
    ["the system gave up in an answer", coded("ETIMEDOUT"), answering, lost(true)],
    ["no way there any more in an answer", coded("EHOSTUNREACH"), answering, lost(true)],
    ["fewer bytes than announced", coded("UND_ERR_RES_CONTENT_LENGTH_MISMATCH"), answering, { kind: "truncated" }],
    ["no last chunk", named("HTTPParserError", "… (Invalid EOF state)"), answering, { kind: "truncated" }],
  ])("%s", (_, error, progress, fault) => {
    expect(transportFault(error, progress)).toEqual(fault);
  });

  test.each<[string, Error]>([
    ["what is no HTTP", named("HTTPParserError", "… (Expected HTTP/)")],
    ["a head without end", coded("UND_ERR_HEADERS_OVERFLOW")],
    ["a protocol that nobody asked for", coded("UND_ERR_SOCKET", "bad upgrade")],
  ])("%s makes the answer malformed, on a new connection or not", (_, error) => {
    for (const progress of [sent, resent, answering]) {
      expect(transportFault(error, progress).kind).toBe("malformed");
    }
  });

  test("of our own making is one of the configuration", () => {
    expect(transportFault(coded("UND_ERR_INVALID_ARG", "invalid x-odd header"), connecting).kind).toBe("misconfigured");
  });
});
