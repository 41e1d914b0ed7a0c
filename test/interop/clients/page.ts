import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "vite";

/** A page with `page-script.ts` on an origin of its own. */
export interface PageServer {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  close(): void;
}

/** Serves the page. */
export async function servePage(): Promise<PageServer> {
  const script = await bundle();
  const server = http.createServer((request, response) => {
    if (request.url === "/script.js") response.setHeader("content-type", "text/javascript").end(script);
    else response.setHeader("content-type", "text/html").end('<!doctype html><script src="/script.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address is one
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** All of the script in one file, as pages have it. */
async function bundle(): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "error",
    build: {
      write: false,
      lib: { entry: join(import.meta.dirname, "page-script.ts"), formats: ["iife"], name: "page", fileName: "script" },
    },
  });
  const [first] = [built].flat();
  if (!first || !("output" in first)) throw new Error("nothing was bundled");
  return first.output[0].code;
}
