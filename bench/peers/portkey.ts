import { readFileSync } from "node:fs";
import { join } from "node:path";
import { failingOrigin } from "../processes/listen.ts";
import { installed } from "./installed.ts";
import type { PeerProgram } from "./peer.ts";
import { freePort } from "./program.ts";

const key = "bench-upstream-key";

/** The Portkey gateway, set up by headers, as its callers do. */
export const portkey: PeerProgram = {
  name: "portkey",
  find() {
    const folder = installed("portkey/node_modules/@portkey-ai/gateway");
    if (!folder) return undefined;
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return { path: join(folder, "build/start-server.js"), version };
  },
  async prepare(path, _folder, upstreamOrigin) {
    const port = await freePort();
    const target = (origin: string) => ({ provider: "openai", api_key: key, custom_host: `${origin}/v1` });
    const fallback = {
      strategy: { mode: "fallback", on_status_codes: [429, 500] },
      targets: [target(failingOrigin(upstreamOrigin)), target(upstreamOrigin)],
    };
    return {
      command: process.execPath,
      args: [path, "--headless", `--port=${port}`],
      env: { NODE_ENV: "production", TRUSTED_CUSTOM_HOSTS: "127.0.0.1,127.0.0.2" },
      port,
      door: {
        dress: { headers: { "x-portkey-provider": "openai", "x-portkey-custom-host": `${upstreamOrigin}/v1` } },
        failoverDress: { headers: { "x-portkey-config": JSON.stringify(fallback) } },
      },
    };
  },
};
