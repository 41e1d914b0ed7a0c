import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { ChatService } from "../../../gen/ts/everhop/v1/chat_service_pb.ts";
import { modes, rpcWire, send } from "../../support/wires.ts";
import { echo, type Port, ports, startPair, trailHeader, twoAttempts } from "./pair.ts";

type Open = (baseUrl: string, trust: { readonly ca?: string }) => Transport;

function session(baseUrl: string, trust: { readonly ca?: string }) {
  const sessionManager = new Http2SessionManager(baseUrl, undefined, trust);
  onTestFinished(() => sessionManager.abort());
  return { baseUrl, httpVersion: "2", sessionManager } as const;
}

const http1 = (baseUrl: string, nodeOptions: { readonly ca?: string }) =>
  ({ baseUrl, httpVersion: "1.1", nodeOptions: { ...nodeOptions, agent: false } }) as const;

const transports: Readonly<Record<string, Open>> = {
  "Connect over HTTP/1.1": (...to) => createConnectTransport(http1(...to)),
  "Connect over HTTP/2": (...to) => createConnectTransport(session(...to)),
  "Connect in JSON over HTTP/1.1": (...to) => createConnectTransport({ ...http1(...to), useBinaryFormat: false }),
  "Connect by GET": (...to) => createConnectTransport({ ...session(...to), useHttpGet: true }),
  "gRPC over HTTP/2": (...to) => createGrpcTransport(session(...to)),
  "gRPC-Web over HTTP/1.1": (...to) => createGrpcWebTransport(http1(...to)),
  "gRPC-Web over HTTP/2": (...to) => createGrpcWebTransport(session(...to)),
};

const everywhere: [string, Port, Open][] = Object.entries(transports).flatMap(([name, open]) =>
  ports.map((port): [string, Port, Open] => [`${name} ${port.name}`, port, open]),
);

describe.each(everywhere)("Connect's client for Node, by %s,", (name, port, open) => {
  test.each(modes)("gets an answer with its trail: %s", async (mode) => {
    const { address, trails } = await startPair(port);
    const wire = rpcWire(
      createClient(ChatService, open(address, port.certificate ? { ca: port.certificate.cert } : {})),
    );
    const text = `a nonce by ${name} 🦘`;
    const told = await send(wire, mode, { text });
    expect(told.text).toBe(echo(text));
    expect(told.provider).toBe("healthy");
    expect(told.trail).toEqual({ attempts: twoAttempts, skips: [], partial: false });
    expect(told.headers.get("x-everhop-trail")).toEqual(trailHeader);
    expect(trails.map(({ attempts }) => attempts.length)).toEqual([2]);
  });
});

describe.each(ports.filter(({ certificate }) => certificate))(
  "a client that does not trust the certificate",
  (port) => {
    test("does not get in", async () => {
      const { address, providers } = await startPair(port);
      for (const open of [transports["Connect over HTTP/1.1"], transports["gRPC over HTTP/2"]]) {
        if (!open) throw new Error("no such transport");
        const wire = rpcWire(createClient(ChatService, open(address, {})));
        await expect(wire.complete({ text: "x" })).rejects.toThrow(/self-signed certificate/);
      }
      expect(providers.healthy.seen.length).toBe(0);
    });
  },
);
