import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Host } from "./host.ts";
import { messageType, type ServerCompatRequest } from "./schema.ts";
import { conformanceRoutes } from "./service.ts";

// The program that the judge starts, once for each kind of server: it reads on stdin what kind, serves, tells on stdout where,
// and is ended by a signal. `--on everhop`, `--on everhop-without-lane` or `--on plain` says whose server it is.

/** Each is loaded by itself: what one of them has wrong is not the other's. */
const hosts: Readonly<Record<string, () => Promise<Host>>> = {
  everhop: async () => (await import("./everhop-host.ts")).everhopHost,
  "everhop-without-lane": async () => (await import("./everhop-host.ts")).everhopHostWithoutLane,
  plain: async () => (await import("./plain-host.ts")).plainHost,
};
const [flag, name = ""] = process.argv.slice(2);
const host = flag === "--on" ? await hosts[name]?.() : undefined;
if (!host) {
  console.error("usage: server.ts --on everhop|everhop-without-lane|plain");
  process.exit(2);
}

/** HTTP_VERSION_2 of the judge's. */
const http2 = 2;

const wanted = fromBinary(messageType("ServerCompatRequest"), await readMessage()) as ServerCompatRequest; // by its schema
const { httpVersion, useTls, serverCreds, clientTlsCert, messageReceiveLimit } = wanted;
const pem = (bytes: Uint8Array) => Buffer.from(bytes).toString();
if (useTls && !serverCreds) throw new Error("the judge wants TLS and gives no certificate");
const port = await host(conformanceRoutes, {
  isHttp2: httpVersion === http2,
  tls: serverCreds && {
    cert: pem(serverCreds.cert),
    key: pem(serverCreds.key),
    ...(clientTlsCert.length > 0 && { clientCa: pem(clientTlsCert) }),
  },
  maxMessageBytes: messageReceiveLimit || undefined,
});
writeMessage(
  toBinary(
    messageType("ServerCompatResponse"),
    create(messageType("ServerCompatResponse"), {
      host: "127.0.0.1",
      port,
      ...(serverCreds && { pemCert: serverCreds.cert }),
    } as Record<string, unknown>),
  ),
);

/** One message after its length in four bytes. */
async function readMessage(): Promise<Uint8Array> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE())
      return bytes.subarray(4, 4 + bytes.readUInt32BE());
  }
  throw new Error("the judge said nothing");
}

function writeMessage(message: Uint8Array): void {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  process.stdout.write(Buffer.concat([length, message]));
}
