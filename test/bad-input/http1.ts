import net from "node:net";

/** One answer as it came over HTTP/1.1. */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a connection brought. */
export interface Heard {
  readonly answers: readonly Answer[];
  /** Everything, as Latin-1. */
  readonly text: string;
  /** Whether the other side closed it; false where it was left because enough was heard. */
  readonly closed: boolean;
}

/** Bytes to be sent; texts are Latin-1, so that any byte can be written. */
export type Bytes = string | Uint8Array;

/** A request by hand. The length is told when there is a body and no field says it. */
export function httpRequest(line: string, fields: readonly string[] = [], body = ""): string {
  const framed = fields.some((field) => /^(content-length|transfer-encoding)\s*:/i.test(field));
  const version = / HTTP\/\S+$/.test(line) ? "" : " HTTP/1.1";
  const host = fields.some((field) => /^host\s*:/i.test(field)) ? [] : ["Host: localhost"];
  const length = framed || body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body, "latin1")}`];
  return `${[line + version, ...host, ...fields, ...length].join("\r\n")}\r\n\r\n${body}`;
}

/** How a connection is spoken on. */
export interface Manner {
  /** How many answers are enough; the connection is left then. Default 1. */
  readonly answers?: number;
  /** What follows the last byte. Default: the line is kept open until enough was heard. */
  readonly afterwards?: "end" | "reset" | undefined;
  /** Each byte in a packet of its own. */
  readonly byteByByte?: boolean;
  /** Whether answers have no body although they tell its length. */
  readonly head?: boolean;
}

/** Says something on a connection of its own, and listens until enough is answered or the other side closes. */
export function talk(
  port: number,
  said: Bytes,
  { answers: enough = 1, afterwards, byteByByte, head }: Manner = {},
): Promise<Heard> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const pieces: Buffer[] = [];
    const leave = (closed: boolean) => {
      const text = Buffer.concat(pieces).toString("latin1");
      socket.destroy();
      resolve({ answers: parseAnswers(text, closed, head), text, closed });
    };
    socket.on("data", (piece) => {
      pieces.push(piece);
      if (parseAnswers(Buffer.concat(pieces).toString("latin1"), false, head).length >= enough) leave(false);
    });
    socket.on("error", () => {}); // a reset is a close, too
    socket.on("end", () => leave(true));
    socket.on("close", () => leave(true));
    socket.on("connect", async () => {
      const bytes = bytesOf(said);
      if (byteByByte) {
        for (const byte of bytes) await new Promise((sent) => socket.write(Buffer.of(byte), sent));
      } else if (bytes.length > 0) {
        await new Promise((sent) => socket.write(bytes, sent));
      }
      if (afterwards === "end") socket.end();
      if (afterwards === "reset") socket.resetAndDestroy();
    });
  });
}

/** The bytes of a text or of bytes. */
export function bytesOf(said: Bytes): Uint8Array {
  return typeof said === "string" ? Buffer.from(said, "latin1") : said;
}

/** The whole answers in a text, interim ones (1xx) left out. */
export function parseAnswers(text: string, closed: boolean, head = false): Answer[] {
  const answers: Answer[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(rest)?.[1]);
    if (end < 0 || !status) return answers;
    const lines = rest.slice(0, end).split("\r\n").slice(1);
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    rest = rest.slice(end + 4);
    if (status < 200) continue;
    const found = head ? { body: "", length: 0 } : bodyIn(rest, headers, closed);
    if (!found) return answers;
    answers.push({ status, headers, body: found.body });
    rest = rest.slice(found.length);
  }
}

function bodyIn(text: string, headers: Readonly<Record<string, string>>, closed: boolean) {
  if (headers["transfer-encoding"] === "chunked") return chunkedIn(text);
  const told = headers["content-length"];
  if (told === undefined) return closed ? { body: text, length: text.length } : undefined;
  return text.length < Number(told) ? undefined : { body: text.slice(0, Number(told)), length: Number(told) };
}

function chunkedIn(text: string) {
  let body = "";
  let at = 0;
  for (;;) {
    const end = text.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const size = Number.parseInt(text.slice(at, end), 16);
    at = end + 2;
    if (size === 0) {
      // Trailers, if there are any, end in an empty line.
      const last = text.startsWith("\r\n", at) ? at : text.indexOf("\r\n\r\n", at);
      return last < 0 ? undefined : { body, length: text.startsWith("\r\n", at) ? last + 2 : last + 4 };
    }
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
  }
}
