import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import tls, { type ConnectionOptions, type TLSSocket } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { httpRequest, talk } from "../bad-input/http1.ts";
import { preface, settings } from "../bad-input/http2-frames.ts";
import { type Certificate, hasOpenssl, makeAuthority, makeCertificate } from "../support/certificates.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { openLine } from "./line.ts";
import { until } from "./target.ts";

/** Starts a gateway whose port speaks TLS. */
function startSecure({ cert, key }: Certificate, clientCa?: string): Promise<TestGateway> {
  return startGateway({}, {}, { tls: { cert, key, clientCa } });
}

/** What came of a handshake, and of a request after it. */
interface Shaken {
  /** Undefined: there was no handshake, or the connection was closed after it. */
  readonly protocol: string | undefined;
  readonly cipher: string;
  readonly alpn: string;
  readonly servedBy: string;
  /** What `/health` was answered over HTTP/1.1; empty when it was not asked. */
  readonly heard: string;
}

/** Shakes hands, and asks for the health over HTTP/1.1 unless another protocol was agreed on. */
function shake(port: number, options: ConnectionOptions = {}): Promise<Shaken> {
  return new Promise((resolve) => {
    const socket: TLSSocket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
    let told: Omit<Shaken, "heard"> = { protocol: undefined, cipher: "", alpn: "", servedBy: "" };
    let heard = "";
    const done = () => {
      socket.destroy();
      resolve({ ...told, heard });
    };
    socket.on("secureConnect", () => {
      const alpn = socket.alpnProtocol || "";
      const { CN } = socket.getPeerCertificate().subject;
      told = {
        protocol: socket.getProtocol() ?? undefined,
        cipher: socket.getCipher().standardName,
        alpn,
        servedBy: String(CN),
      };
      if (alpn === "h2") done();
      else socket.write(httpRequest("GET /health", ["Connection: close"]));
    });
    socket.on("data", (piece) => {
      heard += piece.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", done);
  });
}

const healthy = /^HTTP\/1\.1 200 [\s\S]*healthy/;
/** Everything that OpenSSL has, however weak. */
const weakest = "ALL:@SECLEVEL=0";

/** A server that takes anything, to show that a client here can ask for what is refused. */
async function startLax({ cert, key }: Certificate): Promise<number> {
  const server = tls.createServer({ cert, key, minVersion: "TLSv1", ciphers: weakest }, (socket) => socket.end());
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port; // a server on TCP has an address of this form
}

describe.skipIf(!hasOpenssl)("a port that speaks TLS", () => {
  test("speaks TLS 1.3 and 1.2, and nothing older", async () => {
    const { port, listener } = await startSecure(makeCertificate("localhost"));
    for (const version of ["TLSv1.3", "TLSv1.2"] as const) {
      const { protocol, heard } = await shake(port, { minVersion: version, maxVersion: version });
      expect([protocol, heard]).toEqual([version, expect.stringMatching(healthy)]);
    }
    for (const version of ["TLSv1.1", "TLSv1"] as const) {
      const old = await shake(port, { minVersion: version, maxVersion: version, ciphers: weakest });
      expect([version, old.protocol]).toEqual([version, undefined]);
    }
    await until(() => listener.connections === 0);
    const lax = await startLax(makeCertificate("localhost"));
    const old = await shake(lax, { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: weakest });
    expect(old.protocol).toBe("TLSv1.1");
  });

  test.each(["ec", "rsa"] as const)(
    "takes no suite but with forward secrecy and authenticated encryption: %s",
    async (kind) => {
      const { port } = await startSecure(makeCertificate("localhost", kind));
      const taken: string[] = [];
      // One by one, as a scanner asks.
      for (const name of tls.getCiphers().filter((each) => !each.startsWith("tls_"))) {
        const { protocol, cipher } = await shake(port, {
          maxVersion: "TLSv1.2",
          ciphers: `${name.toUpperCase()}:@SECLEVEL=0`,
        }).catch(() => ({ protocol: undefined, cipher: "" }));
        if (protocol) taken.push(cipher);
      }
      expect(taken.length).toBeGreaterThanOrEqual(3);
      for (const cipher of taken) {
        expect(cipher).toMatch(
          /^TLS_ECDHE_(ECDSA|RSA)_WITH_(AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305_SHA256)$/,
        );
      }
      const modern = await shake(port, { minVersion: "TLSv1.3" });
      expect(modern.cipher).toMatch(/^TLS_(AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305_SHA256)$/);
      // With everything on offer it is the port that chooses.
      const offered = await shake(port, { ciphers: "ALL", maxVersion: "TLSv1.2" });
      expect(offered.cipher).toMatch(/GCM|CHACHA20/);
    },
  );

  test("agrees on HTTP/2 and HTTP/1.1, and speaks HTTP/1.1 with whoever does not ask", async () => {
    const { port, address, listener } = await startSecure(makeCertificate("localhost"));
    const agreed = async (ALPNProtocols?: string[]) => {
      const { alpn, heard } = await shake(port, ALPNProtocols ? { ALPNProtocols } : {});
      return [alpn, healthy.test(heard)];
    };
    expect(await agreed(["h2", "http/1.1"])).toEqual(["h2", false]);
    expect(await agreed(["http/1.1", "h2"])).toEqual(["h2", false]);
    expect(await agreed(["http/1.1"])).toEqual(["http/1.1", true]);
    expect(await agreed()).toEqual(["", true]);
    // Nothing in common: there is no handshake.
    expect((await shake(port, { ALPNProtocols: ["spdy/3"] })).protocol).toBeUndefined();
    const session = http2.connect(address, { rejectUnauthorized: false });
    onTestFinished(() => session.destroy());
    const status = await new Promise((resolve) => {
      const stream = session.request({ ":path": "/health" });
      stream.on("response", (headers) => resolve(headers[":status"]));
      stream.resume();
    });
    expect(status).toBe(200);
    session.destroy();
    await until(() => listener.connections === 0);
  });

  test("tells whoever speaks in the clear what is wrong, and closes", async () => {
    const { port, listener } = await startSecure(makeCertificate("localhost"));
    for (const said of [
      httpRequest("GET /health"),
      httpRequest("POST /v1/chat/completions", [], "{}"),
      preface + settings(),
    ]) {
      const { answers, closed } = await talk(port, said, { answers: 2 });
      expect(closed).toBe(true);
      expect(answers[0]).toMatchObject({ status: 400, headers: { connection: "close" } });
      expect(answers[0]?.body).toMatch(/https/);
    }
    const { port: plain } = await startGateway({});
    // And the other way round: TLS where none is spoken ends, and does not hang.
    expect((await shake(plain)).protocol).toBeUndefined();
    await until(() => listener.connections === 0);
  });

  test("survives what is no handshake, and serves the others", async () => {
    const { port, listener } = await startSecure(makeCertificate("localhost"));
    const record = Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    for (const said of [
      record,
      Buffer.concat([Buffer.of(0x16), Buffer.alloc(20_000, 7)]),
      Buffer.of(0x16, 3, 1, 255, 255),
    ]) {
      const line = openLine(port);
      await line.say(said, Buffer.alloc(100_000, 1));
      await line.closed;
    }
    expect((await shake(port)).heard).toMatch(healthy);
    await until(() => listener.connections === 0);
  });

  test("does not negotiate anew", async () => {
    const { port, listener } = await startSecure(makeCertificate("localhost"));
    const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    onTestFinished(() => void socket.destroy());
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    let count = 0;
    const again = () =>
      socket.renegotiate({}, (error) => {
        if (error) return;
        count += 1;
        if (count < 20) again();
        else socket.destroy();
      });
    again();
    await closed;
    // Node bears a few of them in ten minutes.
    expect(count).toBeLessThan(10);
    await until(() => listener.connections === 0);
  });
});

describe.skipIf(!hasOpenssl)("a port that asks for a client's certificate", () => {
  const authority = hasOpenssl ? makeAuthority("the authority") : undefined;
  const other = hasOpenssl ? makeAuthority("another authority") : undefined;

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "serves clients of its authority and nobody else, by %s",
    async (version) => {
      if (!authority || !other) throw new Error("there is no openssl");
      const { port, listener } = await startSecure(authority.sign("localhost"), authority.cert);
      const by = (client?: Certificate) =>
        shake(port, {
          minVersion: version,
          maxVersion: version,
          ...(client && { cert: client.cert, key: client.key }),
        });
      expect((await by(authority.sign("a client"))).heard).toMatch(healthy);
      for (const stranger of [undefined, other.sign("a client"), makeCertificate("a client")]) {
        expect((await by(stranger)).heard).toBe("");
      }
      const h2 = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
      const refused = new Promise<string>((resolve) => {
        h2.on("error", () => {});
        const stream = h2.request({ ":path": "/health" });
        stream.on("response", (headers) => resolve(String(headers[":status"])));
        stream.on("error", () => resolve("refused"));
        stream.on("close", () => resolve("refused"));
      });
      expect(await refused).toBe("refused");
      h2.destroy();
      await until(() => listener.connections === 0);
    },
  );

  test("still asks for it after it has been renewed, and no longer takes those of the authority before", async () => {
    if (!authority || !other) throw new Error("there is no openssl");
    const { port, listener } = await startSecure(authority.sign("before"), authority.cert);
    const client = authority.sign("a client");
    const newClient = other.sign("a new client");
    const by = (each?: Certificate, session?: Buffer) =>
      shake(port, { ...(each && { cert: each.cert, key: each.key }), ...(session && { session }) });
    // A client that will want to go on with its session.
    const session = await sessionOf(port, client);
    expect((await by(client)).heard).toMatch(healthy);
    const renewed = other.sign("after");
    listener.renewTls({ cert: renewed.cert, key: renewed.key, clientCa: other.cert });
    expect((await by(newClient)).heard).toMatch(healthy);
    expect((await by()).heard).toBe("");
    expect((await by(client)).heard).toBe("");
    expect((await by(client, session)).heard).toBe("");
    expect((await by(undefined, session)).heard).toBe("");
  });

  /** The ticket that a client is given. */
  function sessionOf(port: number, { cert, key }: Certificate): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, cert, key });
      socket.on("error", reject);
      socket.on("session", (session) => {
        socket.destroy();
        resolve(session);
      });
      socket.write(httpRequest("GET /health"));
    });
  }
});

