import tls, { type SecureContextOptions, type TlsOptions } from "node:tls";

/** What the port's TLS takes, as PEM texts. */
export interface TlsSetup {
  readonly cert: string;
  readonly key: string;
  /** Authorities of client certificates; with them a client without a certificate of theirs is turned away. */
  readonly clientCa?: string | undefined;
}

/** Forward secrecy and authenticated encryption, and nothing else. */
const ciphers = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
].join(":");

/** What can be renewed while the port is open. */
export function secureContext({ cert, key, clientCa }: TlsSetup): SecureContextOptions {
  return { cert, key, ciphers, minVersion: "TLSv1.2", ...(clientCa !== undefined && { ca: clientCa }) };
}

/** A server that never listens: sockets are handed to it. @throws Error when the key is not the certificate's */
export function createTlsServer(setup: TlsSetup, handshakeTimeout: number): tls.Server {
  const options: TlsOptions = {
    ...secureContext(setup),
    ALPNProtocols: ["h2", "http/1.1", "http/1.0"],
    honorCipherOrder: true,
    handshakeTimeout,
    requestCert: setup.clientCa !== undefined,
    rejectUnauthorized: setup.clientCa !== undefined,
  };
  return tls.createServer(options);
}
