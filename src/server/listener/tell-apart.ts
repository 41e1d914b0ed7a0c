import type { Socket } from "node:net";

/** What the first bytes of a connection say that it speaks. */
export type Protocol = "http1" | "http2" | "tls";

/** What an HTTP/2 client that knows the server says first. */
const preface = Buffer.from("PRI * HTTP/2.0");
/** First byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/** Reads as many bytes as it takes to tell what a connection speaks, and puts them back. */
export function tellApart(socket: Socket, decide: (protocol: Protocol) => void): void {
  let head: Buffer = Buffer.alloc(0);
  const onReadable = () => {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) return;
    head = head.length === 0 ? bytes : Buffer.concat([head, bytes]);
    const length = Math.min(head.length, preface.length);
    const matches = head.subarray(0, length).equals(preface.subarray(0, length));
    if (matches && length < preface.length) return;
    socket.off("readable", onReadable);
    socket.unshift(head);
    decide(matches ? "http2" : head[0] === tlsHandshake ? "tls" : "http1");
  };
  socket.on("readable", onReadable);
}
