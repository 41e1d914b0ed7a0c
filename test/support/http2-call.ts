import { once } from "node:events";
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { onTestFinished } from "vitest";

/** Asks by HTTP/2, by hand. @returns the head of the answer, when all of it has come */
export async function callHttp2(
  port: number,
  headers: OutgoingHttpHeaders,
  body?: Uint8Array,
): Promise<IncomingHttpHeaders> {
  const session = connect(`http://127.0.0.1:${port}`);
  onTestFinished(() => session.destroy());
  session.on("error", () => {}); // whoever waits learns it from the stream
  const stream = session.request({ ":method": "POST", ...headers });
  stream.end(body);
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders]; // by Node's documentation
  stream.resume();
  if (!stream.closed) await once(stream, "close");
  return head;
}
