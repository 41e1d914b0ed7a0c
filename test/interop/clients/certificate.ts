import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate for loopback that has signed itself, made now. */
export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Where the certificate lies, for programs that want a file. */
  readonly certFile: string;
}

/** Node can make keys but no certificates. @returns undefined, and says so, when there is no openssl to make one */
export function makeCertificate(): Certificate | undefined {
  const folder = mkdtempSync(join(tmpdir(), "everhop-certificate-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  try {
    execFileSync("openssl", ["req", "-x509", ...key, ...names, "-days", "2", "-out", certFile], { stdio: "ignore" });
  } catch {
    console.warn("SKIPPED: clients over TLS, for there is no openssl to make a certificate");
    return undefined;
  }
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8"), certFile };
}
