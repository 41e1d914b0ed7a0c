import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import type { Host } from "./host.ts";

/** Connect's own adapter on Node's own servers, as its documentation has them: what ours is measured by. */
export const plainHost: Host = (routes, { isHttp2, tls, maxMessageBytes }) => {
  const handle = connectNodeAdapter({
    routes,
    acceptCompression: [compressionGzip],
    ...(maxMessageBytes !== undefined && { readMaxBytes: maxMessageBytes }),
  });
  const secured = tls && {
    cert: tls.cert,
    key: tls.key,
    allowHTTP1: true,
    ...(tls.clientCa && { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
  };
  const server = secured
    ? http2.createSecureServer(secured, handle)
    : isHttp2
      ? http2.createServer(handle)
      : http.createServer(handle);
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)); // a TCP server's address is one
  });
};
