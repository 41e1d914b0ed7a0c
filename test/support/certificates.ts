import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate with its key, as PEM texts and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** An authority that signs certificates. */
export interface Authority extends Certificate {
  sign(name: string): Certificate;
}

/** Whether the `openssl` program is there: certificates are made with it on the spot. Says so when it is not. */
export const hasOpenssl: boolean = (() => {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("SKIPPED: there is no openssl program here, so nothing that needs a certificate was tested");
    return false;
  }
})();

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const rsa = ["-newkey", "rsa:2048", "-nodes"];

/** Makes an authority of its own. */
export function makeAuthority(name: string): Authority {
  const folder = mkdtempSync(join(tmpdir(), "everhop-certificates-"));
  const own = certificate(folder, "authority");
  openssl([
    "req",
    "-x509",
    ...curve,
    "-keyout",
    own.keyFile,
    "-out",
    own.certFile,
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
  ]);
  let count = 0;
  return {
    ...read(own),
    sign(subject) {
      count += 1;
      const files = certificate(folder, `signed-${count}`);
      const request = join(folder, `request-${count}.pem`);
      const extensions = join(folder, `extensions-${count}.cnf`);
      writeFileSync(extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
      openssl(["req", "-new", ...curve, "-keyout", files.keyFile, "-out", request, "-subj", `/CN=${subject}`]);
      const by = ["-CA", own.certFile, "-CAkey", own.keyFile, "-CAcreateserial"];
      openssl(["x509", "-req", "-in", request, ...by, "-out", files.certFile, "-days", "2", "-extfile", extensions]);
      return read(files);
    },
  };
}

/** Makes a certificate that vouches for itself. */
export function makeCertificate(name: string, kind: "ec" | "rsa" = "ec"): Certificate {
  const files = certificate(mkdtempSync(join(tmpdir(), "everhop-certificates-")), "own");
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const how = kind === "ec" ? curve : rsa;
  openssl(["req", "-x509", ...how, "-keyout", files.keyFile, "-out", files.certFile, "-days", "2", ...subject]);
  return read(files);
}

function certificate(folder: string, name: string) {
  return { certFile: join(folder, `${name}-cert.pem`), keyFile: join(folder, `${name}-key.pem`) };
}

function read({ certFile, keyFile }: { readonly certFile: string; readonly keyFile: string }): Certificate {
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
}

function openssl(args: readonly string[]): void {
  execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
}
