import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failingOrigin } from "../processes/listen.ts";
import { installed } from "./installed.ts";
import type { PeerProgram } from "./peer.ts";
import { freePort } from "./program.ts";

/** Envoy, one worker thread, no access log. */
export const envoy: PeerProgram = {
  name: "envoy",
  find() {
    const library = installed("envoy/lib");
    const python = library && readdirSync(library).find((name) => name.startsWith("python"));
    // The wheel's launcher is a Python program; the binary lies in the package.
    const path = python && installed(`envoy/lib/${python}/site-packages/envoy/_bin/envoy`);
    if (!path) return undefined;
    const { stdout } = spawnSync(path, ["--version"], { encoding: "utf8" });
    return { path, version: /\/(\d+\.\d+\.\d+)\//.exec(stdout)?.[1] ?? "unknown" };
  },
  async prepare(path, folder, upstreamOrigin) {
    const port = await freePort();
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "envoy.json");
    writeFileSync(file, JSON.stringify(configuration(port, upstreamOrigin)));
    const args = ["-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    return { command: path, args, port, door: { failoverDress: { pathPrefix: "/failover" } } };
  },
};

function address(host: string, port: number) {
  return { address: { socket_address: { address: host, port_value: port } } };
}

function cluster(name: string, origins: readonly string[]) {
  const most = 100_000;
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: {
      thresholds: [{ max_connections: most, max_pending_requests: most, max_requests: most, max_retries: most }],
    },
    load_assignment: {
      cluster_name: name,
      // Each of a priority of its own: the next is used only for what has failed at the one before.
      endpoints: origins.map((origin, priority) => {
        const { hostname, port } = new URL(origin);
        return { priority, lb_endpoints: [{ endpoint: address(hostname, Number(port)) }] };
      }),
    },
  };
}

function configuration(port: number, upstreamOrigin: string) {
  const router = {
    name: "envoy.filters.http.router",
    typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
  };
  const previousPriorities = {
    name: "envoy.retry_priorities.previous_priorities",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
      update_frequency: 1,
    },
  };
  const retry = {
    retry_on: "connect-failure,reset,retriable-status-codes",
    retriable_status_codes: [429, 500],
    num_retries: 1,
    retry_priority: previousPriorities,
    retry_back_off: { base_interval: "0.001s", max_interval: "0.001s" },
  };
  const connectionManager = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    stat_prefix: "bench",
    codec_type: "HTTP1",
    http_filters: [router],
    stream_idle_timeout: "0s",
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [
            {
              match: { prefix: "/failover/" },
              route: { cluster: "failing", prefix_rewrite: "/", timeout: "0s", retry_policy: retry },
            },
            { match: { prefix: "/" }, route: { cluster: "steady", timeout: "0s" } },
          ],
        },
      ],
    },
  };
  return {
    static_resources: {
      listeners: [
        {
          name: "bench",
          ...address("127.0.0.1", port),
          tcp_backlog_size: 4096,
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: connectionManager }],
            },
          ],
        },
      ],
      clusters: [
        cluster("steady", [upstreamOrigin]),
        cluster("failing", [failingOrigin(upstreamOrigin), upstreamOrigin]),
      ],
    },
  };
}
