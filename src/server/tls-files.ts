import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Config, ConfigError, type ConfigProblem } from "./config.ts";
import { secureContext, type TlsSetup } from "./listener/tls.ts";

/**
 * Reads the files of `server.tls`.
 * @returns undefined when the port is to speak in the clear
 * @throws ConfigError with every file that cannot be used
 */
export function readTlsFiles({ server: { tls } }: Config, source: string): TlsSetup | undefined {
  if (!tls) return undefined;
  const problems: ConfigProblem[] = [];
  const read = (name: "cert" | "key" | "client_ca", path: string) => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      const { code = "unknown error" } = error as { readonly code?: string };
      const expected = code === "ENOENT" ? "there is no such file" : `cannot be read (${code})`;
      problems.push({ path: `server.tls.${name}`, value: JSON.stringify(path), expected });
      return "";
    }
  };
  const setup: TlsSetup = {
    cert: read("cert", tls.cert),
    key: read("key", tls.key),
    clientCa: tls.client_ca === undefined ? undefined : read("client_ca", tls.client_ca),
  };
  if (problems.length === 0) {
    try {
      createSecureContext(secureContext(setup));
      // An empty list of authorities would mean all that the machine knows.
      if (tls.client_ca !== undefined) new X509Certificate(setup.clientCa ?? "");
    } catch {
      // OpenSSL's words help nobody, and may quote what stands there.
      const expected = `expected a PEM certificate and the key that is its own${tls.client_ca ? ", and a PEM certificate of clients' authority" : ""}`;
      problems.push({
        path: "server.tls",
        value: "",
        expected,
      });
    }
  }
  if (problems.length > 0) throw new ConfigError(source, problems);
  return setup;
}
