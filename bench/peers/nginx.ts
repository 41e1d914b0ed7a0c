import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failingOrigin } from "../processes/listen.ts";
import { installed } from "./installed.ts";
import type { PeerProgram } from "./peer.ts";
import { freePort } from "./program.ts";

/** nginx, one worker, kept connections on both sides, answers passed on as they come. */
export const nginx: PeerProgram = {
  name: "nginx",
  find() {
    const path = installed("nginx/usr/sbin/nginx");
    if (!path) return undefined;
    const { stderr } = spawnSync(path, ["-v"], { encoding: "utf8" });
    return { path, version: /nginx\/(\S+)/.exec(stderr)?.[1] ?? "unknown" };
  },
  async prepare(path, folder, upstreamOrigin) {
    const port = await freePort();
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "nginx.conf");
    writeFileSync(file, configuration(folder, port, upstreamOrigin));
    const args = ["-p", folder, "-c", file, "-e", "stderr"];
    return { command: path, args, port, door: { failoverDress: { pathPrefix: "/failover" } } };
  },
};

function configuration(folder: string, port: number, upstreamOrigin: string): string {
  const steady = new URL(upstreamOrigin).host;
  const failing = new URL(failingOrigin(upstreamOrigin)).host;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
daemon off;
${process.getuid?.() === 0 ? "user root;" : ""}
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  client_body_buffer_size 64k;
  keepalive_timeout 120s;
  keepalive_requests 100000000;
  upstream steady { server ${steady}; keepalive 256; keepalive_requests 100000000; }
  upstream failing { server ${failing} max_fails=0; server ${steady} backup; keepalive 256; keepalive_requests 100000000; }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_buffering off;
  proxy_read_timeout 120s;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { proxy_pass http://steady; }
    location /failover/ {
      proxy_pass http://failing/;
      proxy_next_upstream error timeout http_429 http_500 non_idempotent;
    }
  }
}
`;
}