describe.skipIf(!hasOpenssl)("a certificate that is renewed", () => {
  test("is shown to whoever comes from then on, under the same rules, and those that are there are not disturbed", async () => {
    const { port, listener } = await startSecure(makeCertificate("before"));
    const line = openLine(port, { secure: {} });
    await line.say(httpRequest("GET /health"));
    await line.hears(/healthy/);
    expect((await shake(port)).servedBy).toBe("before");
    const { cert, key } = makeCertificate("after");
    listener.renewTls({ cert, key });
    expect((await shake(port)).servedBy).toBe("after");
    expect((await shake(port, { ALPNProtocols: ["h2"] })).alpn).toBe("h2");
    expect(
      (await shake(port, { maxVersion: "TLSv1.1", minVersion: "TLSv1.1", ciphers: weakest })).protocol,
    ).toBeUndefined();
    const weak = { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0" } as const;
    expect((await shake(port, weak)).protocol).toBeUndefined();
    await line.say(httpRequest("GET /readyz"));
    await line.hears(/"ready"/);
    // A pair that does not match changes nothing.
    expect(() => listener.renewTls({ cert: makeCertificate("wrong").cert, key })).toThrow();
    expect((await shake(port)).servedBy).toBe("after");
  });

  test("is read again at SIGHUP, and one that cannot be used leaves the one before", { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "everhop-tls-"));
    const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    const put = ({ certFile, keyFile }: Certificate) => {
      copyFileSync(certFile, files.cert);
      copyFileSync(keyFile, files.key);
    };
    put(makeCertificate("before"));
    const config = join(folder, "everhop.yaml");
    const server = { port: 0, tls: files };
    const auth = { admin_keys: ["key-of-an-operator-who-may-do-everything"] };
    const providers = [{ name: "nobody", base_url: "http://127.0.0.1:9/v1" }];
    writeFileSync(config, JSON.stringify({ server, auth, providers }));
    const { said, child } = startProduct(["--config", config]);
    const [, port = ""] = await said(/listens on https:\/\/127\.0\.0\.1:(\d+)/);
    expect((await shake(Number(port))).servedBy).toBe("before");
    put(makeCertificate("after"));
    child.kill("SIGHUP");
    await said(/SIGHUP: .*read again/);
    expect((await shake(Number(port))).servedBy).toBe("after");
    // The key of another.
    copyFileSync(makeCertificate("wrong").keyFile, files.key);
    child.kill("SIGHUP");
    await said(/SIGHUP: everything stays as it was/);
    const still = await shake(Number(port));
    expect([still.servedBy, healthy.test(still.heard)]).toEqual(["after", true]);
    expect(await status(Number(port))).toBe(200);
  });

  function status(port: number): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const request = https.get({ port, host: "127.0.0.1", path: "/health", rejectUnauthorized: false, agent: false });
      request.on("response", (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
    });
  }
});

/** Starts the product as people do. */
function startProduct(args: readonly string[]) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(OPENAI_|EVERHOP_|NO_COLOR|FORCE_COLOR)/.test(name),
  );
  const child: ChildProcess = spawn(process.execPath, ["bin/everhop.js", "serve", ...args], {
    cwd: resolve(import.meta.dirname, "../.."),
    env: { ...Object.fromEntries(inherited), NO_COLOR: "1" },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (piece: Buffer) => {
      output += piece.toString();
      for (const look of waiting) look();
    });
  }
  const said = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output);
        if (!match) return;
        waiting.delete(look);
        resolve(match);
      };
      waiting.add(look);
      look();
      child.on("exit", () => reject(new Error(`it ended before it said ${pattern}:\n${output}`)));
    });
  return { child, said };
}
